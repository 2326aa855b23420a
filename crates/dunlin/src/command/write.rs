//! `dunlin write`: values to a Client, typed by the object definition.

use clap::Args as ClapArgs;
use dunlin_lwm2m::Level;
use ureq::http::Method;

use crate::api::Api;
use crate::arguments::{Target, Waiting, definition, parse_resource, parse_resources, print_done};

/// Write values to a Client
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin write lamp /3/0/14 +02:00                  one Resource
  dunlin write lamp /2/0/2 1=15 101=1               a Resource with instances
  dunlin write lamp /3/0 14=+02:00 15=Europe/Berlin --partial
  dunlin write lamp /5/0/0 @firmware.bin            bytes: @FILE, hex:0102 or base64")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The value; INSTANCE=VALUE where the Resource has instances; RESOURCE=VALUE for an Object Instance
    #[arg(required = true, value_name = "VALUE", allow_negative_numbers = true)]
    values: Vec<String>,
    /// Partial update: what is not named stays
    #[arg(long)]
    partial: bool,
    /// Content format on the wire: tlv, json, text, opaque, or a number
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
        target.require(&[Level::Instance, Level::Resource], "/3/0 or /3/0/14")?;
        let object = target.path.object_id().expect("the path has an object");
        let definition = definition(&self.api, &target.endpoint, object.0)?;
        let body = match target.path.resource_id() {
            Some(resource) => parse_resource(&self.values, resource.0, &definition)?,
            None => parse_resources(&self.values, &definition)?,
        };
        let method = if self.partial {
            Method::PATCH
        } else {
            Method::PUT
        };
        let query = self.waiting.query(&[("format", self.format.as_deref())]);
        let answer = self
            .api
            .ask(method, &format!("{}{query}", target.url()), Some(&body))?;
        print_done(&self.api, &target.endpoint, &answer)?;
        Ok(())
    }
}
