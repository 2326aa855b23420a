//! `dunlin credential`: who may connect, and with what.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use data_encoding::HEXLOWER;
use dunlin_api::segment;
use serde_json::{Value as Json, json};
use ureq::http::Method;

use crate::api::Api;
use crate::table::{Table, say};
use crate::view;

/// Bytes of a key that is made here: what RFC 7925 recommends, and what AES-128 can use.
const GENERATED_BYTES: usize = 16;

/// A file with a key or a certificate is small; a larger one is another file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What the API takes of an import.
const IMPORT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Say who may connect, and with what: pre-shared keys, public keys, certificates
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin credential add lamp --generate
  dunlin credential list
  dunlin credential remove lamp")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Add a credential to those of an endpoint name
    #[command(after_help = "Example:
  dunlin credential add lamp --generate                      a key is made and printed, this once
  dunlin credential add lamp --psk id-7 --key 000102030405060708090a0b0c0d0e0f
  dunlin credential add lamp --key - <key.txt                kept out of the list of processes
  dunlin credential add lamp --rpk lamp.pub.pem
  dunlin credential add lamp --certificate lamp.crt
  dunlin credential add lamp --subject lamp.example.com      any such certificate of a trusted authority")]
    Add(Box<Add>),
    /// List who may connect, without any key
    #[command(after_help = "Example:\n  dunlin credential list --for bootstrap")]
    List {
        /// Endpoint name; all without it
        endpoint: Option<String>,
        /// Only those that open there
        #[arg(long)]
        r#for: Option<Doors>,
        #[command(flatten)]
        api: Api,
    },
    /// Remove the credentials of an endpoint name, and close the sessions made by them
    #[command(
        after_help = "Example:\n  dunlin credential remove lamp\n  dunlin credential remove lamp 9f3c01aa"
    )]
    Remove {
        /// Endpoint name
        endpoint: String,
        /// Only the one with this id
        id: Option<String>,
        #[command(flatten)]
        api: Api,
    },
    /// Add the credentials of a CSV file: all of them, or none if there is a fault
    #[command(after_help = "Example:
  dunlin credential import batch-7.csv --dry-run

The first row names the columns: endpoint, mode, identity, key, public_key, certificate, subject, for.")]
    Import {
        /// The file; - is standard input
        file: PathBuf,
        /// Check the whole file and say what it would do
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        api: Api,
    },
}

#[derive(ClapArgs)]
#[group(id = "proof", multiple = false, args = ["psk", "rpk", "certificate", "subject"])]
struct Add {
    /// Endpoint name
    endpoint: String,
    /// PSK identity that the Client sends; the endpoint name without it
    #[arg(long, value_name = "IDENTITY")]
    psk: Option<String>,
    /// Its key, hexadecimal or base64; - reads it from standard input
    #[arg(long, value_name = "KEY", conflicts_with_all = ["key_file", "generate", "rpk", "certificate", "subject"])]
    key: Option<String>,
    /// File with the key
    #[arg(long, value_name = "FILE", conflicts_with_all = ["generate", "rpk", "certificate", "subject"])]
    key_file: Option<PathBuf>,
    /// Make a key and print it, this once
    #[arg(long, conflicts_with_all = ["rpk", "certificate", "subject"])]
    generate: bool,
    /// File with the Client's public key, PEM, or sha256: and its fingerprint; - is standard input
    #[arg(long, value_name = "FILE")]
    rpk: Option<PathBuf>,
    /// File with the Client's certificate, PEM, or sha256: and its fingerprint; - is standard input
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Name in its certificate, which a trusted authority has issued
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Where it opens [default: both]
    #[arg(long)]
    r#for: Option<Doors>,
    /// Take it in the place of all that the name has, instead of beside them
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    api: Api,
}

#[derive(Clone, Copy, ValueEnum)]
enum Doors {
    /// At the Server
    Server,
    /// At the Bootstrap-Server
    Bootstrap,
    /// At both
    Both,
}

impl Doors {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Bootstrap => "bootstrap",
            Self::Both => "both",
        }
    }
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Add(add) => add.run(),
            Action::List {
                endpoint,
                r#for,
                api,
            } => list(&api, endpoint.as_deref(), r#for),
            Action::Remove { endpoint, id, api } => {
                let mut path = format!("/credentials/{}", segment(&endpoint));
                if let Some(id) = id {
                    path = format!("{path}/{}", segment(&id));
                }
                api.ask(Method::DELETE, &path, None)?;
                Ok(())
            }
            Action::Import { file, dry_run, api } => import(&api, &file, dry_run),
        }
    }
}

impl Add {
    fn run(self) -> anyhow::Result<()> {
        let (mut credential, generated) = self.credential()?;
        if let Some(doors) = self.r#for {
            credential["for"] = doors.name().into();
        }
        let method = if self.replace {
            Method::PUT
        } else {
            Method::POST
        };
        let path = format!("/credentials/{}", segment(&self.endpoint));
        let body = json!({ "credentials": [credential] });
        let mut answer = self.api.ask(method, &path, Some(&body))?.json;
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            eprintln!("{}", crate::table::plain(&view::text(warning)));
        }
        if self.api.json {
            if let Some(key) = &generated {
                answer["key"] = key.as_str().into();
            }
            say!("{answer}");
            return Ok(());
        }
        if let Some(key) = &generated {
            // Alone on standard output, so that a script can take it: KEY=$(dunlin credential add lamp --generate)
            say!("{key}");
            let identity = self.psk.as_deref().unwrap_or(&self.endpoint);
            eprintln!(
                "This is the key of the PSK identity \"{}\". It is not shown again.",
                crate::table::plain(identity)
            );
            return Ok(());
        }
        print(&[answer])
    }

    /// The credential as the API takes it, and the key if one was made.
    fn credential(&self) -> anyhow::Result<(Json, Option<String>)> {
        if let Some(file) = &self.rpk {
            return Ok((json!({"mode": "rpk", "public_key": public(file)?}), None));
        }
        if let Some(file) = &self.certificate {
            return Ok((json!({"mode": "x509", "certificate": public(file)?}), None));
        }
        if let Some(name) = &self.subject {
            return Ok((json!({"mode": "x509", "subject": name}), None));
        }
        let mut generated = None;
        let key = match (&self.key, &self.key_file) {
            (Some(key), _) if key == "-" => read(Path::new("-"), FILE_BYTES_MAX)?,
            (Some(key), _) => key.clone(),
            (None, Some(file)) => read(file, FILE_BYTES_MAX)?,
            (None, None) if self.generate => {
                let random = dunlin_net::seed::draw().context("no random numbers")?;
                let key = HEXLOWER.encode(&random[..GENERATED_BYTES]);
                generated = Some(key.clone());
                key
            }
            (None, None) => bail!(
                "say what the Client proves itself with: --generate or --key KEY, --rpk FILE, --certificate FILE, or --subject NAME"
            ),
        };
        let mut credential = json!({"mode": "psk", "key": key.trim()});
        if let Some(identity) = &self.psk {
            credential["identity"] = identity.as_str().into();
        }
        Ok((credential, generated))
    }
}

/// A fingerprint as it is, or what a file holds.
fn public(file: &Path) -> anyhow::Result<String> {
    match file.to_str() {
        Some(text) if text.starts_with("sha256:") => Ok(text.to_owned()),
        _ => read(file, FILE_BYTES_MAX),
    }
}

/// The text of a file, or of standard input.
fn read(file: &Path, bytes_max: u64) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .take(bytes_max + 1)
            .read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file);
        opened.and_then(|opened| opened.take(bytes_max + 1).read_to_string(&mut text))
    }
    .with_context(|| format!("cannot read {}", file.display()))?;
    if text.len() as u64 > bytes_max {
        bail!("{} has more than {bytes_max} bytes", file.display());
    }
    Ok(text)
}

fn list(api: &Api, endpoint: Option<&str>, doors: Option<Doors>) -> anyhow::Result<()> {
    let mut found = Vec::new();
    if let Some(endpoint) = endpoint {
        found.push(api.get(&format!("/credentials/{}", segment(endpoint)))?);
    } else {
        let doors = doors
            .map(|doors| format!("&for={}", doors.name()))
            .unwrap_or_default();
        let mut cursor = String::new();
        loop {
            let mut page = api.get(&format!("/credentials?limit=1000{doors}{cursor}"))?;
            if let Some(endpoints) = page["endpoints"].as_array_mut() {
                found.append(endpoints);
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={}", view::query_value(next)),
                None => break,
            }
        }
    }
    if api.json {
        say!("{}", Json::Array(found));
        return Ok(());
    }
    if found.is_empty() {
        eprintln!(
            "There are no credentials; 'dunlin credential add ENDPOINT --generate' makes one."
        );
        return Ok(());
    }
    print(&found)
}

fn print(endpoints: &[Json]) -> anyhow::Result<()> {
    let mut table = Table::new(&["ENDPOINT", "ID", "MODE", "FOR", "KNOWN BY", "ADDED"]);
    for endpoint in endpoints {
        for one in endpoint["credentials"].as_array().into_iter().flatten() {
            table.row([
                view::text(&endpoint["endpoint"]),
                view::text(&one["id"]),
                view::text(&one["mode"]),
                view::text(&one["for"]),
                known_by(one),
                view::time(&one["added_at"]),
            ]);
        }
    }
    Ok(table.print()?)
}

/// What the Client shows, in few words: of a fingerprint the beginning is enough to tell two apart.
fn known_by(credential: &Json) -> String {
    if let Some(fingerprint) = credential["fingerprint"].as_str() {
        let short: String = fingerprint.chars().take(23).collect();
        return match credential["subject"].as_str() {
            Some(subject) => format!("{short}… ({subject})"),
            None => format!("{short}…"),
        };
    }
    if let Some(digits) = credential["identity_hex"].as_str() {
        return format!("hex:{digits}");
    }
    let named = credential["identity"]
        .as_str()
        .or(credential["subject"].as_str());
    named.unwrap_or_default().to_owned()
}

fn import(api: &Api, file: &Path, dry_run: bool) -> anyhow::Result<()> {
    let text = read(file, IMPORT_BYTES_MAX)?;
    let path = format!("/credentials/import?dry_run={dry_run}");
    let answer = api
        .send(Method::POST, &path, "text/csv", text.as_bytes())?
        .json;
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        let line = format!("row {}: {}", warning["row"], view::text(&warning["detail"]));
        eprintln!("{}", crate::table::plain(&line));
    }
    if api.json {
        say!("{answer}");
        return Ok(());
    }
    let would = if dry_run {
        " (nothing was changed)"
    } else {
        ""
    };
    say!(
        "{} rows: {} added, {} altered, {} there already{would}",
        answer["rows"],
        answer["added"],
        answer["altered"],
        answer["unchanged"]
    );
    Ok(())
}
