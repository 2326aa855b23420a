//! What happens, one line each.

use std::fmt;
use std::io::Write as _;

use dunlin_client::lwm2m::{Node, ObjectId, Path, ShortServerId, Value};
use dunlin_client::{Client, Event, FirmwareState, accounts};

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
pub(super) fn line(client: &Client, known_as: &str, event: &Event) -> Option<String> {
    let uri = |server: &ShortServerId| uri_of(client, *server, known_as);
    Some(match event {
        Event::Registered { server, location } => {
            let mut accounts = client.servers().map(|(account, _)| account);
            let account = accounts.find(|account| account.short_server_id == *server);
            let lifetime = account.map_or(0, |account| account.lifetime_s);
            let server = uri(server);
            format!("registered with {server} as /{location}, for {lifetime} s")
        }
        Event::SessionResumed { server } => {
            let server = server.map_or_else(|| known_as.to_owned(), |server| uri(&server));
            format!("the session with {server} goes on, with a short handshake")
        }
        Event::BootstrapStarted { server_initiated } => match server_initiated {
            true => "the bootstrap server begins a bootstrap".into(),
            false => "asks the bootstrap server for its accounts".into(),
        },
        Event::Bootstrapped { servers } => {
            let servers = servers.iter().map(uri);
            format!("bootstrapped; its servers are {}", join(servers))
        }
        Event::BootstrapFailed { reason, again_in_s } => match again_in_s {
            Some(seconds) => format!("not bootstrapped: {reason}; again in {seconds} s"),
            None => format!("not bootstrapped: {reason}; everything is as before"),
        },
        Event::BootstrapRefused { path, code, what } => {
            format!("refused to the bootstrap server: {path}, {code}, {what}")
        }
        Event::SmartcardTaken => "the smartcard's accounts are in force".into(),
        Event::SmartcardGone => "the smartcard is gone, and its accounts with it".into(),
        Event::SmartcardRefused(error) => {
            format!("the smartcard has changed and cannot be used: {error}")
        }
        Event::BootstrapAccountRemoved => {
            "the account of the bootstrap server has had its time and is removed".into()
        }
        Event::Updated { changed: true, .. } => "told the server what has changed".into(),
        Event::Updated { changed: false, .. } => "told the server that it is still there".into(),
        Event::RegistrationFailed {
            server,
            reason,
            again_in_s,
        } => {
            let server = uri(server);
            format!("not registered with {server}: {reason}; again in {again_in_s} s")
        }
        Event::Deregistered { server } => format!("de-registered from {}", uri(server)),
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

/// Where a Server is; `otherwise` when its account is gone.
fn uri_of(client: &Client, server: ShortServerId, otherwise: &str) -> String {
    let accounts = accounts(client.tree()).into_iter();
    let mut all = accounts.filter(|account| account.short_server_id == server);
    let security = all.next().map(|account| account.security);
    let uri = security.and_then(|id| client.tree().value(ObjectId::SECURITY, id, 0));
    uri.and_then(Value::as_str).unwrap_or(otherwise).to_owned()
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
