//! Our Client with its loop and its socket, on a thread of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dunlin_client::{Client, Config, Event, Factory, Now};
use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{
    EndpointName, Instance, ObjectId, ObjectLink, Registry, Resource, ResourceInstanceId,
    ResourceValue, Value, definition::parse_ddf,
};
use dunlin_net::client::{ClientHandle, ClientLoop, Host};

use super::PATIENCE;

/// An Object with a Resource of every type, some of which may be written.
pub(crate) const SAMPLER: &str = include_str!("sampler.xml");

/// How long de-registering may take; scripted Servers mostly do not answer it.
const GRACE: Duration = Duration::from_millis(300);

/// Who listens to a Client, and the network it believes to be in.
struct Told {
    events: Sender<Event>,
    place: Arc<Place>,
}

/// Where a Client believes to be.
struct Place {
    address: Mutex<IpAddr>,
    /// How often the Client has looked.
    looks: AtomicUsize,
}

impl Host for Told {
    fn keep(&mut self, _state: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, _client: &mut Client, _now: Now, event: Event) {
        // A test that has seen enough listens no more.
        let _ = self.events.send(event);
    }

    fn source_of(&mut self, _to: SocketAddr) -> Option<IpAddr> {
        let address = *self.place.address.lock().expect("nobody panics with it");
        self.place.looks.fetch_add(1, Ordering::Release);
        Some(address)
    }
}

pub(crate) struct Device {
    handle: Option<ClientHandle>,
    events: Receiver<Event>,
    place: Arc<Place>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.handle.take();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}

impl Device {
    /// A Client that always listens, with accounts for these Servers, registered with all.
    pub(crate) fn registered(endpoint: &str, servers: &[SocketAddr]) -> Self {
        let device = Self::start(endpoint, servers, Binding::U, |_, _| {});
        for _ in servers {
            device.wait(|event| matches!(event, Event::Registered { .. }));
        }
        device
    }

    pub(crate) fn start(
        endpoint: &str,
        servers: &[SocketAddr],
        binding: Binding,
        change: impl FnOnce(&mut Factory, &mut Config),
    ) -> Self {
        let mut registry = Registry::bundled();
        for definition in parse_ddf(SAMPLER.as_bytes()).expect("a definition") {
            registry.insert(definition);
        }
        let mut factory = Factory::new(registry).expect("the enabler's Objects are bundled");
        for server in servers {
            factory
                .add_server(&format!("coap://{server}"), 600, binding)
                .expect("an address");
        }
        for (object, instance) in objects() {
            factory.add_instance(object, instance).expect("defined");
        }
        let mut config = Config::new(EndpointName::new(endpoint).expect("a name"));
        change(&mut factory, &mut config);
        let seed = dunlin_net::seed::draw().expect("entropy");
        let client = Client::new(config, factory.build(), seed);
        let (told, events) = channel();
        let place = Arc::new(Place {
            address: Mutex::new(Ipv4Addr::LOCALHOST.into()),
            looks: AtomicUsize::new(0),
        });
        let host = Told {
            events: told,
            place: place.clone(),
        };
        let (client_loop, handle) = ClientLoop::new(client, host);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(client_loop.run(GRACE)).expect("a socket");
        });
        Self {
            handle: Some(handle),
            events,
            place,
            thread: Some(thread),
        }
    }

    /// Waits for an event like this; those before it are passed over.
    pub(crate) fn wait(&self, is: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.events.recv_timeout(PATIENCE);
            let event = event.expect("the event that is waited for");
            if is(&event) {
                return event;
            }
        }
    }

    /// Sets a value from inside the device.
    pub(crate) fn set(&self, path: &str, value: impl Into<ResourceValue>) {
        let (path, value) = (path.parse().expect("a path"), value.into());
        self.run(move |client, now| client.set(now, path, value).expect("a value that fits"));
    }

    /// The system says that datagrams leave from there now.
    pub(crate) fn moves_to(&self, address: IpAddr) {
        // The first look says where it is, and is no news to anybody.
        let begin = Instant::now();
        while self.place.looks.load(Ordering::Acquire) == 0 {
            assert!(begin.elapsed() < PATIENCE, "it never looks");
            std::thread::sleep(Duration::from_millis(10));
        }
        *self.place.address.lock().expect("nobody panics with it") = address;
        self.handle.as_ref().expect("it runs").network_changed();
    }

    /// Does something to the machine, and waits until it is done.
    pub(crate) fn run(&self, command: impl FnOnce(&mut Client, Now) + Send + 'static) {
        let (done, wait) = channel();
        let command = move |client: &mut Client, now| {
            command(client, now);
            done.send(()).expect("somebody waits");
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let handle = self.handle.as_ref().expect("it runs");
        let taken = runtime
            .expect("a runtime without drivers needs nothing")
            .block_on(handle.run(command));
        assert!(taken, "the Client has ended");
        wait.recv_timeout(PATIENCE).expect("it is done");
    }

    /// De-registers and ends.
    pub(crate) fn stop(self) {}
}

/// Integers of a multiple Resource.
pub(crate) fn integers(values: &[(u16, i64)]) -> ResourceValue {
    let values = values.iter();
    ResourceValue::Multiple(
        values
            .map(|(id, value)| (ResourceInstanceId(*id), Value::Integer(*value)))
            .collect(),
    )
}

fn objects() -> Vec<(ObjectId, Instance)> {
    let text = |id, text: &str| Resource::single(id, Value::String(text.into()));
    let multiple = |id, values: &[(u16, i64)]| Resource {
        id: dunlin_lwm2m::ResourceId(id),
        value: integers(values),
    };
    let device = Instance::new(0)
        .with(text(0, "dunlin"))
        .with(text(1, "conformance"))
        .with(text(2, "4711"))
        .with(text(3, "1.0"))
        .with(multiple(6, &[(0, 1), (1, 5)]))
        .with(multiple(7, &[(0, 3800), (1, 5000)]))
        .with(Resource::single(9, Value::Integer(80)))
        .with(text(14, "+02:00"));
    let sensor = Instance::new(0)
        .with(Resource::single(5700, Value::Float(21.5)))
        .with(text(5701, "Cel"));
    let link = ObjectLink {
        object: ObjectId::DEVICE,
        instance: 0.into(),
    };
    let sampler = Instance::new(0)
        .with(text(0, "first"))
        .with(Resource::single(1, Value::Integer(-70_000)))
        .with(Resource::single(2, Value::Float(2.5)))
        .with(Resource::single(3, Value::Boolean(true)))
        .with(Resource::single(4, Value::Opaque(vec![1, 2, 255])))
        .with(Resource::single(5, Value::Time(1_700_000_000)))
        .with(Resource::single(6, Value::ObjectLink(link)))
        .with(multiple(7, &[(0, 1), (5, -300)]));
    vec![
        (ObjectId::DEVICE, device),
        (ObjectId(3303), sensor),
        (ObjectId(33_555), sampler),
    ]
}
