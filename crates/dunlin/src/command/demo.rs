//! `dunlin demo`: the Server in a temporary folder, with devices that move, sleep, lose and reboot.

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
        config.server.close_doors();
        config.server.coap = vec![free_udp(5683)?];
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
        let coap = node.at(Port::Coap)[0];
        println!("dunlin demo: open http://{}/", node.http());
        println!(
            "  clients register at coap://{coap}; ask them with DUNLIN_API=http://{} dunlin list",
            node.http()
        );
        println!("  end with Ctrl-C");
        let devices = demo_clients(self.clients);
        let operator = devices.clone();
        thread::spawn(move || operate(&api, &operator));
        let ended = run_devices(devices, coap);
        node.stop();
        println!("dunlin demo: ended; its data folder is removed");
        ended
    }
}

fn run_devices(devices: Vec<DemoClient>, server: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let server = Provisioned::Server(format!("coap://{server}"));
    let devices = devices.into_iter();
    let devices = devices.map(|device| (device, server.clone())).collect();
    runtime.block_on(async {
        let mut ended = Ok(());
        run_demo_clients(devices, async { ended = interrupted().await }).await;
        ended
    })
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
