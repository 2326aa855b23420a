//! What several commands take: a target, how long to wait, values to write.

use anyhow::{Context, anyhow, bail};
use clap::Args;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use dunlin_api::segment;
use dunlin_lwm2m::{Level, Path, ValueType};
use serde_json::{Map, Value as Json, json};

use crate::api::{Answer, Api};
use crate::table::say;

/// The Client and the path that a command speaks of.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// Endpoint name of the Client
    pub(crate) endpoint: String,
    /// LwM2M path, such as /3/0/9
    #[arg(value_parser = parse_path)]
    pub(crate) path: Path,
}

impl Target {
    /// The target in the API's spelling.
    pub(crate) fn url(&self) -> String {
        format!("/clients/{}{}", segment(&self.endpoint), self.path)
    }

    /// Fails unless the path leads to one of these levels.
    pub(crate) fn require(&self, levels: &[Level], example: &str) -> anyhow::Result<()> {
        if levels.contains(&self.path.level()) {
            return Ok(());
        }
        bail!(
            "{} is not at the right level for this; write a path such as {example}",
            self.path
        )
    }
}

/// Reads `/3/0/9` or `3/0/9`: an Object, Object Instance or Resource.
pub(crate) fn parse_path(text: &str) -> Result<Path, String> {
    let path: Path = format!("/{}", text.trim_start_matches('/'))
        .parse()
        .map_err(|_| "write it as numbers, such as /3/0/9".to_string())?;
    match path.level() {
        Level::Object | Level::Instance | Level::Resource => Ok(path),
        Level::Root => Err("the path names nothing; write it as /3/0/9".into()),
        Level::ResourceInstance => {
            Err("Resource Instances cannot be addressed in LwM2M 1.0".into())
        }
    }
}

/// How long to wait for the Client.
#[derive(Debug, Clone, Args)]
pub(crate) struct Waiting {
    /// Seconds until the answer must be there, time in the queue included
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Do not wait for the answer: print the request
    #[arg(long)]
    no_wait: bool,
}

impl Waiting {
    /// The query parameters that say so, beside these.
    pub(crate) fn query(&self, others: &[(&str, Option<&str>)]) -> String {
        let mut query = String::new();
        let timeout = self.timeout.map(|seconds| seconds.to_string());
        let own = [
            ("timeout_s", timeout.as_deref()),
            ("wait", self.no_wait.then_some("false")),
        ];
        for (name, value) in others.iter().chain(&own) {
            if let Some(value) = value {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str(&format!("{name}={}", encode(value)));
            }
        }
        query
    }
}

/// A text as the value of a query parameter.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Prints what came of an operation without values: done, or the request that waits. True if it is done.
pub(crate) fn print_done(api: &Api, endpoint: &str, answer: &Answer) -> anyhow::Result<bool> {
    if api.json {
        say!("{}", answer.json);
        return Ok(answer.status != 202);
    }
    if answer.status != 202 {
        return Ok(true);
    }
    let request = &answer.json["request"];
    let id = request["id"].as_str().unwrap_or("?");
    say!(
        "Request {id} for {} is {} and waits until {}. 'dunlin requests show {id}' tells how it goes.",
        crate::table::plain(endpoint),
        request["state"].as_str().unwrap_or("?"),
        request["expires_at"].as_str().unwrap_or("?"),
    );
    Ok(false)
}

/// The definition of an Object in the version that the Client has, as the API tells it; null where there is none.
pub(crate) fn definition(api: &Api, endpoint: &str, object: u16) -> anyhow::Result<Json> {
    let client = api.get(&format!("/clients/{}", segment(endpoint)))?;
    let exact = client["objects"][object.to_string()]["version"].as_str();
    let known = |path: String| match api.get(&path) {
        Ok(json) => Ok(json),
        Err(error) if error.to_string().ends_with("[definition_unknown]") => Ok(Json::Null),
        Err(error) => Err(error),
    };
    if let Some(version) = exact {
        let found = known(format!("/objects/{object}/{version}"))?;
        if !found.is_null() {
            return Ok(found);
        }
    }
    known(format!("/objects/{object}"))
}

/// The Resources of `14=+02:00 6/0=1 "UTC Offset"=…` as a body for a Write or Create.
pub(crate) fn parse_resources(values: &[String], definition: &Json) -> anyhow::Result<Json> {
    let mut single: Vec<(u64, Json)> = Vec::new();
    let mut multiple: Vec<(u64, Map<String, Json>)> = Vec::new();
    for text in values {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| anyhow!("\"{text}\": write RESOURCE=VALUE, such as 14=+02:00"))?;
        let (name, instance) = match name.rsplit_once('/') {
            Some((name, instance)) => (name, Some(instance)),
            None => (name, None),
        };
        let known = resource(definition, name);
        let id = match (&known, name.parse::<u16>()) {
            (Some(known), _) => known["id"].as_u64().context("a resource without id")?,
            (None, Ok(id)) => u64::from(id),
            (None, Err(_)) => bail!(
                "\"{name}\" is no resource of {}; 'dunlin object show {}' lists them",
                definition["name"].as_str().unwrap_or("this object"),
                definition["id"],
            ),
        };
        let value = parse_value(value, known.as_ref()).with_context(|| format!("\"{text}\""))?;
        let is_multiple = known
            .as_ref()
            .is_some_and(|known| known["multiple"] == true);
        match instance {
            None if is_multiple => {
                bail!("\"{text}\": this resource has instances; write {name}/INSTANCE=VALUE")
            }
            None => single.push((id, value)),
            Some(instance) => {
                let at = multiple
                    .iter()
                    .position(|(other, _)| *other == id)
                    .unwrap_or_else(|| {
                        multiple.push((id, Map::new()));
                        multiple.len() - 1
                    });
                multiple[at].1.insert(instance.to_string(), value);
            }
        }
    }
    let single = single
        .into_iter()
        .map(|(id, value)| json!({"id": id, "value": value}));
    let multiple = multiple
        .into_iter()
        .map(|(id, values)| json!({"id": id, "values": values}));
    Ok(json!({ "resources": single.chain(multiple).collect::<Vec<_>>() }))
}

/// The body for a Write of one Resource: `60`, or `0=1 1=5` where it has instances.
pub(crate) fn parse_resource(
    values: &[String],
    id: u16,
    definition: &Json,
) -> anyhow::Result<Json> {
    let known = resource(definition, &id.to_string());
    if known.as_ref().is_none_or(|known| known["multiple"] != true) {
        return match values {
            [value] => Ok(json!({ "value": parse_value(value, known.as_ref())? })),
            _ => bail!("this resource takes one value; quote it if there are blanks in it"),
        };
    }
    let mut members = Map::new();
    for text in values {
        let (instance, value) = text.split_once('=').ok_or_else(|| {
            anyhow!("\"{text}\": this resource has instances; write INSTANCE=VALUE")
        })?;
        members.insert(instance.to_string(), parse_value(value, known.as_ref())?);
    }
    Ok(json!({ "values": members }))
}

/// The definition of a Resource by its id, or by its name whatever the case.
fn resource(definition: &Json, name: &str) -> Option<Json> {
    let resources = definition["resources"].as_array()?;
    let id = name.parse::<u64>().ok();
    let is_meant = |resource: &&Json| {
        (id.is_some() && resource["id"].as_u64() == id)
            || resource["name"]
                .as_str()
                .is_some_and(|other| other.eq_ignore_ascii_case(name))
    };
    resources.iter().find(is_meant).cloned()
}

/// A value as it is typed, by the type of its definition.
fn parse_value(text: &str, known: Option<&Json>) -> anyhow::Result<Json> {
    let value_type = known
        .and_then(|known| known["type"].as_str())
        .and_then(ValueType::from_name);
    let Some(value_type) = value_type else {
        return Ok(guess_value(text));
    };
    let value = match value_type {
        ValueType::String | ValueType::CoreLink | ValueType::ObjectLink => Some(json!(text)),
        // As digits, so that no JSON number rounds them.
        ValueType::Integer | ValueType::Time => text
            .parse::<i64>()
            .ok()
            .map(|number| json!(number.to_string())),
        ValueType::Unsigned => text
            .parse::<u64>()
            .ok()
            .map(|number| json!(number.to_string())),
        ValueType::Float => match text {
            "NaN" | "Infinity" | "-Infinity" => Some(json!(text)),
            _ => text
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .map(|number| json!(number)),
        },
        ValueType::Boolean => match text {
            "true" | "1" => Some(json!(true)),
            "false" | "0" => Some(json!(false)),
            _ => None,
        },
        ValueType::Opaque => Some(json!(BASE64.encode(&opaque(text)?))),
        ValueType::None => {
            bail!("this resource is executed and holds no value; use 'dunlin execute'")
        }
    };
    let name = known
        .and_then(|known| known["name"].as_str())
        .unwrap_or("the resource");
    value.ok_or_else(|| anyhow!("\"{text}\" is no {value_type}, which \"{name}\" holds"))
}

/// Bytes: `@FILE`, `hex:0102`, or base64.
fn opaque(text: &str) -> anyhow::Result<Vec<u8>> {
    if let Some(file) = text.strip_prefix('@') {
        return std::fs::read(file).with_context(|| format!("{file} cannot be read"));
    }
    if let Some(hex) = text.strip_prefix("hex:") {
        return HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .map_err(|_| anyhow!("\"{hex}\" is not hexadecimal"));
    }
    BASE64
        .decode(text.as_bytes())
        .map_err(|_| anyhow!("\"{text}\" is not base64; other forms are hex:0102 and @FILE"))
}

/// A value whose type nobody knows: what it looks like.
fn guess_value(text: &str) -> Json {
    match text {
        "true" => json!(true),
        "false" => json!(false),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => json!(number),
            (_, Ok(number)) if number.is_finite() => json!(number),
            _ => json!(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Json {
        json!({"id": 3, "name": "Device", "resources": [
            {"id": 6, "name": "Available Power Sources", "type": "integer", "multiple": true},
            {"id": 13, "name": "Current Time", "type": "time", "multiple": false},
            {"id": 14, "name": "UTC Offset", "type": "string", "multiple": false},
            {"id": 20, "name": "Flag", "type": "boolean", "multiple": false},
            {"id": 21, "name": "Blob", "type": "opaque", "multiple": false},
            {"id": 4, "name": "Reboot", "type": "none", "multiple": false},
        ]})
    }

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_are_typed_by_the_definition() {
        let one = |id, value: &str| parse_resource(&texts(&[value]), id, &definition());
        assert_eq!(one(14, "60").unwrap(), json!({"value": "60"}));
        assert_eq!(
            one(13, "9223372036854775807").unwrap(),
            json!({"value": "9223372036854775807"})
        );
        assert_eq!(one(20, "1").unwrap(), json!({"value": true}));
        assert_eq!(one(21, "hex:0102").unwrap(), json!({"value": "AQI="}));
        assert_eq!(one(99, "1.5").unwrap(), json!({"value": 1.5}));
        assert_eq!(one(99, "1.5x").unwrap(), json!({"value": "1.5x"}));
        let sources = parse_resource(&texts(&["0=1", "1=5"]), 6, &definition()).unwrap();
        assert_eq!(sources, json!({"values": {"0": "1", "1": "5"}}));
        for (id, value) in [
            (13, "now"),
            (20, "yes"),
            (21, "hex:0"),
            (21, "a"),
            (4, "1"),
            (6, "1"),
            (21, "@/does/not/exist"),
        ] {
            assert!(one(id, value).is_err(), "{id} {value}");
        }
        assert!(parse_resource(&texts(&["a", "b"]), 14, &definition()).is_err());
    }

    #[test]
    fn resources_are_named_by_id_or_name() {
        let body = parse_resources(
            &texts(&["utc offset=+02:00", "13=7", "6/0=1", "6/1=5"]),
            &definition(),
        );
        assert_eq!(
            body.unwrap(),
            json!({"resources": [
                {"id": 14, "value": "+02:00"}, {"id": 13, "value": "7"}, {"id": 6, "values": {"0": "1", "1": "5"}},
            ]})
        );
        for text in ["14", "Colour=red", "6=1"] {
            assert!(
                parse_resources(&texts(&[text]), &definition()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn paths_may_begin_with_a_slash() {
        assert_eq!(parse_path("/3/0/9"), parse_path("3/0/9"));
        for text in ["", "/", "x", "/3/0/1/2", "/3/0/1/2/3", "/70000"] {
            assert!(parse_path(text).is_err(), "{text}");
        }
    }
}
