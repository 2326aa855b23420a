//! Every definition file of a registry is read. The folder is given by `DUNLIN_REGISTRY_DIR`, or
//! lies beside the workspace; the files themselves are not part of this project.

use std::fs;
use std::path::{Path, PathBuf};

use dunlin_lwm2m::definition::{Range, parse_ddf};
use dunlin_lwm2m::{ObjectId, Registry, ValueType};

fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("DUNLIN_REGISTRY_DIR") {
        return Some(PathBuf::from(folder));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let beside = workspace.join("../../../shared/registry");
    beside.is_dir().then_some(beside)
}

/// `3.xml`, `3-1_0.xml`; a registry has an index and common parts beside its definitions.
fn is_definition(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("");
    name.ends_with(".xml") && name.starts_with(|first: char| first.is_ascii_digit())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| is_definition(path));
    files.sort();
    files
}

#[test]
fn ts_annex_j_every_file_of_the_registry_is_read() {
    let Some(folder) = folder() else {
        eprintln!("skipped: set DUNLIN_REGISTRY_DIR to a folder of object definitions");
        return;
    };
    let mut files_read = files(&folder);
    files_read.extend(files(&folder.join("version_history")));
    assert!(
        !files_read.is_empty(),
        "no definition files in {}",
        folder.display()
    );
    let mut registry = Registry::empty();
    let mut refused = Vec::new();
    for path in &files_read {
        match parse_ddf(&fs::read(path).unwrap()) {
            Ok(objects) => objects.into_iter().for_each(|object| {
                registry.insert(object);
            }),
            Err(error) => refused.push(format!("{}: {error}", path.display())),
        }
    }
    assert_eq!(refused, Vec::<String>::new());
    eprintln!("{} files, {} definitions", files_read.len(), registry.len());
    compare_with_bundled(&registry);
    report_ranges(&registry);
}

/// What we wrote ourselves has the facts of the registry: ids, types, operations, units.
fn compare_with_bundled(registry: &Registry) {
    for ours in Registry::bundled().iter() {
        let Some(theirs) = registry.exact(ours.id, ours.version) else {
            continue;
        };
        let facts = |object: &dunlin_lwm2m::definition::ObjectDefinition| {
            let resources: Vec<_> = object
                .resources
                .iter()
                .map(|r| (r.id, r.operations, r.value_type, r.multiple, r.mandatory))
                .collect();
            (object.multiple, object.mandatory, resources)
        };
        assert_eq!(facts(ours), facts(theirs), "{}", ours.urn());
    }
}

fn report_ranges(registry: &Registry) {
    let (mut understood, mut not) = (0, 0);
    for object in registry.iter() {
        for resource in object
            .resources
            .iter()
            .filter(|resource| !resource.range_text.is_empty())
        {
            match resource.range() {
                Range::Any => not += 1,
                Range::Numbers(_) | Range::Bytes(_) | Range::Texts(_) => understood += 1,
            }
        }
    }
    eprintln!("{understood} ranges understood, {not} not");
    assert!(understood > 5 * not, "{understood} understood, {not} not");
    assert_ne!(
        registry
            .latest(ObjectId(3))
            .unwrap()
            .resource(9)
            .unwrap()
            .value_type,
        ValueType::None
    );
}
