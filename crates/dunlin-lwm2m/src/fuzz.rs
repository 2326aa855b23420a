//! Targets for fuzzing: each takes hostile bytes and asserts a property. Outside of fuzzing they
//! are run by the tests of this crate over generated and damaged payloads.

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::attribute::AttributesChange;
use crate::content_format::ContentFormat;
use crate::definition::{Operations, ResourceDefinition};
use crate::deviation::Deviation;
use crate::format::{self, VALUES_MAX};
use crate::id::{ObjectId, ResourceId};
use crate::link::{Discovered, ObjectLinks};
use crate::operation::{Arguments, BootstrapRequest, Register, Strictness, Update};
use crate::path::Path;
use crate::registry::Types;
use crate::value::ValueType;

/// Ten Resources, one of each type, and the same multiple from 10 on; of any Object, and again
/// from 20 on.
pub(crate) struct EveryType(Vec<ResourceDefinition>);

impl EveryType {
    pub(crate) fn new() -> Self {
        let definition = |id: usize| ResourceDefinition {
            id: ResourceId(id as u16),
            name: Cow::Borrowed("x"),
            operations: Operations::RW,
            multiple: id >= 10,
            mandatory: false,
            value_type: ValueType::ALL[id % 10],
            range_text: Cow::Borrowed(""),
            units: Cow::Borrowed(""),
            description: Cow::Borrowed(""),
        };
        Self((0..20).map(definition).collect())
    }
}

impl Types for EveryType {
    fn resource(&self, _: ObjectId, resource: ResourceId) -> Option<&ResourceDefinition> {
        // The upper half is not defined, as with Objects that a Server does not know.
        let known = (resource.0 < 0x8000).then_some(resource.0 as usize % 20)?;
        self.0.get(known)
    }
}

/// A path that the first byte chooses, and the rest.
fn split(bytes: &[u8]) -> (Path, &[u8]) {
    const PATHS: [&[u16]; 8] = [
        &[],
        &[7],
        &[7, 2],
        &[7, 2, 1],
        &[7, 2, 3],
        &[7, 2, 5],
        &[7, 2, 10],
        &[7, 2, 0xffff],
    ];
    match bytes.split_first() {
        Some((first, rest)) => {
            let ids = PATHS[*first as usize % PATHS.len()];
            (Path::from_ids(ids).expect("at most three ids"), rest)
        }
        None => (Path::ROOT, bytes),
    }
}

/// What is read is bounded; what is written of it is read as what is written again.
fn payload(id: ContentFormat, bytes: &[u8]) {
    let (path, bytes) = split(bytes);
    let types = EveryType::new();
    let Ok(decoded) = format::decode(Some(id), path, bytes, &types) else {
        return;
    };
    assert!(decoded.node.values(path).len() <= VALUES_MAX);
    assert!(decoded.history.len() <= VALUES_MAX);
    let Ok(first) = format::encode(id, path, &decoded.node) else {
        return;
    };
    let again = format::decode(Some(id), path, &first, &types).expect("what we write we read");
    let second = format::encode(id, path, &again.node).expect("what we read we write");
    // A value of the wrong type is kept as it came, and may be of the right one when written.
    assert!(first == second || decoded.deviations.contains(Deviation::TypeClash));
}

/// TLV payloads; the first byte chooses the path.
pub fn tlv(bytes: &[u8]) {
    payload(ContentFormat::TLV, bytes);
}

/// JSON payloads; the first byte chooses the path.
pub fn json(bytes: &[u8]) {
    payload(ContentFormat::JSON, bytes);
}

/// Text payloads and payloads without a format; the first byte chooses the path.
pub fn text(bytes: &[u8]) {
    payload(ContentFormat::TEXT, bytes);
    let (path, bytes) = split(bytes);
    let _ = format::decode(None, path, bytes, &EveryType::new());
}

/// Object lists, in link format and as they are stored, and answers to Discover.
pub fn link(bytes: &[u8]) {
    if let Ok(parsed) = ObjectLinks::parse(bytes) {
        let written = parsed.links.to_string();
        let again = ObjectLinks::parse(written.as_bytes()).expect("what we write we read");
        assert_eq!(again.links, parsed.links);
        assert_eq!(
            ObjectLinks::decode(parsed.links.encode()).as_ref(),
            Ok(&parsed.links)
        );
    }
    if let Ok(links) = ObjectLinks::decode(bytes) {
        assert_eq!(links.to_builder().build().encode(), bytes);
    }
    if let Ok(discovered) = Discovered::parse(bytes, "/lwm2m") {
        let written = discovered.write("/lwm2m");
        let again = Discovered::parse(written.as_bytes(), "/lwm2m").expect("what we write we read");
        assert_eq!(again.links, discovered.links);
        assert_eq!(again.version, discovered.version);
    }
}

/// Definition files.
#[cfg(feature = "std")]
pub fn ddf(bytes: &[u8]) {
    match crate::definition::parse_ddf(bytes) {
        Ok(objects) => {
            for resource in objects.iter().flat_map(|object| object.resources.iter()) {
                let _ = resource.range();
            }
        }
        Err(error) => assert!(error.line >= 1 && error.column >= 1),
    }
}

/// What comes in queries, one per line: attributes, Register, Update, Bootstrap-Request; and
/// arguments of Execute.
pub fn attributes(bytes: &[u8]) {
    if let Ok(arguments) = Arguments::decode(bytes) {
        assert_eq!(
            Arguments::decode(arguments.to_string().as_bytes()),
            Ok(arguments)
        );
    }
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    let queries = || text.split('\n');
    if let Ok(change) = AttributesChange::parse(queries()) {
        let written = change.queries();
        assert_eq!(
            AttributesChange::parse(written.iter().map(|query| &**query)),
            Ok(change)
        );
    }
    for strictness in [Strictness::Lenient, Strictness::Strict] {
        let links = b"</1/0>,</3/0>";
        let format = Some(ContentFormat::LINK);
        if let Ok(register) = Register::parse(queries(), format, links, strictness) {
            let written = register.queries();
            let written = written.iter().map(|query| &**query);
            let again =
                Register::parse(written, format, links, strictness).expect("what we write we read");
            assert_eq!(
                (again.endpoint, again.binding),
                (register.endpoint, register.binding)
            );
            assert_eq!(again.lifetime_s, register.lifetime_s);
        }
        let _ = Update::parse("x", queries(), format, b"", strictness);
    }
    let _ = BootstrapRequest::parse(queries());
    let _ = text.parse::<Path>();
}
