//! Values of Resources: from TOML, from what a file or program says, and back for whoever is told of a Write.

use dunlin_lwm2m::definition::ResourceDefinition;
use dunlin_lwm2m::{
    ContentFormat, Node, Path, Resource, ResourceInstanceId, ResourceValue, Value, ValueType,
    format,
};

/// A value as the file has it.
pub(super) fn from_toml(
    definition: &ResourceDefinition,
    written: &toml::Value,
) -> Result<ResourceValue, String> {
    let value = match written {
        toml::Value::Array(all) if definition.multiple => {
            let values = (0..).map(ResourceInstanceId).zip(all);
            let values = values.map(|(id, one)| Ok((id, single(definition.value_type, one)?)));
            ResourceValue::Multiple(values.collect::<Result<_, String>>()?)
        }
        _ if definition.multiple => {
            return Err("this resource has several values: write [a, b]".into());
        }
        one => ResourceValue::Single(single(definition.value_type, one)?),
    };
    checked(definition, value)
}

fn single(value_type: ValueType, written: &toml::Value) -> Result<Value, String> {
    use toml::Value as Toml;
    let wrong = || {
        let shown: String = written.to_string().chars().take(40).collect();
        format!("{shown} is no value of type {value_type}")
    };
    Ok(match (value_type, written) {
        (ValueType::Integer, Toml::Integer(number)) => Value::Integer(*number),
        (ValueType::Time, Toml::Integer(number)) => Value::Time(*number),
        (ValueType::Unsigned, Toml::Integer(number)) => {
            Value::Unsigned(u64::try_from(*number).map_err(|_| wrong())?)
        }
        (ValueType::Float, Toml::Integer(number)) => Value::Float(*number as f64),
        (ValueType::Float, Toml::Float(number)) => Value::Float(*number),
        (ValueType::Boolean, Toml::Boolean(value)) => Value::Boolean(*value),
        // Opaque is Base64 here, a link `66:0`.
        (_, Toml::String(text)) if !value_type.is_numeric() => {
            Value::parse(text, value_type).ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    })
}

/// A value as a file or a program says it.
pub(super) fn from_bytes(
    definition: &ResourceDefinition,
    said: &[u8],
    scale: f64,
) -> Result<ResourceValue, String> {
    if definition.value_type == ValueType::Opaque {
        return checked(definition, Value::Opaque(said.to_vec()).into());
    }
    let text = std::str::from_utf8(said).map_err(|_| "what it says is not UTF-8".to_owned())?;
    let text = text.trim_end_matches(['\n', '\r', '\0']);
    let text = match definition.value_type {
        ValueType::String => text,
        _ => text.trim(),
    };
    let wrong = || {
        let shown: String = text.chars().take(40).collect();
        format!("{shown:?} is no value of type {}", definition.value_type)
    };
    if scale != 1.0 {
        let number: f64 = text.parse().map_err(|_| wrong())?;
        return from_number(definition, number * scale);
    }
    let value = Value::parse(text, definition.value_type).ok_or_else(wrong)?;
    checked(definition, value.into())
}

/// A number as a value of this Resource.
pub(super) fn from_number(
    definition: &ResourceDefinition,
    number: f64,
) -> Result<ResourceValue, String> {
    let whole = number.round();
    let value = match definition.value_type {
        ValueType::Float => Value::Float(number),
        // A cast takes what is too large to the largest there is; the range says the rest.
        ValueType::Integer => Value::Integer(whole as i64),
        ValueType::Time => Value::Time(whole as i64),
        ValueType::Unsigned => Value::Unsigned(whole.max(0.0) as u64),
        other => return Err(format!("a number is no value of type {other}")),
    };
    checked(definition, value.into())
}

fn checked(definition: &ResourceDefinition, value: ResourceValue) -> Result<ResourceValue, String> {
    let resource = Resource {
        id: definition.id,
        value,
    };
    definition
        .check(&resource)
        .map_err(|error| error.to_string())?;
    Ok(resource.value)
}

/// A value for a file or a program: the bytes of an Opaque, the text of any other, and JSON for several.
pub(super) fn to_bytes(path: Path, resource: &Resource) -> Vec<u8> {
    let format = match &resource.value {
        ResourceValue::Single(Value::Opaque(bytes)) => return bytes.clone(),
        ResourceValue::Single(_) => ContentFormat::TEXT,
        ResourceValue::Multiple(_) => ContentFormat::JSON,
    };
    format::encode(format, path, &Node::Resource(resource.clone())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value_type: ValueType) -> ResourceDefinition {
        ResourceDefinition::new(7, "x", value_type)
    }

    #[test]
    fn toml_says_values_of_every_type() {
        for (value_type, written, value) in [
            (ValueType::Integer, "-7", Value::Integer(-7)),
            (ValueType::Unsigned, "7", Value::Unsigned(7)),
            (ValueType::Float, "2", Value::Float(2.0)),
            (ValueType::Float, "2.5", Value::Float(2.5)),
            (ValueType::Boolean, "true", Value::Boolean(true)),
            (ValueType::String, "'a'", Value::from("a")),
            (ValueType::Opaque, "'AQI='", Value::Opaque(vec![1, 2])),
            (ValueType::Time, "1000", Value::Time(1_000)),
        ] {
            let toml: toml::Value =
                toml::from_str::<toml::Table>(&format!("v = {written}")).unwrap()["v"].clone();
            assert_eq!(
                from_toml(&of(value_type), &toml),
                Ok(value.into()),
                "{written}"
            );
        }
        for (value_type, toml) in [
            (ValueType::Integer, toml::Value::String("7".into())),
            (ValueType::Integer, toml::Value::Float(7.5)),
            (ValueType::Unsigned, toml::Value::Integer(-1)),
            (ValueType::Boolean, toml::Value::Integer(1)),
            (ValueType::String, toml::Value::Array(Vec::new())),
            (ValueType::Opaque, toml::Value::String("no base64!".into())),
        ] {
            assert!(from_toml(&of(value_type), &toml).is_err(), "{toml}");
        }
        let several = toml::Value::Array(vec![1.into(), 2.into()]);
        let value = from_toml(&of(ValueType::Integer).multiple(), &several).unwrap();
        assert!(matches!(value, ResourceValue::Multiple(all) if all.len() == 2));
    }

    #[test]
    fn what_programs_say_is_a_value_with_or_without_a_newline() {
        let said = |value_type, said: &[u8], scale| from_bytes(&of(value_type), said, scale);
        assert_eq!(said(ValueType::Integer, b" 42\n", 1.0), Ok(42.into()));
        assert_eq!(said(ValueType::Float, b"21500\n", 0.001), Ok(21.5.into()));
        assert_eq!(said(ValueType::String, b" a b \n", 1.0), Ok(" a b ".into()));
        assert_eq!(
            said(ValueType::Opaque, b"a\n", 1.0),
            Ok(b"a\n".to_vec().into())
        );
        for bad in [&b""[..], b"x", b"\xff", b"1 2"] {
            assert!(said(ValueType::Integer, bad, 1.0).is_err(), "{bad:?}");
        }
        let percent = of(ValueType::Integer).allowed("0..100");
        assert!(from_bytes(&percent, b"101", 1.0).is_err());
        assert!(from_number(&percent, 1e300).is_err());
    }
}
