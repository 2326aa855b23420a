//! What Linux knows of the machine, as Resources: the sources that [`dunlin_client::Source`] asks for. Each reads
//! small files of the system below a folder, which is `/` but for tests.

mod device;
mod location;
mod network;
mod thermometer;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

pub(super) use device::{Device, host_name};
pub(super) use location::Location;
pub(super) use network::Network;
pub(super) use thermometer::Thermometer;

/// A file of the system that is longer than this is not one of those that are read here: `/proc/net/fib_trie` of a
/// router may have thousands of lines.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A small file of the system.
fn text_of(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The first line of a small file of the system, if it says anything.
fn line_of(path: &Path) -> Option<String> {
    let text = text_of(path)?;
    let line = text.lines().next()?.trim_matches(['\0', ' ', '\t']);
    (!line.is_empty()).then(|| line.to_owned())
}

fn number_of(path: &Path) -> Option<i64> {
    line_of(path)?.parse().ok()
}

/// The names of what is in a folder, in their order.
fn names_in(path: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Writes a file of a made system.
#[cfg(test)]
fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
