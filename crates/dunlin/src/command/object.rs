//! `dunlin object`: object definitions.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args as ClapArgs, Subcommand};
use dunlin_lwm2m::definition::parse_ddf;
use ureq::http::Method;

use crate::api::Api;
use crate::table::{Table, plain, say};
use crate::view;

/// List, show and add object definitions
#[derive(ClapArgs)]
#[command(
    after_help = "Example:\n  dunlin object list\n  dunlin object show 3\n  dunlin object add 33000.xml"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the object definitions
    #[command(after_help = "Example:\n  dunlin object list")]
    List {
        #[command(flatten)]
        api: Api,
    },
    /// Show an object definition with its Resources
    #[command(after_help = "Example:\n  dunlin object show 3 --version 1.0")]
    Show {
        /// Object ID
        id: u16,
        /// Version; the newest without it
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        #[command(flatten)]
        api: Api,
    },
    /// Add object definitions from DDF files
    #[command(after_help = "Example:\n  dunlin object add 33000.xml 33001.xml")]
    Add {
        /// Files in the standard's DDF format
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        api: Api,
    },
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::List { api } => list(&api),
            Action::Show { id, version, api } => show(&api, id, version.as_deref()),
            Action::Add { files, api } => add(&api, &files),
        }
    }
}

fn list(api: &Api) -> anyhow::Result<()> {
    let list = api.get("/objects")?;
    if api.json {
        say!("{}", list["objects"]);
        return Ok(());
    }
    let mut table = Table::new(&["ID", "VERSION", "NAME", "INSTANCES", "PRESENT"]);
    for object in list["objects"].as_array().into_iter().flatten() {
        table.row([
            view::text(&object["id"]),
            view::text(&object["version"]),
            view::text(&object["name"]),
            view::choice(&object["multiple"], "multiple", "single"),
            view::choice(&object["mandatory"], "mandatory", "optional"),
        ]);
    }
    Ok(table.print()?)
}

fn show(api: &Api, id: u16, version: Option<&str>) -> anyhow::Result<()> {
    let path = match version {
        Some(version) => format!("/objects/{id}/{}", dunlin_api::segment(version)),
        None => format!("/objects/{id}"),
    };
    let object = api.get(&path)?;
    if api.json {
        say!("{object}");
        return Ok(());
    }
    let name = view::text(&object["name"]);
    say!(
        "{}",
        plain(&format!(
            "{id} {name}, version {}",
            view::text(&object["version"])
        ))
    );
    say!("{}\n", plain(&view::text(&object["description"])));
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "OPERATIONS",
        "TYPE",
        "RANGE",
        "UNIT",
        "INSTANCES",
        "PRESENT",
    ]);
    for resource in object["resources"].as_array().into_iter().flatten() {
        table.row([
            view::text(&resource["id"]),
            view::text(&resource["name"]),
            view::text(&resource["operations"]),
            view::text(&resource["type"]),
            view::text(&resource["range"]),
            view::text(&resource["unit"]),
            view::choice(&resource["multiple"], "multiple", "single"),
            view::choice(&resource["mandatory"], "mandatory", "optional"),
        ]);
    }
    Ok(table.print()?)
}

fn add(api: &Api, files: &[PathBuf]) -> anyhow::Result<()> {
    // All are read before the first is sent: a fault in the third must not leave two of five behind.
    let mut texts = Vec::new();
    for file in files {
        let name = file.display();
        let bytes = std::fs::read(file).with_context(|| format!("{name} cannot be read"))?;
        parse_ddf(&bytes).map_err(|error| {
            anyhow!("{name}:{}:{}: {}", error.line, error.column, error.problem)
        })?;
        texts.push((name.to_string(), bytes));
    }
    for (name, bytes) in texts {
        let answer = api
            .send(Method::PUT, "/objects", "application/xml", &bytes)
            .with_context(|| name.clone())?;
        if api.json {
            say!("{}", answer.json["objects"]);
            continue;
        }
        for object in answer.json["objects"].as_array().into_iter().flatten() {
            let object = format!(
                "{} {} {}",
                object["id"],
                view::text(&object["version"]),
                view::text(&object["name"])
            );
            say!("{}", plain(&format!("{name}: {object}")));
        }
    }
    Ok(())
}
