//! `dunlin demo`: the Server in a temporary folder, with devices that bootstrap, move, sleep, lose
//! and reboot.

mod security;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args as ClapArgs;
use dunlin_node::{Config, Data, Node, Port};
use dunlin_sim::demo::{
    CLIENTS_MAX, DEFINITIONS, DemoClient, Provisioned, QUEUE_AWAKE_WINDOW, demo_clients,
    run_demo_clients,
};
use ureq::http::Method;

use crate::api::Api;
use crate::command::serve::{interrupted, start_logs};

/// How long the demo's operator waits for each device to register.
const PATIENCE: Duration = Duration::from_secs(30);

/// Show it all: a server and simulated clients on this machine
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin demo
  dunlin demo --clients 20 --http 127.0.0.1:9000")]
pub(crate) struct Args {
    /// How many clients, of five kinds
    #[arg(long, value_name = "N", default_value_t = 5)]
    clients: usize,
    /// Where the UI answers [default: 127.0.0.1:8080, or a free port]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if self.clients > CLIENTS_MAX {
            bail!(
                "--clients {}: the demo has {CLIENTS_MAX} at most; dunlin fleet makes thousands",
                self.clients
            );
        }
        let folder = tempfile::Builder::new().prefix("dunlin-demo-").tempdir()?;
        let data = folder.path().join("data");
        let mut config = Config {
            data,
            ..Config::default()
        };
        config.log.filter = "warn".to_owned();
        config.server.awake_window_s = QUEUE_AWAKE_WINDOW.as_secs();
        config.server.coap = vec![free_udp(5683)?];
        config.server.coaps = vec![free_udp(5684)?];
        config.server.bootstrap_coap = vec![free_udp(5783)?];
        config.server.bootstrap_coaps = vec![free_udp(5784)?];
        security::make_certificate(&mut config, folder.path())?;
        config.http.bind = match self.http {
            Some(address) => address,
            None => free_tcp(8080)?,
        };
        start_logs(&config)?;
        let node = Node::start(&config, &Data::Folder)?;
        let api = Api::at(node.http());
        for definition in DEFINITIONS {
            let body = definition.as_bytes();
            api.send(Method::PUT, "/objects", "application/xml", body)?;
        }
        let devices = demo_clients(self.clients);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(security::put_profiles(&node, &devices))?;
        let provisioned: anyhow::Result<Vec<_>> = devices
            .iter()
            .map(|device| Ok((device.clone(), security::provision(&node, &api, device)?)))
            .collect();
        let provisioned = provisioned?;
        say_where(&node)?;
        thread::spawn(move || operate(&api, &devices));
        let ended = runtime.block_on(run_devices(provisioned));
        node.stop();
        println!("dunlin demo: ended; its data folder is removed");
        ended
    }
}

fn say_where(node: &Node) -> anyhow::Result<()> {
    println!("dunlin demo: open http://{}/", node.http());
    println!(
        "  devices ask coaps://{} for their keys (one of them coap://{}), then register at coaps://{} and coap://{}",
        security::door(node, Port::BootstrapCoaps)?,
        security::door(node, Port::BootstrapCoap)?,
        security::door(node, Port::Coaps)?,
        security::door(node, Port::Coap)?,
    );
    println!(
        "  ask them with DUNLIN_API=http://{} dunlin list",
        node.http()
    );
    println!("  end with Ctrl-C");
    Ok(())
}

async fn run_devices(devices: Vec<(DemoClient, Provisioned)>) -> anyhow::Result<()> {
    let mut ended = Ok(());
    run_demo_clients(devices, async { ended = interrupted().await }).await;
    ended
}

/// The demo's operator: waits for each device, says so, and observes a value of it.
fn operate(api: &Api, devices: &[DemoClient]) {
    let begin = Instant::now();
    let mut waiting: Vec<&DemoClient> = devices.iter().collect();
    while !waiting.is_empty() && begin.elapsed() < PATIENCE {
        waiting.retain(|device| {
            let path = format!("/clients/{}", dunlin_api::segment(&device.endpoint));
            if api.get(&path).is_err() {
                return true;
            }
            println!("  {} has registered", device.endpoint);
            let observe = format!("{path}/{}/observe?wait=0", device.observed);
            if let Err(error) = api.ask(Method::POST, &observe, None) {
                tracing::warn!(client = device.endpoint, %error, "cannot be observed");
            }
            false
        });
        thread::sleep(Duration::from_millis(100));
    }
}

/// The default port on loopback, or a free one where it is taken.
fn free_udp(port: u16) -> anyhow::Result<SocketAddr> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match UdpSocket::bind(wanted) {
        Ok(_) => Ok(wanted),
        Err(_) => Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?),
    }
}

fn free_tcp(port: u16) -> anyhow::Result<SocketAddr> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(wanted) {
        Ok(_) => Ok(wanted),
        Err(_) => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?),
    }
}
