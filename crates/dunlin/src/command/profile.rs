//! `dunlin profile`: what the Bootstrap-Server writes, and to whom.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args as ClapArgs, Subcommand};
use dunlin_api::segment;
use serde_json::{Value as Json, json};
use ureq::http::Method;

use crate::api::Api;
use crate::table::{Table, plain, say};
use crate::view;

/// What the API takes of a profile.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Say what the Bootstrap-Server writes, and to which Clients
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin profile put fleet --uri coaps://lwm2m.example.com
  dunlin profile plan lamp
  dunlin profile list")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Add a profile, or put it in the place of the one with this name
    #[command(after_help = "Example:
  dunlin profile put fleet --uri coaps://lwm2m.example.com                   for every Client; each gets a key of its own
  dunlin profile put lamps --uri coap://10.0.0.2 --pattern 'lamp-*' --lifetime 300
  dunlin profile put fleet --file fleet.json --dry-run                       docs/reference/rest.md shows what can be said")]
    Put(Box<Put>),
    /// List the profiles
    #[command(after_help = "Example:\n  dunlin profile list")]
    List {
        #[command(flatten)]
        api: Api,
    },
    /// Show a profile as JSON, without its keys; put takes it again
    #[command(after_help = "Example:\n  dunlin profile show fleet >fleet.json")]
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        api: Api,
    },
    /// Remove a profile; what Clients were given stays with them
    #[command(after_help = "Example:\n  dunlin profile remove fleet")]
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        api: Api,
    },
    /// Show what a Client would be given, step by step
    #[command(after_help = "Example:\n  dunlin profile plan lamp-7")]
    Plan {
        /// Endpoint name of the Client
        endpoint: String,
        /// As if this profile were for it
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        #[command(flatten)]
        api: Api,
    },
}

#[derive(ClapArgs)]
struct Put {
    /// Name: letters, digits and . _ -
    name: String,
    /// File with the whole profile, JSON; - is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "uri", conflicts_with_all = ["uri", "pattern", "endpoint", "lifetime", "short_server_id"])]
    file: Option<PathBuf>,
    /// Server that the Client shall register with: coap://HOST or coaps://HOST
    #[arg(long)]
    uri: Option<String>,
    /// For the Clients whose whole name fits; * stands for any characters, ? for one
    #[arg(long)]
    pattern: Option<String>,
    /// For this one Client
    #[arg(long, conflicts_with = "pattern")]
    endpoint: Option<String>,
    /// Lifetime of the registration
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<u32>,
    /// Short Server ID of the account
    #[arg(long, value_name = "N", default_value_t = 1)]
    short_server_id: u16,
    /// Check it and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Put(put) => put.run(),
            Action::List { api } => list(&api),
            Action::Show { name, api } => {
                let profile = api.get(&format!("/profiles/{}", segment(&name)))?;
                say!("{profile:#}");
                Ok(())
            }
            Action::Remove { name, api } => {
                let path = format!("/profiles/{}", segment(&name));
                api.ask(Method::DELETE, &path, None).map(drop)
            }
            Action::Plan {
                endpoint,
                profile,
                api,
            } => plan(&api, &endpoint, profile.as_deref()),
        }
    }
}

impl Put {
    fn run(self) -> anyhow::Result<()> {
        let profile = match (&self.file, &self.uri) {
            (Some(file), _) => read(file)?,
            (None, Some(uri)) => self.simple(uri),
            (None, None) => bail!("say what the profile holds, with --uri URI or --file FILE"),
        };
        let path = format!("/profiles/{}?dry_run={}", segment(&self.name), self.dry_run);
        let answer = self.api.ask(Method::PUT, &path, Some(&profile))?.json;
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            eprintln!("{}", plain(&view::text(warning)));
        }
        if self.api.json {
            say!("{answer}");
            return Ok(());
        }
        let done = match (self.dry_run, answer["replaced"] == Json::Bool(true)) {
            (true, _) => "can be used (nothing was changed)",
            (false, true) => "is changed",
            (false, false) => "is added",
        };
        say!("{} {done}", self.name);
        Ok(())
    }

    /// One Server, and a key for every Client where the scheme has one.
    fn simple(&self, uri: &str) -> Json {
        let mode = if uri.starts_with("coaps://") {
            "psk"
        } else {
            "nosec"
        };
        let mut server = json!({
            "short_server_id": self.short_server_id,
            "uri": uri,
            "keys": {"mode": mode},
        });
        if let Some(lifetime_s) = self.lifetime {
            server["lifetime_s"] = lifetime_s.into();
        }
        json!({"pattern": self.pattern, "endpoint": self.endpoint, "servers": [server]})
    }
}

fn read(file: &Path) -> anyhow::Result<Json> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file);
        opened.and_then(|opened| opened.take(FILE_BYTES_MAX).read_to_string(&mut text))
    }
    .with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

fn list(api: &Api) -> anyhow::Result<()> {
    let list = api.get("/profiles")?;
    if api.json {
        say!("{}", list["profiles"]);
        return Ok(());
    }
    let profiles = list["profiles"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if profiles.is_empty() {
        eprintln!(
            "There are no profiles; 'dunlin profile put fleet --uri coaps://HOST' makes one."
        );
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "FOR", "SERVERS", "SECURITY"]);
    for profile in profiles {
        let servers = profile["servers"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let join = |text: &dyn Fn(&Json) -> String| {
            servers.iter().map(text).collect::<Vec<_>>().join(", ")
        };
        table.row([
            view::text(&profile["name"]),
            match (profile["endpoint"].as_str(), profile["pattern"].as_str()) {
                (Some(name), _) => name.to_owned(),
                (None, Some(pattern)) => pattern.to_owned(),
                (None, None) => "all others".to_owned(),
            },
            join(&|server| view::text(&server["uri"])),
            join(&|server| {
                let mode = view::text(&server["keys"]["mode"]);
                if server["keys"]["made"] == Json::Bool(true) {
                    format!("{mode}, made for each")
                } else {
                    mode
                }
            }),
        ]);
    }
    Ok(table.print()?)
}

fn plan(api: &Api, endpoint: &str, profile: Option<&str>) -> anyhow::Result<()> {
    let query = profile
        .map(|name| format!("?profile={}", segment(name)))
        .unwrap_or_default();
    let plan = api.get(&format!("/bootstrap/plan/{}{query}", segment(endpoint)))?;
    if api.json {
        say!("{plan}");
        return Ok(());
    }
    eprintln!(
        "By the profile \"{}\":",
        plain(&view::text(&plan["profile"]))
    );
    let mut table = Table::new(&["STEP", "PATH", "NAME", "VALUE"]);
    for step in plan["steps"].as_array().into_iter().flatten() {
        table.row([
            view::text(&step["operation"]),
            view::text(&step["path"]),
            String::new(),
            String::new(),
        ]);
        for value in step["values"].as_array().into_iter().flatten() {
            let shown = match (value["secret_bytes"].as_u64(), &value["text"]) {
                (Some(bytes), _) => format!("({bytes} secret bytes)"),
                (None, Json::Null) => view::text(&value["value"]),
                (None, text) => view::text(text),
            };
            table.row([
                String::new(),
                view::text(&value["path"]),
                view::text(&value["name"]),
                shown,
            ]);
        }
    }
    Ok(table.print()?)
}
