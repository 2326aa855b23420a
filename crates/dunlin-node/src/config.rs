//! Settings: one annotated file is documentation and default at once.
//!
//! `dunlin.toml` of this crate is compiled in and read first; a file given by the operator, then
//! the environment (`DUNLIN__HTTP__BIND`), then flags lie over it. A key that is not in the default
//! file is an error with its line and column.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dunlin_transport::Port;
use serde::Deserialize;

/// The default file: every setting with its meaning.
pub const DEFAULT: &str = include_str!("../dunlin.toml");

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Shards; 0: one per core.
    pub shards: usize,
    /// The LwM2M Server.
    pub server: Server,
    /// DTLS.
    pub dtls: Dtls,
    /// REST, UI and metrics.
    pub http: Http,
    /// The store.
    pub store: Store,
    /// Logs.
    pub log: Log,
}

/// The LwM2M Server.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where Clients without security are heard.
    pub coap: Vec<SocketAddr>,
    /// Where Clients with DTLS are heard.
    pub coaps: Vec<SocketAddr>,
    /// Where the Bootstrap-Server hears Clients without security.
    pub bootstrap_coap: Vec<SocketAddr>,
    /// Where the Bootstrap-Server hears Clients with DTLS.
    pub bootstrap_coaps: Vec<SocketAddr>,
    /// Who may register without security.
    pub nosec: NoSec,
    /// Whether departures from the standard are refused.
    pub strict: bool,
    /// How long a Client in queue mode listens after it was heard, seconds.
    pub awake_window_s: u64,
    /// Requests that may wait for one Client.
    pub queue_depth_max: usize,
    /// Messages that one Client may send per second.
    pub client_messages_per_second: u32,
    /// Messages that one Client may send at once.
    pub client_messages_burst: u32,
    /// How long Clients that have gone are remembered, seconds.
    pub departed_for_s: u64,
}

impl Server {
    /// The addresses of a door.
    #[must_use]
    pub fn addresses(&self, port: Port) -> &[SocketAddr] {
        match port {
            Port::Coap => &self.coap,
            Port::Coaps => &self.coaps,
            Port::BootstrapCoap => &self.bootstrap_coap,
            Port::BootstrapCoaps => &self.bootstrap_coaps,
        }
    }

    /// Closes every door; for those who then open the ones they want.
    pub fn close_doors(&mut self) {
        self.coap.clear();
        self.coaps.clear();
        self.bootstrap_coap.clear();
        self.bootstrap_coaps.clear();
    }
}

/// DTLS.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Dtls {
    /// The Server's private key, PEM; empty: made at the first start.
    pub key: PathBuf,
    /// Its certificates, PEM, its own first; empty: none beside a key that is set, self-signed
    /// otherwise.
    pub certificate: PathBuf,
    /// Authorities whose certificates Clients may show, PEM.
    pub client_ca: PathBuf,
    /// Whether the suites with CBC are taken.
    pub cbc: bool,
    /// Sessions at once.
    pub sessions_max: usize,
    /// Handshakes under way at once.
    pub handshakes_max: usize,
    /// Handshakes that one host may begin per second.
    pub host_handshakes_per_second: u32,
}

/// Who may register without security.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum NoSec {
    /// Nobody.
    Off,
    /// Clients on this machine.
    Loopback,
    /// Everybody.
    Any,
}

/// REST, UI and metrics.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where.
    pub bind: SocketAddr,
    /// Names under which it may be called, beside addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// The store.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// What an answer promises.
    pub durability: Durability,
    /// How large the event log may grow, bytes.
    pub log_bytes_max: u64,
    /// How old its events may be, seconds.
    pub log_age_max_s: u64,
    /// The file with the key under which secrets are sealed; empty: `key` in the data folder.
    pub key_file: PathBuf,
}

/// What an answer promises.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It survives a power cut.
    Sync,
    /// It survives the end of the process alone.
    Memory,
}

/// Logs.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What is logged, such as `info` or `dunlin_server=debug`.
    pub filter: String,
    /// One JSON object per line.
    pub json: bool,
}

impl Config {
    /// Where the key is under which secrets are sealed.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        if self.store.key_file.as_os_str().is_empty() {
            return self.data.join("key");
        }
        self.store.key_file.clone()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::read(None, &[]).expect("the default file is read by a test")
    }
}

/// A mistake in a setting, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or the environment variable.
    pub source: String,
    /// Line and column, from 1, in a file.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => {
                write!(f, "{}:{line}:{column}: {}", self.source, self.what)
            }
            None => write!(f, "{}: {}", self.source, self.what),
        }
    }
}

impl Config {
    /// The defaults, the file if there is one, and these environment variables over it: names and
    /// values as the process has them; others than `DUNLIN__…` are passed over.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn read(
        file: Option<&Path>,
        environment: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut table = parse("the default", DEFAULT)?;
        if let Some(path) = file {
            let source = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
                source: source.clone(),
                place: None,
                what: format!("cannot be read: {error}"),
            })?;
            // Unknown keys and wrong types are found here, where the place is known.
            let whole = overlay(parse("the default", DEFAULT)?, parse(&source, &text)?);
            check(&source, &text, &whole)?;
            table = whole;
        }
        for (name, value) in environment {
            if let Some(keys) = name.strip_prefix("DUNLIN__") {
                set(&mut table, name, keys, value)?;
            }
        }
        toml::Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError {
                source: "settings".into(),
                place: None,
                what: error.message().to_owned(),
            })
    }
}

fn parse(source: &str, text: &str) -> Result<toml::Table, ConfigError> {
    text.parse::<toml::Table>().map_err(|error| ConfigError {
        source: source.to_owned(),
        place: error.span().map(|span| place(text, span.start)),
        what: error.message().to_owned(),
    })
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

fn overlay(mut base: toml::Table, over: toml::Table) -> toml::Table {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => {
                *inner = overlay(std::mem::take(inner), over);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
    base
}

/// Finds the place of what does not fit: the file's own text laid over the defaults line by line
/// would lose it, so the key that the message names is looked up in the file.
fn check(source: &str, text: &str, whole: &toml::Table) -> Result<(), ConfigError> {
    let read: Result<Config, toml::de::Error> = toml::Value::Table(whole.clone()).try_into();
    let Err(error) = read else { return Ok(()) };
    let message = error.message().to_owned();
    let key = message.split('`').nth(1).unwrap_or_default();
    let named = message.starts_with("unknown field").then_some(key);
    let found = named.and_then(|key| {
        text.lines().enumerate().find_map(|(line, content)| {
            let trimmed = content.trim_start();
            let is_key = trimmed
                .strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
                || trimmed.trim_matches(['[', ']']) == key;
            is_key.then(|| (line + 1, content.len() - trimmed.len() + 1))
        })
    });
    let place = found.or_else(|| wrong_value(text));
    Err(ConfigError {
        source: source.to_owned(),
        place,
        what: message,
    })
}

/// The first setting of the file that does not fit by itself.
fn wrong_value(text: &str) -> Option<(usize, usize)> {
    let base = DEFAULT.parse::<toml::Table>().ok()?;
    let mut section = String::new();
    for (line, content) in text.lines().enumerate() {
        let trimmed = content.trim();
        if trimmed.starts_with('[') && trimmed.ends_with(']') {
            section = format!("{trimmed}\n");
            continue;
        }
        let Ok(one) = format!("{section}{trimmed}").parse::<toml::Table>() else {
            continue;
        };
        let whole = toml::Value::Table(overlay(base.clone(), one));
        if whole.try_into::<Config>().is_err() {
            let value = content.find('=').map_or(0, |at| at + 1);
            let blanks = content[value..].len() - content[value..].trim_start().len();
            return Some((line + 1, value + blanks + 1));
        }
    }
    None
}

fn set(table: &mut toml::Table, name: &str, keys: &str, text: &str) -> Result<(), ConfigError> {
    let wrong = |what: String| ConfigError {
        source: name.to_owned(),
        place: None,
        what,
    };
    let mut keys: Vec<String> = keys.split("__").map(str::to_ascii_lowercase).collect();
    let last = keys.pop().unwrap_or_default();
    let mut inner = &mut *table;
    for key in &keys {
        inner = match inner.get_mut(key) {
            Some(toml::Value::Table(inner)) => inner,
            _ => return Err(wrong(format!("there is no section \"{key}\""))),
        };
    }
    let Some(known) = inner.get_mut(&last) else {
        return Err(wrong(format!("there is no setting \"{last}\" here")));
    };
    let value = match known {
        toml::Value::String(_) => toml::Value::String(text.to_owned()),
        toml::Value::Array(_) => toml::Value::Array(
            text.split(',')
                .map(|one| toml::Value::String(one.trim().to_owned()))
                .collect(),
        ),
        _ => format!("v = {text}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut one| one.remove("v"))
            .ok_or_else(|| wrong(format!("\"{text}\" is neither a number nor true or false")))?,
    };
    let whole = {
        *known = value;
        toml::Value::Table(table.clone())
    };
    whole
        .try_into::<Config>()
        .map(drop)
        .map_err(|error: toml::de::Error| wrong(error.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dunlin.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(Some(&path), &[])
    }

    #[test]
    fn the_default_file_holds_every_setting() {
        let config = Config::read(None, &[]).unwrap();
        assert_eq!(config.server.nosec, NoSec::Loopback);
        assert_eq!(config.http.bind.port(), 8080);
    }

    #[test]
    fn a_file_lies_over_the_defaults_and_the_environment_over_the_file() {
        let config = file("[server]\nstrict = true\n").unwrap();
        assert!(config.server.strict);
        assert_eq!(
            config.server.queue_depth_max,
            Config::default().server.queue_depth_max
        );
        let environment = [
            ("DUNLIN__HTTP__BIND".to_owned(), "127.0.0.1:9".to_owned()),
            (
                "DUNLIN__SERVER__COAP".to_owned(),
                "127.0.0.1:1, [::1]:2".to_owned(),
            ),
            ("DUNLIN__SERVER__AWAKE_WINDOW_S".to_owned(), "20".to_owned()),
            ("DUNLIN_API".to_owned(), "x".to_owned()),
        ];
        let config = Config::read(None, &environment).unwrap();
        assert_eq!(config.http.bind.port(), 9);
        assert_eq!(config.server.coap.len(), 2);
        assert_eq!(config.server.awake_window_s, 20);
    }

    #[test]
    fn a_mistake_is_named_with_line_and_column() {
        let unknown = file("[server]\n  strikt = true\n").unwrap_err();
        assert_eq!(unknown.place, Some((2, 3)), "{unknown}");
        assert!(unknown.what.contains("strikt"), "{unknown}");
        let wrong = file("[server]\nstrict = 7\n").unwrap_err();
        assert_eq!(wrong.place, Some((2, 10)), "{wrong}");
        let broken = file("[server\n").unwrap_err();
        assert_eq!(broken.place.map(|(line, _)| line), Some(1), "{broken}");
        let environment = [("DUNLIN__HTTP__BNID".to_owned(), "x".to_owned())];
        assert!(
            Config::read(None, &environment)
                .unwrap_err()
                .what
                .contains("bnid")
        );
    }
}
