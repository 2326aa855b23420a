//! A Client that is driven by lines, for conversations with other people's Servers: a command a
//! line on the standard input, an event a line on the standard output. It de-registers and ends
//! with its input. See `interop/`.
//!
//! ```sh
//! cargo run -p dunlin-net --example device -- coap://127.0.0.1:5683 lamp 300 U DEFINITION.xml…
//! ```

use std::io::{self, BufRead, Write};
use std::time::Duration;

use dunlin_client::lwm2m::operation::Binding;
use dunlin_client::lwm2m::{
    EndpointName, Instance, ObjectId, ObjectInstanceId, ObjectLink, Path, Registry, Resource,
    ResourceInstanceId, Value, definition::parse_ddf,
};
use dunlin_client::{Client, Config, Event, Factory, Now};
use dunlin_net::client::{ClientHandle, ClientLoop, Host};

/// Object ID of the sampler: one Resource of every type.
const SAMPLER: ObjectId = ObjectId(33_555);

/// How long de-registering may take.
const GRACE: Duration = Duration::from_secs(3);

/// Tells what happens, and remembers nothing.
struct Printer;

impl Host for Printer {
    fn keep(&mut self, _state: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, _client: &mut Client, _now: Now, event: Event) {
        say(&format!("event {event:?}"));
    }
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    // Whoever does not listen any more has ended the trial.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, endpoint, lifetime, binding, definitions @ ..] = arguments.as_slice() else {
        return Err("usage: device URI ENDPOINT LIFETIME BINDING DEFINITION…".into());
    };
    let mut registry = Registry::bundled();
    for file in definitions {
        for definition in parse_ddf(&std::fs::read(file)?)? {
            registry.insert(definition);
        }
    }
    let binding = Binding::parse(binding).ok_or("no such binding")?;
    let mut factory = Factory::new(registry)?;
    factory.add_server(server, lifetime.parse()?, binding)?;
    for (object, instance) in objects() {
        factory.add_instance(object, instance)?;
    }
    let mut config = Config::new(EndpointName::new(endpoint)?);
    config.awake_window = Duration::from_secs(3);
    let client = Client::new(config, factory.build(), dunlin_net::seed::draw()?);
    let (client_loop, handle) = ClientLoop::new(client, Printer);
    std::thread::spawn(move || obey(&handle));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(client_loop.run(GRACE))?;
    say("event Ended");
    Ok(())
}

fn objects() -> [(ObjectId, Instance); 3] {
    let text = |id, text: &str| Resource::single(id, Value::String(text.into()));
    let number = |id, number| Resource::single(id, Value::Float(number));
    let numbers =
        [(0, 1), (5, -300)].map(|(id, number)| (ResourceInstanceId(id), Value::Integer(number)));
    [
        (
            ObjectId::DEVICE,
            Instance::new(0)
                .with(text(0, "dunlin"))
                .with(text(1, "device")),
        ),
        (
            ObjectId(3303),
            Instance::new(0)
                .with(number(5601, 1.0))
                .with(number(5602, 40.0))
                .with(number(5700, 21.5))
                .with(text(5701, "Cel")),
        ),
        (
            SAMPLER,
            Instance::new(0)
                .with(text(0, "first"))
                .with(Resource::single(1, Value::Integer(-70_000)))
                .with(number(2, 2.5))
                .with(Resource::single(3, Value::Boolean(true)))
                .with(Resource::single(4, Value::Opaque(vec![1, 2, 255])))
                .with(Resource::single(5, Value::Time(1_700_000_000)))
                .with(Resource::single(
                    6,
                    Value::ObjectLink(ObjectLink {
                        object: ObjectId::DEVICE,
                        instance: ObjectInstanceId(0),
                    }),
                ))
                .with(Resource::multiple(7, numbers))
                .with(Resource::single(9, Value::Integer(0))),
        ),
    ]
}

/// `temperature NUMBER`, `update`, and the end of the input.
fn obey(handle: &ClientHandle) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers needs nothing");
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["temperature", number] => {
                let Ok(number) = number.parse() else {
                    say("answer no number");
                    continue;
                };
                let path = Path::from_ids(&[3303, 0, 5700]).expect("three ids are a path");
                runtime.block_on(handle.run(move |client, now| {
                    let set = client.set(now, path, Value::Float(number));
                    say(&format!("answer {set:?}"));
                }));
            }
            ["update"] => {
                runtime.block_on(handle.run(|client, now| client.update(now)));
                say("answer done");
            }
            _ => say("answer unknown"),
        }
    }
}
