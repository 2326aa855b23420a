//! The tables in `src/definition/bundled.rs` are what `objects/*.xml` says.
//!
//! `DUNLIN_BLESS=1 cargo test -p dunlin-lwm2m --test bundled` writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use dunlin_lwm2m::definition::{ObjectDefinition, Operations, ResourceDefinition, parse_ddf};
use dunlin_lwm2m::{ObjectId, ObjectVersion, Registry};

const HEAD: &str = "//! The bundled definitions as tables. Generated from `objects/*.xml` by the test `bundled`; run it
//! with `DUNLIN_BLESS=1` after a change there.

use alloc::borrow::Cow;

use super::{ObjectDefinition, Operations, ResourceDefinition};
use crate::id::{ObjectId, ResourceId};
use crate::value::ValueType;
use crate::version::{LwM2mVersion, ObjectVersion};

";

const ROW: &str = "
/// One row of the tables below.
#[expect(clippy::too_many_arguments, reason = \"a row has as many columns as the standard's template\")]
const fn row(
    id: u16,
    name: &'static str,
    operations: Operations,
    multiple: bool,
    mandatory: bool,
    value_type: ValueType,
    range_text: &'static str,
    units: &'static str,
    description: &'static str,
) -> ResourceDefinition {
    ResourceDefinition {
        id: ResourceId(id),
        name: Cow::Borrowed(name),
        operations,
        multiple,
        mandatory,
        value_type,
        range_text: Cow::Borrowed(range_text),
        units: Cow::Borrowed(units),
        description: Cow::Borrowed(description),
    }
}
";

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn definitions() -> Vec<ObjectDefinition> {
    let mut definitions = Vec::new();
    for entry in fs::read_dir(here().join("objects")).unwrap() {
        let path = entry.unwrap().path();
        let parsed = parse_ddf(&fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for definition in parsed {
            let name = format!("{}-{}.xml", definition.id, definition.version);
            assert_eq!(path.file_name().unwrap().to_str().unwrap(), name);
            definitions.push(definition);
        }
    }
    definitions.sort_by_key(|definition| (definition.id, definition.version));
    definitions
}

fn operations(operations: Operations) -> &'static str {
    match (operations.read, operations.write, operations.execute) {
        (false, false, false) => "NONE",
        (true, false, false) => "R",
        (false, true, false) => "W",
        (true, true, false) => "RW",
        (false, false, true) => "E",
        other => panic!("no resource has {other:?}"),
    }
}

fn write_resource(text: &mut String, resource: &ResourceDefinition) {
    writeln!(
        text,
        "    row({}, {:?}, Operations::{}, {}, {}, ValueType::{:?}, {:?}, {:?}, {:?}),",
        resource.id,
        resource.name,
        operations(resource.operations),
        resource.multiple,
        resource.mandatory,
        resource.value_type,
        resource.range_text,
        resource.units,
        resource.description,
    )
    .unwrap();
}

fn write_object(text: &mut String, object: &ObjectDefinition) {
    let version = object.version;
    let name = format!("{}_V{}_{}", object.id, version.major, version.minor);
    writeln!(
        text,
        "\n#[rustfmt::skip]\nstatic RESOURCES_{name}: &[ResourceDefinition] = &["
    )
    .unwrap();
    object
        .resources
        .iter()
        .for_each(|resource| write_resource(text, resource));
    writeln!(
        text,
        "];\n\nstatic OBJECT_{name}: ObjectDefinition = ObjectDefinition {{"
    )
    .unwrap();
    writeln!(text, "    id: ObjectId({}),", object.id).unwrap();
    writeln!(
        text,
        "    version: ObjectVersion {{ major: {}, minor: {} }},",
        version.major, version.minor
    )
    .unwrap();
    let lwm2m = object.lwm2m_version;
    writeln!(
        text,
        "    lwm2m_version: LwM2mVersion {{ major: {}, minor: {} }},",
        lwm2m.major, lwm2m.minor
    )
    .unwrap();
    writeln!(text, "    name: Cow::Borrowed({:?}),", object.name).unwrap();
    writeln!(
        text,
        "    description: Cow::Borrowed(\n        {:?},\n    ),",
        object.description
    )
    .unwrap();
    writeln!(
        text,
        "    multiple: {},\n    mandatory: {},",
        object.multiple, object.mandatory
    )
    .unwrap();
    writeln!(text, "    resources: Cow::Borrowed(RESOURCES_{name}),\n}};").unwrap();
}

fn generate() -> String {
    let definitions = definitions();
    let mut text = String::from(HEAD);
    text.push_str("/// Every bundled definition, by id and version.\n#[rustfmt::skip]\npub static BUNDLED: &[&ObjectDefinition] = &[\n");
    for object in &definitions {
        let version = object.version;
        writeln!(
            text,
            "    &OBJECT_{}_V{}_{},",
            object.id, version.major, version.minor
        )
        .unwrap();
    }
    text.push_str("];\n");
    text.push_str(ROW);
    definitions
        .iter()
        .for_each(|object| write_object(&mut text, object));
    text
}

#[test]
fn the_bundled_tables_are_what_the_files_say() {
    if std::env::var_os("DUNLIN_BLESS").is_some() {
        fs::write(here().join("src/definition/bundled.rs"), generate()).unwrap();
        return;
    }
    let registry = Registry::bundled();
    let bundled: Vec<_> = registry
        .iter()
        .map(|definition| (**definition).clone())
        .collect();
    assert!(
        bundled == definitions(),
        "run this test with DUNLIN_BLESS=1"
    );
}

#[test]
fn ts_annex_e_the_objects_of_the_enabler_are_bundled() {
    let registry = Registry::bundled();
    for (id, name, resources, mandatory) in [
        (0, "LWM2M Security", 13, true),
        (1, "LwM2M Server", 9, true),
        (2, "LwM2M Access Control", 4, false),
        (3, "Device", 23, true),
        (4, "Connectivity Monitoring", 11, false),
        (5, "Firmware Update", 9, false),
        (6, "Location", 7, false),
        (7, "Connectivity Statistics", 9, false),
    ] {
        let object = registry.exact(ObjectId(id), ObjectVersion::V1_0).unwrap();
        assert_eq!(object.name, name);
        assert_eq!(object.resources.len(), resources, "{name}");
        assert_eq!(object.mandatory, mandatory, "{name}");
        assert_eq!(object.multiple, id < 3, "{name}");
    }
}
