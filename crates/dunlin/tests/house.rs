//! Rules of the house that a program can hold: every arrow between crates points down.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The floor of every crate; see ARCHITECTURE.md.
const FLOORS: [(&str, u8); 12] = [
    ("dunlin-coap", 1),
    ("dunlin-dtls", 1),
    ("dunlin-lwm2m", 1),
    ("dunlin-transport", 2),
    ("dunlin-client", 3),
    ("dunlin-server", 3),
    ("dunlin-net", 4),
    ("dunlin-store", 4),
    ("dunlin-api", 4),
    ("dunlin-node", 5),
    ("dunlin-sim", 6),
    ("dunlin", 7),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a crate needs of ours to be built; what its tests need is free.
fn dependencies(name: &str) -> Vec<String> {
    let path = root().join("crates").join(name).join("Cargo.toml");
    let text = std::fs::read_to_string(path).expect("every crate has a manifest");
    let mut section = "";
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let plain = section == "[dependencies]" || section.ends_with(".dependencies]");
        if plain && line.starts_with("dunlin-") {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            found.push(line[..end].to_owned());
        }
    }
    found
}

#[test]
fn every_arrow_points_down() {
    let floors: BTreeMap<&str, u8> = FLOORS.into_iter().collect();
    for (name, floor) in FLOORS {
        for dependency in dependencies(name) {
            let below = floors.get(dependency.as_str());
            let below = below.unwrap_or_else(|| panic!("{dependency} has no floor in this test"));
            assert!(
                *below < floor,
                "{name} (floor {floor}) uses {dependency} (floor {below})"
            );
        }
    }
}

#[test]
fn every_crate_has_a_floor() {
    let entries = std::fs::read_dir(root().join("crates")).expect("the folder is there");
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(
            FLOORS.iter().any(|(known, _)| *known == name),
            "{name} has no floor"
        );
    }
}

#[test]
fn pure_crates_forbid_clocks_sockets_and_locks() {
    for (name, floor) in FLOORS {
        let rules = root().join("crates").join(name).join("clippy.toml");
        assert_eq!(rules.exists(), floor <= 3, "{name} is on floor {floor}");
    }
}
