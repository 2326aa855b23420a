//! `dunlin create`: a new Object Instance.

use clap::Args as ClapArgs;
use dunlin_lwm2m::Level;
use serde_json::json;
use ureq::http::Method;

use crate::api::Api;
use crate::arguments::{Target, Waiting, definition, parse_resources, print_done};
use crate::table::say;

/// Create an Object Instance at a Client
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  dunlin create lamp /1 0=102 1=300 6=true 7=U --instance 1")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// RESOURCE=VALUE, or RESOURCE/INSTANCE=VALUE; a Resource by id or name
    #[arg(value_name = "VALUE")]
    values: Vec<String>,
    /// Object Instance ID; left to the Client without it
    #[arg(long, value_name = "ID")]
    instance: Option<u16>,
    /// Content format on the wire: tlv, json, or a number
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let target = &self.target;
        target.require(&[Level::Object], "/1")?;
        let object = target.path.object_id().expect("the path has an object");
        let definition = definition(&self.api, &target.endpoint, object.0)?;
        let mut body = parse_resources(&self.values, &definition)?;
        if let Some(instance) = self.instance {
            body["id"] = json!(instance);
        }
        let query = self.waiting.query(&[("format", self.format.as_deref())]);
        let answer = self.api.ask(
            Method::POST,
            &format!("{}{query}", target.url()),
            Some(&body),
        )?;
        let done = print_done(&self.api, &target.endpoint, &answer)?;
        if done && !self.api.json {
            say!("{}", answer.json["path"].as_str().unwrap_or("created"));
        }
        Ok(())
    }
}
