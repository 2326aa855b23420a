//! What happens, one line each.

use std::fmt;
use std::io::Write as _;

use dunlin_client::lwm2m::{Node, Path};
use dunlin_client::{Client, Event, FirmwareState};

use crate::table::plain;

/// Values longer than this are cut in the news.
const VALUE_CHARACTERS_MAX: usize = 80;

/// Prints a line. Somebody who no longer reads is no reason to stop working.
pub(super) fn say(line: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", plain(&line.to_string()));
    let _ = out.flush();
}

/// An event in words; `None` for those that only the program acts on.
pub(super) fn line(client: &Client, server: &str, event: &Event) -> Option<String> {
    Some(match event {
        Event::Registered { location, .. } => {
            let account = client.servers().next();
            let lifetime = account.map_or(0, |(account, _)| account.lifetime_s);
            format!("registered with {server} as /{location}, for {lifetime} s")
        }
        Event::Updated { changed: true, .. } => "told the server what has changed".into(),
        Event::Updated { changed: false, .. } => "told the server that it is still there".into(),
        Event::RegistrationFailed {
            reason, again_in_s, ..
        } => format!("not registered with {server}: {reason}; again in {again_in_s} s"),
        Event::Deregistered { .. } => format!("de-registered from {server}"),
        Event::Written { paths, .. } => {
            let values = paths.iter().map(|path| with_value(client, *path));
            format!("written by the server: {}", join(values))
        }
        Event::Executed {
            path, arguments, ..
        } if arguments.is_empty() => format!("executed by the server: {path}"),
        Event::Executed {
            path, arguments, ..
        } => format!("executed by the server: {path} with {arguments}"),
        Event::Created { paths, .. } => {
            let paths = paths.iter().map(ToString::to_string);
            format!("created by the server: {}", join(paths))
        }
        Event::Deleted { path, .. } => format!("deleted by the server: {path}"),
        Event::Observed { path, .. } => format!("observed from now on: {path}"),
        Event::ObservationEnded { path, .. } => format!("no longer observed: {path}"),
        Event::Notified { path, .. } => format!("notified: {}", with_value(client, *path)),
        Event::Refused {
            path, code, what, ..
        } => format!("refused to the server: {path}, {code}, {what}"),
        Event::Firmware { state, result } => {
            let state = match state {
                FirmwareState::Idle => "no package",
                FirmwareState::Downloading => "a package comes",
                FirmwareState::Downloaded => "a package is there, whole and good",
                FirmwareState::Updating => "the package is being installed",
            };
            format!("firmware: {state} (update result {result})")
        }
        Event::Asleep => "sleeps".into(),
        Event::Awake => "wakes".into(),
        _ => return None,
    })
}

fn with_value(client: &Client, path: Path) -> String {
    let values = client.read(path).map(|node| match &node {
        Node::Resource(_) => join(node.values(path).iter().map(|(_, value)| value.to_string())),
        Node::Object(_) | Node::Instance(_) => {
            format!("{} values", node.values(path).len())
        }
    });
    match values {
        Some(values) => format!("{path} = {}", cut(&values)),
        None => format!("{path} is gone"),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(VALUE_CHARACTERS_MAX + 1);
        assert_eq!(cut(&long).chars().count(), VALUE_CHARACTERS_MAX + 1);
        assert!(cut(&long).ends_with('…'));
    }
}
