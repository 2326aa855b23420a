//! The whole way over loopback: a Client knows its Bootstrap-Server alone, is given its accounts,
//! and registers with what it was given.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dunlin_client::{Client, Config as ClientConfig, Credentials, Event, Factory, Now};
use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{EndpointName, Registry, ShortServerId};
use dunlin_net::client::{ClientHandle, ClientLoop, Host};
use dunlin_net::{clock, seed};
use dunlin_node::{Config, Data, Node, Port};
use dunlin_server::bootstrap::{
    BootstrapRun, Initiator, Keys, Profile, ProfileName, RunState, Selector, ServerAccount,
};

/// Nothing here takes longer, unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

/// A node has threads and runtimes of its own: it is started and stopped outside of ours.
async fn node() -> Node {
    let mut config = Config {
        shards: 2,
        ..Config::default()
    };
    config.server.close_doors();
    config.server.coap = vec![([127, 0, 0, 1], 0).into()];
    config.http.bind = ([127, 0, 0, 1], 0).into();
    let started = tokio::task::spawn_blocking(move || Node::start(&config, &Data::Memory));
    started.await.unwrap().unwrap()
}

async fn stop(node: Node) {
    tokio::task::spawn_blocking(move || node.stop())
        .await
        .unwrap();
}

fn name(text: &str) -> EndpointName {
    EndpointName::new(text).unwrap()
}

fn profile(uri: String, keys: Keys) -> Profile {
    let mut profile = Profile::new(ProfileName::new("fleet").unwrap(), Selector::Default);
    let id = ShortServerId::new(101).unwrap();
    let mut account = ServerAccount::new(id, uri, keys);
    account.lifetime_s = 300;
    profile.servers.push(account);
    profile
}

/// Remembers what the Client tells.
struct Listener(Arc<Mutex<Vec<Event>>>);

impl Host for Listener {
    fn keep(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, _: &mut Client, _: Now, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

struct Device {
    events: Arc<Mutex<Vec<Event>>>,
    handle: ClientHandle,
}

impl Device {
    fn start(endpoint: &str, factory: Factory) -> Self {
        let config = ClientConfig::new(name(endpoint));
        let client = Client::new(config, factory.build(), seed::draw().unwrap());
        let events = Arc::default();
        let (looped, handle) = ClientLoop::new(client, Listener(Arc::clone(&events)));
        tokio::spawn(looped.run(Duration::from_millis(100)));
        Self { events, handle }
    }

    fn registrations(&self) -> Vec<u16> {
        let events = self.events.lock().unwrap();
        let registered = events.iter().filter_map(|event| match event {
            Event::Registered { server, .. } => Some(server.value()),
            _ => None,
        });
        registered.collect()
    }

    async fn registers(&self, count: usize) {
        let end = clock::instant() + DEADLINE;
        while self.registrations().len() < count {
            assert!(clock::instant() < end, "{:?}", self.events.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn runs(node: &Node, endpoint: &str, count: usize) -> Vec<BootstrapRun> {
    let end = clock::instant() + DEADLINE;
    loop {
        let name = name(endpoint);
        let runs = node.bootstrap_runs(Some(&name), 10).await.unwrap();
        let ended = runs.iter().all(|run| run.state != RunState::Running);
        if runs.len() >= count && ended {
            return runs;
        }
        assert!(clock::instant() < end, "{runs:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn factory() -> Factory {
    Factory::new(Registry::bundled()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn int_0_a_client_without_security_is_bootstrapped_and_registers() {
    let node = node().await;
    let server = node.at(Port::Coap)[0];
    let advice = node
        .put_profile(profile(format!("coap://{server}"), Keys::NoSec))
        .await
        .unwrap();
    assert_eq!(advice, []);
    let mut factory = factory();
    factory
        .add_bootstrap_server(&format!("coap://{server}"), &Credentials::NoSec, 0, 0)
        .unwrap();
    let device = Device::start("lamp", factory);
    device.registers(1).await;
    assert_eq!(device.registrations(), [101]);
    let runs = runs(&node, "lamp", 1).await;
    assert_eq!(runs[0].state, RunState::Succeeded, "{:?}", runs[0]);
    assert_eq!(runs[0].initiator, Initiator::Client);
    drop(device.handle);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_profile_is_refused_and_says_so() {
    let node = node().await;
    let server = node.at(Port::Coap)[0];
    let mut factory = factory();
    factory
        .add_bootstrap_server(&format!("coap://{server}"), &Credentials::NoSec, 0, 0)
        .unwrap();
    factory
        .add_server(&format!("coap://{server}"), 300, Binding::U)
        .unwrap();
    let device = Device::start("lamp", factory);
    // It has a Server: it registers, and asks for nothing.
    device.registers(1).await;
    let asked = node.bootstrap(&name("lamp")).await;
    let refused = asked.unwrap_err();
    assert!(refused.contains("No bootstrap profile"), "{refused}");
    assert!(node.bootstrap_runs(None, 10).await.unwrap().is_empty());
    let mut wrong = profile("coaps://a".into(), Keys::NoSec);
    wrong.servers[0].lifetime_s = 0;
    let faults = node.put_profile(wrong).await.unwrap_err();
    assert_eq!(faults.len(), 2, "{faults:?}");
    drop(device.handle);
    stop(node).await;
}
