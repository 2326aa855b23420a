//! Values between JSON and their types, exactly: nothing is lost on the way out, nothing is guessed on the way in.
//!
//! JSON's readers keep 53 bits of a number, so integers beyond ±2^53 and every unsigned one are written as strings;
//! NaN and the infinities, which JSON does not have, are strings as well. Both are read in either form.

use data_encoding::BASE64;
use dunlin_lwm2m::{ObjectLink, Value, ValueType};
use serde_json::{Number, Value as Json};

/// The greatest magnitude below which every integer survives a reader that keeps numbers as binary64.
const EXACT_MAX: i64 = 1 << 53;

/// How a value is written.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::String(text) | Value::CoreLink(text) => Json::String(text.clone()),
        Value::Integer(number) | Value::Time(number) => {
            if (-EXACT_MAX..=EXACT_MAX).contains(number) {
                Json::from(*number)
            } else {
                Json::String(number.to_string())
            }
        }
        Value::Unsigned(number) => Json::String(number.to_string()),
        Value::Float(number) => float_to_json(*number),
        Value::Boolean(boolean) => Json::Bool(*boolean),
        Value::Opaque(bytes) => Json::String(BASE64.encode(bytes)),
        Value::ObjectLink(link) => Json::String(link.to_string()),
    }
}

fn float_to_json(number: f64) -> Json {
    match Number::from_f64(number) {
        Some(number) => Json::Number(number),
        None if number.is_nan() => Json::String("NaN".into()),
        None if number > 0.0 => Json::String("Infinity".into()),
        None => Json::String("-Infinity".into()),
    }
}

/// Reads a value of a given type. The error says what was expected, for people.
pub fn from_json(json: &Json, value_type: ValueType) -> Result<Value, String> {
    let value = match value_type {
        ValueType::String => json.as_str().map(|text| Value::String(text.into())),
        ValueType::CoreLink => json.as_str().map(|text| Value::CoreLink(text.into())),
        ValueType::Integer => integer(json).map(Value::Integer),
        ValueType::Time => integer(json).map(Value::Time),
        ValueType::Unsigned => unsigned(json).map(Value::Unsigned),
        ValueType::Float => float(json).map(Value::Float),
        ValueType::Boolean => json.as_bool().map(Value::Boolean),
        ValueType::Opaque => json
            .as_str()
            .and_then(|text| BASE64.decode(text.as_bytes()).ok())
            .map(Value::Opaque),
        ValueType::ObjectLink => json
            .as_str()
            .and_then(ObjectLink::parse)
            .map(Value::ObjectLink),
        ValueType::None => return Err("This resource is executed and holds no value.".into()),
    };
    value.ok_or_else(|| format!("Expected {}, found {}.", expected(value_type), found(json)))
}

/// The type of a value whose definition is not known, guessed from its JSON form. Only what JSON says without
/// doubt: text, truth, whole and other numbers.
pub fn guess_from_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => Ok(Value::String(text.clone())),
        Json::Bool(boolean) => Ok(Value::Boolean(*boolean)),
        Json::Number(number) => Ok(match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        }),
        other => Err(format!(
            "Expected a string, a number or a boolean, found {}.",
            found(other)
        )),
    }
}

/// What the JSON of a type looks like, for people.
pub fn expected(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::String => "a string",
        ValueType::Integer => "a whole number from -2^63 to 2^63-1",
        ValueType::Unsigned => "a whole number from 0 to 2^64-1 (as a string beyond 2^53)",
        ValueType::Float => "a number, or \"NaN\", \"Infinity\" or \"-Infinity\"",
        ValueType::Boolean => "true or false",
        ValueType::Opaque => "a string in base64 with padding",
        ValueType::Time => "a time as seconds since 1970",
        ValueType::ObjectLink => "an object link such as \"10:2\"",
        ValueType::CoreLink => "a string of links such as \"</3/0>\"",
        ValueType::None => "no value",
    }
}

/// What a JSON value is, for people; never the value itself when it could be long or secret.
pub fn found(json: &Json) -> String {
    match json {
        Json::Null => "null".into(),
        Json::Bool(boolean) => boolean.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(_) => "a string".into(),
        Json::Array(_) => "a list".into(),
        Json::Object(_) => "an object".into(),
    }
}

fn integer(json: &Json) -> Option<i64> {
    match json {
        Json::Number(number) => number.as_i64().or_else(|| {
            // 3.0 and 1e3 are whole numbers too, as long as binary64 holds them exactly.
            let float = number.as_f64()?;
            let whole = float as i64;
            (whole as f64 == float && whole.unsigned_abs() <= EXACT_MAX as u64).then_some(whole)
        }),
        Json::String(text) => plain_integer(text)?.parse().ok(),
        _ => None,
    }
}

fn unsigned(json: &Json) -> Option<u64> {
    match json {
        Json::Number(number) => number
            .as_u64()
            .or_else(|| integer(json).and_then(|whole| u64::try_from(whole).ok())),
        Json::String(text) => plain_integer(text)?.parse().ok(),
        _ => None,
    }
}

/// Digits with at most a minus before them: `parse` alone would take a plus as well.
fn plain_integer(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn float(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_lwm2m::{ObjectId, ObjectInstanceId};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn values_are_written_without_loss() {
        let link = ObjectLink {
            object: ObjectId(10),
            instance: ObjectInstanceId(2),
        };
        for (value, json) in [
            (Value::String("ACME".into()), json!("ACME")),
            (Value::Integer(EXACT_MAX), json!(9_007_199_254_740_992_i64)),
            (Value::Integer(EXACT_MAX + 1), json!("9007199254740993")),
            (Value::Integer(-EXACT_MAX - 1), json!("-9007199254740993")),
            (Value::Integer(i64::MIN), json!("-9223372036854775808")),
            (Value::Unsigned(7), json!("7")),
            (Value::Unsigned(u64::MAX), json!("18446744073709551615")),
            (Value::Float(21.5), json!(21.5)),
            (Value::Float(f64::INFINITY), json!("Infinity")),
            (Value::Float(f64::NEG_INFINITY), json!("-Infinity")),
            (Value::Boolean(true), json!(true)),
            (Value::Opaque(vec![1, 2, 3, 4, 5]), json!("AQIDBAU=")),
            (Value::Time(1_367_491_215), json!(1_367_491_215)),
            (Value::ObjectLink(link), json!("10:2")),
            (Value::CoreLink("</3/0>".into()), json!("</3/0>")),
        ] {
            assert_eq!(to_json(&value), json);
            assert_eq!(from_json(&json, value.value_type()), Ok(value));
        }
        assert_eq!(to_json(&Value::Float(f64::NAN)), json!("NaN"));
        assert!(
            matches!(from_json(&json!("NaN"), ValueType::Float), Ok(Value::Float(n)) if n.is_nan())
        );
    }

    #[test]
    fn numbers_are_read_in_every_form_that_is_exact() {
        assert_eq!(
            from_json(&json!(3.0), ValueType::Integer),
            Ok(Value::Integer(3))
        );
        assert_eq!(
            from_json(&json!("60"), ValueType::Integer),
            Ok(Value::Integer(60))
        );
        assert_eq!(
            from_json(&json!(7), ValueType::Float),
            Ok(Value::Float(7.0))
        );
        assert_eq!(
            from_json(&json!(7), ValueType::Unsigned),
            Ok(Value::Unsigned(7))
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_was_expected() {
        for (json, value_type, error) in [
            (
                json!("x"),
                ValueType::Integer,
                "Expected a whole number from -2^63 to 2^63-1, found a string.",
            ),
            (
                json!(1.5),
                ValueType::Integer,
                "Expected a whole number from -2^63 to 2^63-1, found 1.5.",
            ),
            (
                json!(1e300),
                ValueType::Integer,
                "Expected a whole number from -2^63 to 2^63-1, found 1e+300.",
            ),
            (
                json!("+1"),
                ValueType::Time,
                "Expected a time as seconds since 1970, found a string.",
            ),
            (
                json!(1),
                ValueType::Boolean,
                "Expected true or false, found 1.",
            ),
            (
                json!(null),
                ValueType::String,
                "Expected a string, found null.",
            ),
            (
                json!("a"),
                ValueType::Opaque,
                "Expected a string in base64 with padding, found a string.",
            ),
            (
                json!([1]),
                ValueType::Float,
                "Expected a number, or \"NaN\", \"Infinity\" or \"-Infinity\", found a list.",
            ),
            (
                json!("10"),
                ValueType::ObjectLink,
                "Expected an object link such as \"10:2\", found a string.",
            ),
            (
                json!({}),
                ValueType::CoreLink,
                "Expected a string of links such as \"</3/0>\", found an object.",
            ),
            (
                json!(1),
                ValueType::None,
                "This resource is executed and holds no value.",
            ),
        ] {
            assert_eq!(from_json(&json, value_type), Err(error.to_string()));
        }
        assert!(from_json(&json!(-1), ValueType::Unsigned).is_err());
        assert!(from_json(&json!(9_223_372_036_854_775_808_u64), ValueType::Integer).is_err());
    }

    proptest! {
        #[test]
        fn integers_and_floats_come_back_as_they_went(integer: i64, unsigned: u64, float: f64) {
            for value in [Value::Integer(integer), Value::Unsigned(unsigned)] {
                let text = serde_json::to_string(&to_json(&value)).unwrap();
                let json: Json = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(from_json(&json, value.value_type()), Ok(value));
            }
            let text = serde_json::to_string(&to_json(&Value::Float(float))).unwrap();
            let json: Json = serde_json::from_str(&text).unwrap();
            let Ok(Value::Float(back)) = from_json(&json, ValueType::Float) else {
                return Err(TestCaseError::fail("not a float"));
            };
            prop_assert!(back == float || (back.is_nan() && float.is_nan()));
        }
    }
}
