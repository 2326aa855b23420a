//! Whom the Client belongs to, and by what they know each other: the accounts that the command line,
//! a factory file or a smartcard says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use dunlin_client::{Credentials, Factory, Scheme, ServerUri};
use dunlin_lwm2m::Value;
use dunlin_lwm2m::operation::Binding;
use serde::Deserialize;

/// The longest pre-shared key (TS 1.0 §7.1.7.1).
const KEY_BYTES_MAX: usize = 64;

/// Where people find what they have to compare with.
const IDENTITY_HINT: &str = "a dunlin server tells its own with GET /api/v1/server/identity";

/// Credentials, and other sources of accounts.
#[derive(ClapArgs, Clone, Debug, Default)]
pub(super) struct Account {
    /// The server is a bootstrap server: ask it for accounts
    #[arg(long)]
    bootstrap: bool,
    /// Seconds to wait before asking the bootstrap server (Client Hold Off Time)
    #[arg(long, value_name = "S", default_value_t = 0, requires = "bootstrap")]
    hold_off: u32,
    /// Pre-shared key: its identity
    #[arg(long, value_name = "ID", requires = "key", conflicts_with_all = ["rpk", "cert"])]
    identity: Option<String>,
    /// Pre-shared key: the key in hexadecimal, or @FILE with it
    #[arg(long, value_name = "HEX", requires = "identity")]
    key: Option<String>,
    /// Raw public key: our private key (PEM, P-256)
    #[arg(
        long,
        value_name = "KEY.pem",
        requires = "server_key",
        conflicts_with = "cert"
    )]
    rpk: Option<PathBuf>,
    /// Raw public key: the server's public key (PEM)
    #[arg(long, value_name = "FILE", requires = "rpk")]
    server_key: Option<PathBuf>,
    /// Certificate: ours (PEM)
    #[arg(long, value_name = "CERT.pem", requires = "cert_key")]
    cert: Option<PathBuf>,
    /// Certificate: our private key (PEM, P-256)
    #[arg(long, value_name = "KEY.pem", requires = "cert")]
    cert_key: Option<PathBuf>,
    /// Certificate: the server's own (PEM), which it has to show
    #[arg(long, value_name = "FILE", requires = "cert")]
    server_cert: Option<PathBuf>,
    /// Certificate: authorities (PEM) one of which has to vouch for the server
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        conflicts_with = "server_cert"
    )]
    server_ca: Option<PathBuf>,
    /// Take the server's certificate whatever name it is for
    #[arg(long, requires = "cert")]
    any_server_name: bool,
    /// Accounts and values from this file (TOML) instead of --server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "bootstrap", "identity", "rpk", "cert"])]
    pub(super) factory: Option<PathBuf>,
    /// Accounts from a smartcard's file EF(LwM2M_Bootstrap), as long as it is there and unchanged
    #[arg(long, value_name = "FILE")]
    pub(super) smartcard: Option<PathBuf>,
}

impl Account {
    /// Puts the account for `server` into a Client that is being made, or those of the factory file.
    pub(super) fn add_to(
        &self,
        factory: &mut Factory,
        server: Option<&str>,
        lifetime_s: u32,
        binding: Binding,
    ) -> anyhow::Result<()> {
        if let Some(path) = &self.factory {
            return FactoryFile::read(path)?.add_to(factory, path);
        }
        let Some(uri) = server else { return Ok(()) };
        let credentials = self.credentials(uri)?;
        if self.bootstrap {
            factory.add_bootstrap_server(uri, &credentials, self.hold_off, 0)?;
        } else {
            factory.add_secured_server(uri, &credentials, lifetime_s, binding)?;
        }
        Ok(())
    }

    pub(super) fn is_bootstrap(&self) -> bool {
        self.bootstrap
    }

    /// What the command line says of the account, as Resources of Object 0: it wins over what was
    /// kept.
    pub(super) fn said(&self, uri: &str) -> anyhow::Result<Vec<(String, Value)>> {
        let resources = self.credentials(uri)?.into_resources();
        let mut said = vec![("/0/0/0".to_owned(), Value::String(uri.to_owned()))];
        said.extend(
            resources
                .into_iter()
                .map(|(id, value)| (format!("/0/0/{id}"), value)),
        );
        Ok(said)
    }

    /// Authorities that may vouch for the Server.
    pub(super) fn trust_anchors(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        match &self.server_ca {
            Some(path) => certificates(path),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn checks_server_name(&self) -> bool {
        !self.any_server_name
    }

    /// What the smartcard holds now.
    pub(super) fn card(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(path) = &self.smartcard else {
            return Ok(None);
        };
        let card = fs::read(path).with_context(|| format!("--smartcard {}", path.display()))?;
        Ok(Some(card))
    }

    fn credentials(&self, uri: &str) -> anyhow::Result<Credentials> {
        let parsed =
            ServerUri::parse(uri).map_err(|error| anyhow::anyhow!("--server {uri}: {error}"))?;
        let credentials = Keys {
            identity: self.identity.as_deref(),
            key: self.key.as_deref(),
            rpk: self.rpk.as_deref(),
            server_key: self.server_key.as_deref(),
            cert: self.cert.as_deref(),
            cert_key: self.cert_key.as_deref(),
            server_cert: self.server_cert.as_deref().or(self.server_ca.as_deref()),
        }
        .credentials()?;
        match (parsed.scheme, &credentials) {
            (Scheme::Coaps, Credentials::NoSec) => bail!(
                "--server {uri}: coaps:// needs credentials: --identity ID --key HEX, or --rpk KEY.pem --server-key FILE, or --cert CERT.pem --cert-key KEY.pem --server-cert FILE"
            ),
            (Scheme::Coap, Credentials::NoSec) | (Scheme::Coaps, _) => Ok(credentials),
            (Scheme::Coap, _) => {
                bail!("--server {uri}: credentials go with coaps://, and coap:// is in the clear")
            }
        }
    }
}

/// Where keys are, before they are read.
struct Keys<'a> {
    identity: Option<&'a str>,
    key: Option<&'a str>,
    rpk: Option<&'a Path>,
    server_key: Option<&'a Path>,
    cert: Option<&'a Path>,
    cert_key: Option<&'a Path>,
    server_cert: Option<&'a Path>,
}

impl Keys<'_> {
    fn credentials(&self) -> anyhow::Result<Credentials> {
        let credentials = match (self.identity, self.rpk, self.cert) {
            (None, None, None) => Credentials::NoSec,
            (Some(identity), None, None) => {
                let key = self.key.context("an identity needs a key")?;
                Credentials::Psk {
                    identity: identity.as_bytes().to_vec(),
                    key: psk(key)?,
                }
            }
            (None, Some(own), None) => {
                let theirs = self.server_key.with_context(|| {
                    format!("--rpk needs --server-key, the server's public key; {IDENTITY_HINT}")
                })?;
                Credentials::raw_public_key(private_key(own)?, public_key(theirs)?)
                    .map_err(|what| anyhow::anyhow!("{}: {what}", own.display()))?
            }
            (None, None, Some(own)) => {
                let key = self
                    .cert_key
                    .context("a certificate needs its private key")?;
                let theirs = self.server_cert.with_context(|| {
                    format!("--cert needs --server-cert, the server's own certificate, or --server-ca, an authority that vouches for it; {IDENTITY_HINT}")
                })?;
                Credentials::Certificate {
                    certificate: first(certificates(own)?, own)?,
                    private_key: private_key(key)?,
                    server_certificate: first(certificates(theirs)?, theirs)?,
                }
            }
            _ => bail!(
                "one kind of credentials at a time: a key, a raw public key, or a certificate"
            ),
        };
        credentials
            .check()
            .map_err(|what| anyhow::anyhow!("{what}"))?;
        Ok(credentials)
    }
}

fn first<T>(all: Vec<T>, path: &Path) -> anyhow::Result<T> {
    let first = all.into_iter().next();
    first.with_context(|| format!("{}: there is nothing in it", path.display()))
}

/// A key in hexadecimal, or in the file behind `@`. Blanks and colons are allowed, as tools print
/// them.
fn psk(text: &str) -> anyhow::Result<Vec<u8>> {
    let from_file = match text.strip_prefix('@') {
        Some(path) => Some(fs::read_to_string(path).with_context(|| format!("--key {text}"))?),
        None => None,
    };
    let digits: String = from_file
        .as_deref()
        .unwrap_or(text)
        .chars()
        .filter(|one| !one.is_whitespace() && *one != ':')
        .collect();
    let key = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
    // The text is not repeated: it is a key, whatever is wrong with it.
    let key = key.ok().context("--key: this is not hexadecimal (0-9, a-f, an even number of digits); a key typed as letters has to be written as the hexadecimal of its bytes")?;
    match key.len() {
        0 => bail!("--key: the key is empty"),
        1..=KEY_BYTES_MAX => Ok(key),
        bytes => bail!("--key: {bytes} bytes, and a pre-shared key has {KEY_BYTES_MAX} at most"),
    }
}

fn private_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    let what = "no private key in it (PEM: PRIVATE KEY or EC PRIVATE KEY)";
    part(path, &["PRIVATE KEY", "EC PRIVATE KEY"], what)
}

fn public_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    part(
        path,
        &["PUBLIC KEY"],
        "no public key in it (PEM: PUBLIC KEY)",
    )
}

fn part(path: &Path, labels: &[&str], what: &str) -> anyhow::Result<Vec<u8>> {
    let found = pem(path)?;
    let mut fitting = found
        .into_iter()
        .filter(|(label, _)| labels.contains(&label.as_str()));
    let (_, der) = fitting
        .next()
        .with_context(|| format!("{}: {what}", path.display()))?;
    Ok(der)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let found = pem(path)?.into_iter();
    let all: Vec<Vec<u8>> = found
        .filter(|(label, _)| label == "CERTIFICATE")
        .map(|(_, der)| der)
        .collect();
    if all.is_empty() {
        bail!(
            "{}: no certificate in it (PEM: CERTIFICATE)",
            path.display()
        );
    }
    Ok(all)
}

/// The parts of a PEM file (RFC 7468), with their labels.
fn pem(path: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse_pem(&text).map_err(|what| anyhow::anyhow!("{}: {what}", path.display()))
}

fn parse_pem(text: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut parts = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines().map(str::trim) {
        let marker = |kind: &str| {
            let label = line.strip_prefix(kind)?.strip_suffix("-----")?;
            Some(label.to_owned())
        };
        if let Some(label) = marker("-----BEGIN ") {
            open = Some((label, String::new()));
        } else if let Some(label) = marker("-----END ") {
            let (begun, base64) = open.take().ok_or("an END without BEGIN")?;
            if begun != label {
                return Err(format!("BEGIN {begun} ends with END {label}"));
            }
            let der = BASE64.decode(base64.as_bytes());
            parts.push((
                label,
                der.map_err(|_| format!("the {begun} is not base64"))?,
            ));
        } else if let Some((_, base64)) = &mut open {
            base64.push_str(line);
        }
    }
    match open {
        Some((label, _)) => Err(format!("the {label} has no end")),
        None => Ok(parts),
    }
}

/// A device as it leaves the factory.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactoryFile {
    bootstrap_server: Option<FactoryBootstrap>,
    #[serde(default)]
    server: Vec<FactoryServer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactoryBootstrap {
    uri: String,
    #[serde(default)]
    hold_off_s: u32,
    #[serde(default)]
    account_timeout_s: u32,
    #[serde(default)]
    credentials: FactoryKeys,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactoryServer {
    uri: String,
    #[serde(default = "a_day")]
    lifetime_s: u32,
    #[serde(default)]
    binding: Option<String>,
    #[serde(default)]
    credentials: FactoryKeys,
}

const fn a_day() -> u32 {
    86_400
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactoryKeys {
    identity: Option<String>,
    key: Option<String>,
    rpk: Option<PathBuf>,
    server_key: Option<PathBuf>,
    cert: Option<PathBuf>,
    cert_key: Option<PathBuf>,
    server_cert: Option<PathBuf>,
}

impl FactoryFile {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = || format!("--factory {}", path.display());
        let text = fs::read_to_string(path).with_context(shown)?;
        let file: Self = toml::from_str(&text).with_context(shown)?;
        if file.bootstrap_server.is_none() && file.server.is_empty() {
            bail!("{}: neither [bootstrap_server] nor a [[server]]", shown());
        }
        Ok(file)
    }

    fn add_to(&self, factory: &mut Factory, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let about = |uri: &str| format!("--factory {}: {uri}", path.display());
        if let Some(one) = &self.bootstrap_server {
            let credentials = one
                .credentials
                .read(folder)
                .with_context(|| about(&one.uri))?;
            factory
                .add_bootstrap_server(
                    &one.uri,
                    &credentials,
                    one.hold_off_s,
                    one.account_timeout_s,
                )
                .with_context(|| about(&one.uri))?;
        }
        for one in &self.server {
            let credentials = one
                .credentials
                .read(folder)
                .with_context(|| about(&one.uri))?;
            let binding = one.binding.as_deref().unwrap_or("U");
            let binding = Binding::parse(binding).with_context(|| {
                format!(
                    "{}: binding {binding} is none of U, UQ, S, SQ, US, UQS",
                    about(&one.uri)
                )
            })?;
            factory
                .add_secured_server(&one.uri, &credentials, one.lifetime_s, binding)
                .with_context(|| about(&one.uri))?;
        }
        Ok(())
    }
}

impl FactoryKeys {
    /// Files are named from where the factory file lies.
    fn read(&self, folder: &Path) -> anyhow::Result<Credentials> {
        let beside = |file: &Option<PathBuf>| file.as_ref().map(|file| folder.join(file));
        let (rpk, server_key) = (beside(&self.rpk), beside(&self.server_key));
        let (cert, cert_key) = (beside(&self.cert), beside(&self.cert_key));
        let server_cert = beside(&self.server_cert);
        Keys {
            identity: self.identity.as_deref(),
            key: self.key.as_deref(),
            rpk: rpk.as_deref(),
            server_key: server_key.as_deref(),
            cert: cert.as_deref(),
            cert_key: cert_key.as_deref(),
            server_cert: server_cert.as_deref(),
        }
        .credentials()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_tools_print_them() {
        assert_eq!(psk("00:0a FF").unwrap(), [0, 10, 255]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "0a0b\n").unwrap();
        assert_eq!(psk(&format!("@{}", file.display())).unwrap(), [10, 11]);
        for bad in ["", "abc", "secret", &"00".repeat(65)] {
            let error = psk(bad).unwrap_err().to_string();
            assert!(error.starts_with("--key: "), "{error}");
            assert!(
                bad.is_empty() || !error.contains(bad),
                "the key is not repeated"
            );
        }
    }

    #[test]
    fn rfc7468_parts_are_found_by_their_labels() {
        let text = "a comment\n-----BEGIN A-----\nAQID\nBAU=\n-----END A-----\n-----BEGIN B C-----\n-----END B C-----\n";
        let parts = parse_pem(text).unwrap();
        assert_eq!(parts[0], ("A".into(), vec![1, 2, 3, 4, 5]));
        assert_eq!(parts[1], ("B C".into(), vec![]));
        for (bad, words) in [
            ("-----BEGIN A-----\n", "no end"),
            ("-----END A-----", "without BEGIN"),
            ("-----BEGIN A-----\n-----END B-----", "ends with"),
            ("-----BEGIN A-----\n!!\n-----END A-----", "base64"),
        ] {
            let error = parse_pem(bad).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_factory_file_makes_accounts_and_names_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("factory.toml");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            let mut factory = Factory::new(dunlin_lwm2m::Registry::bundled())?;
            FactoryFile::read(&path)?.add_to(&mut factory, &path)?;
            anyhow::Ok(factory.build())
        };
        let tree = read(
            "[bootstrap_server]\nuri = \"coaps://bs.example:5784\"\nhold_off_s = 10\naccount_timeout_s = 60\n\
             credentials = { identity = \"me\", key = \"00112233445566778899aabbccddeeff\" }\n\
             [[server]]\nuri = \"coap://a.example\"\nlifetime_s = 60\nbinding = \"UQ\"\n",
        )
        .unwrap();
        let account = dunlin_client::bootstrap_account(&tree).unwrap();
        assert_eq!(
            (account.hold_off_s, account.timeout_s, account.mode),
            (10, 60, 0)
        );
        let servers = dunlin_client::accounts(&tree);
        assert_eq!(
            (servers[0].lifetime_s, servers[0].binding),
            (60, Binding::UQ)
        );
        for (text, words) in [
            ("", "neither"),
            (
                "[[server]]\nuri = \"coap://a\"\nliftime = 3",
                "unknown field",
            ),
            ("[[server]]\nuri = \"coaps://a\"", "without security"),
            (
                "[[server]]\nuri = \"coap://a\"\nbinding = \"X\"",
                "binding X",
            ),
            (
                "[[server]]\nuri = \"coaps://a\"\ncredentials = { rpk = \"nowhere.pem\", server_key = \"x\" }",
                "nowhere.pem",
            ),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(words), "{error}");
            assert!(error.contains("factory.toml"), "{error}");
        }
    }
}
