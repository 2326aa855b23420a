//! The whole way over loopback: a Client knows its Bootstrap-Server alone, is given its accounts,
//! and registers with what it was given.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
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
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};

/// Nothing here takes longer, unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

/// A node has threads and runtimes of its own: it is started and stopped outside of ours.
async fn node() -> Node {
    let mut config = Config {
        shards: 2,
        ..Config::default()
    };
    let anywhere = || vec![([127, 0, 0, 1], 0).into()];
    config.server.coap = anywhere();
    config.server.coaps = anywhere();
    config.server.bootstrap_coap = anywhere();
    config.server.bootstrap_coaps = anywhere();
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
        Self::listening(endpoint, factory, Vec::new())
    }

    fn listening(endpoint: &str, factory: Factory, at: Vec<SocketAddr>) -> Self {
        let config = ClientConfig::new(name(endpoint));
        let client = Client::new(config, factory.build(), seed::draw().unwrap());
        let events = Arc::default();
        let (looped, handle) = ClientLoop::new(client, Listener(Arc::clone(&events)));
        tokio::spawn(looped.listening(at).run(Duration::from_millis(100)));
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

/// Lets a Client in at the Bootstrap-Server's door, by REST as an operator does.
async fn admit(node: &Node, endpoint: &str, credential: &str) {
    let body = format!("{{\"credentials\":[{credential}],\"for\":\"bootstrap\"}}");
    let (at, endpoint) = (node.http(), endpoint.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "PUT /api/v1/credentials/{endpoint} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = asked.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

fn made(keys: &str) -> Keys {
    match keys {
        "psk" => Keys::PreSharedKey {
            identity: None,
            key: None,
        },
        "rpk" => Keys::RawPublicKey {
            client: None,
            server: None,
        },
        _ => Keys::Certificate {
            client: None,
            server: None,
        },
    }
}

/// What a Client has in the factory, and how the operator enters it.
fn own(node: &Node, keys: &str, endpoint: &str) -> (Credentials, String) {
    let server = node.server_public().clone();
    let pair = KeyPair::generate().unwrap();
    let private_key = pair.serialize_der();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    match keys {
        "psk" => {
            let key = vec![0x42; 16];
            let json = format!(
                "{{\"mode\":\"psk\",\"identity\":\"{endpoint}\",\"key\":\"{}\"}}",
                hex(&key)
            );
            let identity = endpoint.into();
            (Credentials::Psk { identity, key }, json)
        }
        "rpk" => {
            let public_key = pair.subject_public_key_info();
            let json = format!(
                "{{\"mode\":\"rpk\",\"public_key\":\"{}\"}}",
                hex(&public_key)
            );
            let server_public_key = server.public_key.unwrap();
            let credentials = Credentials::RawPublicKey {
                public_key,
                private_key,
                server_public_key,
            };
            (credentials, json)
        }
        _ => {
            let params = CertificateParams::new(vec![endpoint.to_owned()]).unwrap();
            let certificate = params.self_signed(&pair).unwrap().der().to_vec();
            let json = format!(
                "{{\"mode\":\"x509\",\"certificate\":\"{}\"}}",
                hex(&certificate)
            );
            let server_certificate = server.certificate.unwrap();
            let credentials = Credentials::Certificate {
                certificate,
                private_key,
                server_certificate,
            };
            (credentials, json)
        }
    }
}

/// A profile that makes keys of this kind for all lamps of it, and one of them that is let in.
async fn lamp(node: &Node, server: &str, keys: &str) -> (String, Credentials) {
    let mut profile = profile(server.to_owned(), made(keys));
    profile.name = ProfileName::new(keys).unwrap();
    profile.selector = Selector::Pattern(format!("{keys}-*"));
    assert_eq!(node.put_profile(profile).await.unwrap(), []);
    let endpoint = format!("{keys}-lamp");
    let (credentials, json) = own(node, keys, &endpoint);
    admit(node, &endpoint, &json).await;
    (endpoint, credentials)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn int_1_and_2_keys_that_are_made_open_the_server_at_once() {
    let node = node().await;
    // A certificate is held against the name in the URI.
    let server = format!("coaps://localhost:{}", node.at(Port::Coaps)[0].port());
    for keys in ["psk", "rpk", "x509"] {
        let (endpoint, credentials) = lamp(&node, &server, keys).await;
        let bootstrap = node.at(Port::BootstrapCoaps)[0].port();
        let mut factory = factory();
        factory
            .add_bootstrap_server(
                &format!("coaps://localhost:{bootstrap}"),
                &credentials,
                0,
                0,
            )
            .unwrap();
        let device = Device::start(&endpoint, factory);
        device.registers(1).await;
        let runs = runs(&node, &endpoint, 1).await;
        assert_eq!(runs[0].state, RunState::Succeeded, "{:?}", runs[0]);
        assert_eq!(runs[0].identity.security_name(), keys);
        assert_eq!(runs[0].made.len(), 1);
        drop(device.handle);
    }
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ts_5_2_3_4_the_bootstrap_server_begins_when_it_is_told_to() {
    let node = node().await;
    let server = node.at(Port::Coap)[0];
    let bootstrap = node.at(Port::BootstrapCoap)[0];
    let mut first = profile(format!("coap://{server}"), Keys::NoSec);
    node.put_profile(first.clone()).await.unwrap();
    let mut factory = factory();
    factory
        .add_bootstrap_server(&format!("coap://{bootstrap}"), &Credentials::NoSec, 0, 0)
        .unwrap();
    let device = Device::start("lamp", factory);
    device.registers(1).await;
    // Another Short Server ID: the Client registers anew when it has it.
    first.servers[0].short_server_id = ShortServerId::new(7).unwrap();
    node.put_profile(first).await.unwrap();
    runs(&node, "lamp", 1).await;
    let id = node.bootstrap(&name("lamp")).await.unwrap();
    let runs = runs(&node, "lamp", 2).await;
    assert_eq!((runs[0].id, runs[0].initiator), (id, Initiator::Server));
    assert_eq!(runs[0].state, RunState::Succeeded, "{:?}", runs[0]);
    device.registers(2).await;
    assert_eq!(device.registrations(), [101, 7]);
    let all = node.bootstrap_runs(None, 10).await.unwrap();
    assert_eq!(all.len(), 2);
    drop(device.handle);
    stop(node).await;
}

fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    socket.local_addr().unwrap()
}

/// Nobody asks: the Client listens, as DTLS server, and the Bootstrap-Server is told where. The
/// second time it knows by itself, because the Client has registered from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ts_7_1_2_the_bootstrap_server_opens_the_session_with_a_client_that_listens() {
    let node = node().await;
    let server = format!("coaps://localhost:{}", node.at(Port::Coaps)[0].port());
    let bootstrap = node.at(Port::BootstrapCoaps)[0].port();
    for keys in ["psk", "rpk", "x509"] {
        let (endpoint, credentials) = lamp(&node, &server, keys).await;
        let at = free_address();
        let mut factory = factory();
        factory
            .add_bootstrap_server(
                &format!("coaps://localhost:{bootstrap}"),
                &credentials,
                3_600,
                0,
            )
            .unwrap();
        let device = Device::listening(&endpoint, factory, vec![at]);
        // The loop opens its socket before it takes commands.
        assert!(device.handle.run(|_, _| ()).await);
        let id = node
            .bootstrap_at(&name(&endpoint), &at.to_string())
            .await
            .unwrap();
        device.registers(1).await;
        let ended = runs(&node, &endpoint, 1).await;
        assert_eq!((ended[0].id, ended[0].initiator), (id, Initiator::Server));
        assert_eq!(ended[0].state, RunState::Succeeded, "{:?}", ended[0]);
        assert_eq!(ended[0].identity.security_name(), keys);
        let id = node.bootstrap(&name(&endpoint)).await.unwrap();
        device.registers(2).await;
        let ended = runs(&node, &endpoint, 2).await;
        assert_eq!((ended[0].id, ended[0].initiator), (id, Initiator::Server));
        assert_eq!(ended[0].state, RunState::Succeeded, "{:?}", ended[0]);
        drop(device.handle);
    }
    stop(node).await;
}

/// Without security a name with credentials is not spoken to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ts_5_2_3_4_a_client_that_has_not_registered_is_bootstrapped_in_the_clear_where_it_listens()
{
    let node = node().await;
    let server = node.at(Port::Coap)[0];
    let bootstrap = node.at(Port::BootstrapCoap)[0];
    node.put_profile(profile(format!("coap://{server}"), Keys::NoSec))
        .await
        .unwrap();
    let mut factory = factory();
    let uri = format!("coap://{bootstrap}");
    factory
        .add_bootstrap_server(&uri, &Credentials::NoSec, 3_600, 0)
        .unwrap();
    let at = free_address();
    let device = Device::listening("lamp", factory, vec![at]);
    assert!(device.handle.run(|_, _| ()).await);
    let address = format!("coap://{at}");
    node.bootstrap_at(&name("lamp"), &address).await.unwrap();
    device.registers(1).await;
    let ended = runs(&node, "lamp", 1).await;
    assert_eq!(ended[0].state, RunState::Succeeded, "{:?}", ended[0]);

    admit(
        &node,
        "safe",
        "{\"mode\":\"psk\",\"identity\":\"safe\",\"key\":\"42424242424242424242424242424242\"}",
    )
    .await;
    let refused = node.bootstrap_at(&name("safe"), &address).await;
    assert!(refused.is_err(), "{refused:?}");
    drop(device.handle);
    stop(node).await;
}
