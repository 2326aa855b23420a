//! `dunlin client`: this machine as an LwM2M Client, against any Server.
//!
//! The machine of `dunlin-client` in the loop of `dunlin-net`; what is added here are the Objects of this
//! machine and of files (`equipment`), a folder that keeps what Servers have written, and one line on
//! standard output for everything that happens. A reboot that a Server orders is the
//! machine begun anew, with what was kept.

mod access;
mod account;
mod equipment;
mod news;
mod objects;
mod package;
mod program;
mod source;
mod state;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use dunlin_client::{
    Client, Config, Event, Factory, NeedId, Now, PackageDone, PackageFault, PackageStep,
};
use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{EndpointName, ObjectId, Registry, Value};
use dunlin_net::client::{ClientLoop, Host, now};
use dunlin_net::seed;
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use self::account::Account;
use self::equipment::{Equipment, Options, Outfit};
use self::objects::Hooks;
use self::package::Packages;
use self::state::State;

/// Seconds a registration lives unless told otherwise: short enough to see a Client go.
const LIFETIME_S_DEFAULT: u32 = 300;

/// How long the Server may take to answer the De-register when the program ends.
const GRACE: Duration = Duration::from_secs(5);

/// How often values are measured.
const PERIOD: Duration = Duration::from_secs(2);

/// How long the program goes on after it has promised a reboot: the promise is to arrive.
const REBOOT_DELAY: Duration = Duration::from_secs(1);

/// Be an LwM2M client on this machine
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin client --server coap://127.0.0.1:5683
  dunlin client --server coap://lwm2m.example --endpoint urn:dev:os:32473-123456 --state /var/lib/dunlin-client
  dunlin client --server coap://127.0.0.1:5683 --queue --lifetime 600
  dunlin client --server coap://127.0.0.1:5683 --objects objects.toml --location 52.52,13.40
  dunlin client --server coap://127.0.0.1:5683 --state state --firmware-hook ./install-firmware")]
pub(crate) struct Args {
    /// The server: coap://HOST or coap://HOST:PORT, or coaps:// with credentials
    #[arg(long, value_name = "URI", required_unless_present_any = ["factory", "smartcard"])]
    server: Option<String>,
    #[command(flatten)]
    account: Box<Account>,
    /// The endpoint name [default: dunlin-HOSTNAME]
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Seconds until the server forgets this client [default: 300, or what was kept]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    lifetime: Option<u32>,
    /// Use this port, or address and port, so that a bootstrap server that begins by itself finds
    /// this client [default: any free port]
    #[arg(long, value_name = "[IP:]PORT", value_parser = listen_address)]
    listen: Option<SocketAddr>,
    /// Sleep between messages (queue mode)
    #[arg(long)]
    queue: bool,
    /// Keep what servers have written in this folder, over restarts
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Why a life of the Client ends.
enum End {
    Interrupted,
    Reboot,
    FactoryReset,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        // What is wrong with the account is said before anything is opened.
        self.factory(Registry::bundled())?;
        let endpoint = self.endpoint_name()?;
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .init();
        let state = match &self.state {
            Some(folder) => State::open(folder)?,
            None => State::in_memory(),
        };
        let equipment = Equipment::new(&self.options, self.state.as_ref())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.live(&endpoint, state, &equipment))
    }

    fn endpoint_name(&self) -> anyhow::Result<EndpointName> {
        let name = match &self.endpoint {
            Some(name) => name.clone(),
            None => format!("dunlin-{}", source::host_name()),
        };
        EndpointName::new(&name).with_context(|| format!("--endpoint {name}"))
    }

    /// Life after life, until somebody ends the program.
    async fn live(
        &self,
        endpoint: &EndpointName,
        mut state: State,
        equipment: &Equipment,
    ) -> anyhow::Result<()> {
        let does = match self.account.is_bootstrap() {
            true => "asks the bootstrap server",
            false => "registers with",
        };
        let server = self.server_name();
        news::say(format_args!("{endpoint} {does} {server} (end with Ctrl-C)"));
        loop {
            match self.one_life(endpoint, &state, equipment).await? {
                End::Interrupted => return Ok(()),
                End::Reboot => news::say(format_args!("reboots, as the server wants")),
                End::FactoryReset => {
                    state.clear()?;
                    equipment.clear();
                    news::say(format_args!("is as new, as the server wants"));
                }
            }
        }
    }

    async fn one_life(
        &self,
        endpoint: &EndpointName,
        state: &State,
        equipment: &Equipment,
    ) -> anyhow::Result<End> {
        let (client, mut outfit) = self.client(endpoint, state, equipment)?;
        let (orders, mut ordered) = mpsc::unbounded_channel();
        let (answers, mut answered) = mpsc::unbounded_channel();
        let host = LinuxHost {
            state: state.clone(),
            server: self.server_name(),
            account: self.account.clone(),
            orders,
            hooks: equipment.hooks(),
            packages: equipment.packages(answers)?,
        };
        let (looped, handle) = ClientLoop::new(client, host);
        let looped = looped.listening(self.listens());
        let mut running = tokio::spawn(looped.run(GRACE));
        equipment.feed(&mut outfit, &handle);
        let mut period = tokio::time::interval(PERIOD);
        let interrupted = interrupted();
        tokio::pin!(interrupted);
        let end = loop {
            tokio::select! {
                ended = &mut running => {
                    ended?.context("the client cannot open a socket")?;
                    bail!("the client has ended by itself");
                }
                done = &mut interrupted => {
                    done?;
                    break End::Interrupted;
                }
                Some(order) = ordered.recv() => break order,
                Some((need, answer)) = answered.recv() => {
                    handle.answer_package(need, answer).await;
                }
                _ = period.tick() => equipment.tick(&mut outfit, &handle, now()).await,
            }
        };
        outfit.end().await;
        match end {
            // A device that reboots says goodbye to nobody.
            End::Reboot => {
                tokio::time::sleep(REBOOT_DELAY).await;
                running.abort();
                // Its port is to be free for the next life.
                let _ = (&mut running).await;
            }
            End::Interrupted | End::FactoryReset => {
                drop(handle);
                tokio::select! {
                    ended = &mut running => ended??,
                    // Whoever insists need not wait for the goodbye.
                    again = self::interrupted() => again?,
                }
            }
        }
        Ok(end)
    }

    /// Where to be found; a port alone is taken for IPv4 and, where there is any, IPv6.
    fn listens(&self) -> Vec<SocketAddr> {
        let Some(at) = self.listen else {
            return Vec::new();
        };
        let mut all = vec![at];
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        if at.ip() == IpAddr::from(Ipv4Addr::UNSPECIFIED) && UdpSocket::bind(any).is_ok() {
            all.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, at.port())));
        }
        all
    }

    /// The Client as it is without anything that was kept.
    fn factory(&self, registry: Registry) -> anyhow::Result<Factory> {
        let binding = if self.queue { Binding::UQ } else { Binding::U };
        let lifetime_s = self.lifetime.unwrap_or(LIFETIME_S_DEFAULT);
        let mut factory = Factory::new(registry)?;
        let server = self.server.as_deref();
        self.account
            .add_to(&mut factory, server, lifetime_s, binding)?;
        // A bootstrap server may bring several Servers, who need it (TS 1.0 §7.3).
        factory.add_object(ObjectId::ACCESS_CONTROL)?;
        Ok(factory)
    }

    /// What the command line says of the account, if it is still that of the command line.
    fn said(&self, client: &Client, state: &State) -> anyhow::Result<Vec<(String, Value)>> {
        let Some(server) = &self.server else {
            return Ok(Vec::new());
        };
        let first = client
            .tree()
            .value(ObjectId::SECURITY, 0.into(), 1)
            .cloned();
        match first {
            Some(Value::Boolean(bootstrap)) if bootstrap == self.account.is_bootstrap() => {
                self.account.said(server)
            }
            // The account of the bootstrap server was removed in its time.
            None if self.account.is_bootstrap() => Ok(Vec::new()),
            _ => bail!(
                "{}: it was kept by a client {} --bootstrap; give this one a folder of its own",
                state.name("the state"),
                if self.account.is_bootstrap() {
                    "without"
                } else {
                    "with"
                },
            ),
        }
    }

    /// For people.
    fn server_name(&self) -> String {
        let server = self.server.clone();
        server.unwrap_or_else(|| "the servers of its own".into())
    }

    /// A machine with what was kept; what the command line says in so many words wins over it.
    fn client(
        &self,
        endpoint: &EndpointName,
        state: &State,
        equipment: &Equipment,
    ) -> anyhow::Result<(Client, Outfit)> {
        let mut factory = self.factory(equipment.registry())?;
        equipment.add_to(&mut factory)?;
        let mut config = Config::new(endpoint.clone());
        config.trust_anchors = self.account.trust_anchors()?;
        config.check_server_name = self.account.checks_server_name();
        let mut client = Client::new(
            config,
            factory.build(),
            seed::draw().context("the system has no entropy")?,
        );
        if let Some(kept) = state.read() {
            client
                .restore(&kept)
                .with_context(|| state.name("the state"))?;
        }
        let now = now();
        let card = self.account.card()?;
        client
            .insert_smartcard(now, card.as_deref())
            .context("--smartcard")?;
        let mut said = self.said(&client, state)?;
        // Accounts that a bootstrap server has written are its own to set.
        let own = !self.account.is_bootstrap() && self.account.factory.is_none();
        if let Some(lifetime_s) = self.lifetime.filter(|_| own) {
            said.push(("/1/0/1".into(), Value::Integer(lifetime_s.into())));
        }
        if self.queue && own {
            let binding = Binding::UQ.as_str();
            said.push(("/1/0/7".into(), Value::String(binding.into())));
        }
        for (path, value) in said {
            let path = path.parse().expect("paths in this program are paths");
            let set = client.set(now, path, value);
            set.map_err(|refusal| anyhow::anyhow!("{path}: {}", refusal.what))?;
        }
        let outfit = equipment.dress(&mut client, now);
        if self.account.factory.is_some() {
            access::share(&mut client, now);
        }
        Ok((client, outfit))
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let port = |text: &str| text.parse().map(|port: u16| (Ipv4Addr::UNSPECIFIED, port));
    let parsed = port(text).map(SocketAddr::from).ok();
    let parsed = parsed.or_else(|| text.parse().ok());
    let parsed = parsed.filter(|at| at.port() != 0);
    parsed.ok_or_else(|| "this is neither a port nor an IP address with a port".into())
}

/// Waits for Ctrl-C, or for a polite end by whoever runs services here.
async fn interrupted() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done,
        _ = terminated.recv() => Ok(()),
    }
}

/// Keeps the state in the folder, and tells people what happens.
struct LinuxHost {
    state: State,
    server: String,
    account: Box<Account>,
    orders: mpsc::UnboundedSender<End>,
    hooks: Hooks,
    packages: Option<Packages>,
}

impl Host for LinuxHost {
    fn keep(&mut self, state: &[u8]) -> io::Result<()> {
        self.state.keep(state)
    }

    fn smartcard(&mut self) -> Option<Vec<u8>> {
        // One that cannot be read is one that is not there.
        self.account.card().ok().flatten()
    }

    fn event(&mut self, client: &mut Client, _now: Now, event: Event) {
        if let Some(line) = news::line(client, &self.server, &event) {
            news::say(format_args!("{line}"));
        }
        self.hooks.event(client, &event);
        let order = match event {
            Event::Reboot => End::Reboot,
            Event::FactoryReset => End::FactoryReset,
            _ => return,
        };
        // Nobody to hear it means that the program ends already.
        let _ = self.orders.send(order);
    }

    fn package(
        &mut self,
        need: NeedId,
        step: PackageStep,
    ) -> Option<Result<PackageDone, PackageFault>> {
        match &mut self.packages {
            Some(packages) => packages.take(need, step),
            None => Some(Err(PackageFault::NoRoom)),
        }
    }
}
