//! What hostile bytes reach first, as plain functions for fuzzers: each states a property and panics when it does not hold.

use dunlin_lwm2m::{ObjectId, ObjectVersion, Path, Registry, ResourceId};

use crate::backend::Reading;
use crate::error::Problem;
use crate::event::Position;
use crate::extract::{Body, Params, excerpt};
use crate::time::Timestamp;
use crate::tree;

/// The body of a Write of a Resource: what is accepted is shown in a form that is accepted again, and means the same.
pub fn write_resource(bytes: &[u8]) {
    let registry = Registry::bundled();
    for (object, resource) in [(3, 13), (2, 2), (5, 0), (65000, 1)] {
        let definition = registry.latest(ObjectId(object)).map(AsRef::as_ref);
        let id = ResourceId(resource);
        let read = |body: &Body| tree::parse_resource(&body.json()?, id, definition);
        let body = Body(bytes.to_vec().into());
        let node = match read(&body) {
            Ok(resource) => dunlin_lwm2m::Node::Resource(resource),
            Err(problem) => {
                check(&problem);
                continue;
            }
        };
        let reading = Reading {
            path: Path::from_ids(&[object, 0, resource]).expect("three ids"),
            at: Timestamp(0),
            version: ObjectVersion::V1_0,
            node,
        };
        let view = tree::view(&reading, &registry);
        let shown = serde_json::to_vec(&view).expect("views are plain data");
        let again = read(&Body(shown.into())).expect("what was shown is accepted");
        let again = dunlin_lwm2m::Node::Resource(again);
        let same = again == reading.node || format!("{again:?}") == format!("{:?}", reading.node);
        assert!(same, "{again:?} is not {:?}", reading.node);
    }
}

/// The body of a Write of an Object Instance, or of a Create.
pub fn write_instance(bytes: &[u8]) {
    let registry = Registry::bundled();
    let definition = registry.latest(ObjectId(3)).map(AsRef::as_ref);
    let body = Body(bytes.to_vec().into());
    let read = body
        .json()
        .and_then(|json| tree::parse_instance(&json, None, definition));
    if let Err(problem) = read {
        check(&problem);
    }
}

/// The query of any route.
pub fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let read = Params::parse(&text).and_then(|mut params| {
        params.take_format()?;
        params.take_settings()?;
        params.take_limit()?;
        params.finish()
    });
    if let Err(problem) = read {
        check(&problem);
    }
}

/// Positions: what is read is written the same way, but for leading zeros.
pub fn position(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(position) = Position::parse(&text) {
        assert_eq!(Position::parse(&position.to_string()), Some(position));
    }
    assert!(excerpt(&text).chars().count() <= 81);
}

/// A problem is a sentence of bounded length, whatever was sent.
fn check(problem: &Problem) {
    assert!(problem.detail.len() < 1000, "{}", problem.detail);
    assert!(!problem.detail.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json_like() -> impl Strategy<Value = String> {
        prop_oneof![
            ".{0,64}",
            r#"\{("(value|values|type|id|kind)":("[a-zA-Z0-9+/=:]{0,12}"|-?[0-9]{1,22}|[0-9]\.[0-9]{1,3}e[0-9]{1,3}|true|null|\{("[0-9]{1,6}":[0-9]{1,5},?){0,3}\}),?){0,3}\}"#,
            r#"\{"resources":\[(\{"id":[0-9]{1,6},"value":("[a-z]{0,3}"|[0-9]{1,3})\},?){0,3}\]\}"#,
        ]
    }

    proptest! {
        #[test]
        fn bodies_and_queries_do_not_panic(text in json_like(), bytes: Vec<u8>) {
            for input in [text.as_bytes(), &bytes] {
                write_resource(input);
                write_instance(input);
                query(input);
                position(input);
            }
        }
    }

    #[test]
    fn values_of_every_kind_are_accepted_again() {
        for text in [
            r#"{"value":60}"#,
            r#"{"value":1e3}"#,
            r#"{"values":{"0":1,"7":65535}}"#,
            r#"{"value":"NaN","type":"float"}"#,
            r#"{"value":"AQI=","type":"opaque"}"#,
            r#"{"value":"18446744073709551615","type":"unsigned"}"#,
            r#"{"value":"-9223372036854775808","type":"integer"}"#,
            r#"{"values":{},"type":"string"}"#,
        ] {
            write_resource(text.as_bytes());
        }
    }
}
