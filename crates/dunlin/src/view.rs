//! Answers of the API as people read them.

use serde_json::Value as Json;

use crate::table::{Table, plain, say};

/// Characters of bytes in base64 that are shown; the rest is a count.
const OPAQUE_CHARS_MAX: usize = 48;

/// A JSON value as a cell: text without quotes, nothing for null.
pub(crate) fn text(json: &Json) -> String {
    match json {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A time without its milliseconds.
pub(crate) fn time(json: &Json) -> String {
    match json.as_str() {
        Some(text) if text.len() == 24 && text.is_ascii() => {
            format!("{}Z", text[..19].replace('T', " "))
        }
        _ => text(json),
    }
}

/// A value in a query: everything but letters, digits and a few marks is percent-encoded.
pub(crate) fn query_value(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// One of two words.
pub(crate) fn choice(json: &Json, yes: &str, no: &str) -> String {
    if json == &Json::Bool(true) { yes } else { no }.to_string()
}

/// A value of a Resource, by its type.
pub(crate) fn value(json: &Json, value_type: &str) -> String {
    match (value_type, json) {
        ("time", Json::Number(seconds)) => match seconds
            .as_u64()
            .and_then(|seconds| seconds.checked_mul(1000))
        {
            Some(ms) => {
                let moment = dunlin_api::time::Timestamp(ms).to_string();
                format!("{} ({seconds})", time(&Json::String(moment)))
            }
            None => seconds.to_string(),
        },
        ("opaque", Json::String(base64)) if base64.len() > OPAQUE_CHARS_MAX => {
            let bytes = base64.trim_end_matches('=').len() * 3 / 4;
            format!(
                "{}… ({bytes} bytes)",
                &base64[..OPAQUE_CHARS_MAX.min(base64.len())]
            )
        }
        _ => text(json),
    }
}

/// One line of a tree of values.
struct Line {
    path: String,
    name: String,
    value: String,
    unit: String,
}

/// All values of a reading, each with its path.
fn lines(reading: &Json) -> Vec<Line> {
    let mut lines = Vec::new();
    collect(&reading["node"], &text(&reading["path"]), &mut lines);
    lines
}

fn collect(node: &Json, path: &str, lines: &mut Vec<Line>) {
    for (list, child) in [("instances", "id"), ("resources", "id")] {
        for inner in node[list].as_array().into_iter().flatten() {
            collect(inner, &format!("{path}/{}", inner[child]), lines);
        }
    }
    if node["kind"] != "resource" {
        return;
    }
    let value_type = node["type"].as_str().unwrap_or_default();
    let line = |path: String, json: &Json| Line {
        path,
        name: text(&node["name"]),
        value: value(json, value_type),
        unit: text(&node["unit"]),
    };
    match node["values"].as_object() {
        None => lines.push(line(path.to_string(), &node["value"])),
        Some(values) => {
            let mut values: Vec<_> = values.iter().collect();
            values.sort_by_key(|(id, _)| id.parse::<u16>().unwrap_or(u16::MAX));
            lines.extend(
                values
                    .into_iter()
                    .map(|(id, json)| line(format!("{path}/{id}"), json)),
            );
        }
    }
}

/// Prints a reading as a table.
pub(crate) fn print_reading(reading: &Json) -> anyhow::Result<()> {
    let mut table = Table::new(&["PATH", "NAME", "VALUE", "UNIT"]);
    for line in lines(reading) {
        table.row([line.path, line.name, line.value, line.unit]);
    }
    table.print()?;
    if let Some(age_s) = reading["age_s"].as_f64() {
        say!("These values are {age_s:.0} s old.");
    }
    Ok(())
}

/// Prints each value of a reading on a line of its own, with the time.
pub(crate) fn print_values(reading: &Json) -> anyhow::Result<()> {
    for line in lines(reading) {
        say!(
            "{}",
            plain(&format!("{}  {}", time(&reading["at"]), sentence(&line)))
        );
    }
    Ok(())
}

fn sentence(line: &Line) -> String {
    let unit = if line.unit.is_empty() {
        String::new()
    } else {
        format!(" {}", line.unit)
    };
    let name = if line.name.is_empty() {
        String::new()
    } else {
        format!(" {}", line.name)
    };
    format!("{}{name}: {}{unit}", line.path, line.value)
}

/// How a request ended, in a few words.
pub(crate) fn outcome(outcome: &Json) -> String {
    match (
        outcome["problem"]["code"].as_str(),
        outcome["coap"].as_str(),
    ) {
        (Some(code), _) => code.to_string(),
        (None, Some(coap)) => coap.to_string(),
        (None, None) => String::new(),
    }
}

/// An event in one line.
pub(crate) fn event_line(kind: &str, data: &Json) -> String {
    let says = |name: &str| text(&data[name]);
    let tail = match kind {
        "registered" => format!(
            "from {} for {} s, {} {}, LwM2M {}",
            says("address"),
            says("lifetime_s"),
            says("binding"),
            says("security"),
            says("version")
        ),
        "updated" => {
            let changes = data["changes"].as_object().into_iter().flatten();
            let changes: Vec<_> = changes
                .map(|(name, value)| {
                    if value.is_object() {
                        name.clone()
                    } else {
                        format!("{name}={}", text(value))
                    }
                })
                .collect();
            changes.join(", ")
        }
        "deregistered" if data["forgotten"] == true => "forgotten by an operator".into(),
        "notified" => lines(data)
            .iter()
            .map(sentence)
            .collect::<Vec<_>>()
            .join(", "),
        "sent" => {
            let readings = data["readings"].as_array().into_iter().flatten();
            readings
                .flat_map(lines)
                .map(|line| sentence(&line))
                .collect::<Vec<_>>()
                .join(", ")
        }
        "completed" => {
            let request = &data["request"];
            let words = [
                &request["operation"],
                &request["path"],
                &request["state"],
                &request["id"],
            ];
            let words: Vec<_> = words.into_iter().map(text).collect();
            format!("{} {}", words.join(" "), outcome(&request["outcome"]))
                .trim_end()
                .to_string()
        }
        "bootstrapped" => says("summary"),
        "bootstrap_failed" => says("reason"),
        "over_budget" => format!("{} sends more than it may", says("address")),
        "refused" => format!("{} {} {}", says("address"), says("reason"), says("remedy")),
        "gap" => format!("events after {} are not kept any more", says("after")),
        _ => String::new(),
    };
    let line = format!(
        "{}  {kind:<12}  {}  {tail}",
        time(&data["at"]),
        says("endpoint")
    );
    plain(line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_shown_by_their_type() {
        assert_eq!(
            value(&json!(1_367_491_215), "time"),
            "2013-05-02 10:40:15Z (1367491215)"
        );
        assert_eq!(value(&json!("AQI="), "opaque"), "AQI=");
        let long = "A".repeat(400);
        assert_eq!(
            value(&json!(long), "opaque"),
            format!("{}… (300 bytes)", "A".repeat(48))
        );
        assert_eq!(value(&json!("NaN"), "float"), "NaN");
        assert_eq!(value(&json!(true), "boolean"), "true");
    }

    #[test]
    fn events_are_one_line_each() {
        let at = "2026-11-24T15:00:00.000Z";
        let node = json!({"kind": "resource", "id": 9, "name": "Battery\nLevel", "type": "integer", "unit": "%", "value": 100});
        let data = json!({"at": at, "endpoint": "lamp", "path": "/3/0/9", "node": node});
        assert_eq!(
            event_line("notified", &data),
            "2026-11-24 15:00:00Z  notified      lamp  /3/0/9 Battery Level: 100 %"
        );
        assert_eq!(
            event_line("awake", &json!({"at": at, "endpoint": "meter"})),
            "2026-11-24 15:00:00Z  awake         meter"
        );
    }
}
