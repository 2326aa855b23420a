//! An Object of one's own: a door that counts how often it was opened, and closes when a Server wants it.
//!
//! ```sh
//! cargo run -p dunlin-net --example custom_object -- coap://127.0.0.1:5683
//! cargo run -p dunlin-net --example custom_object -- --ddf > door.xml   # for the Server: dunlin object add door.xml
//! ```

use std::io;
use std::time::Duration;

use dunlin_client::lwm2m::definition::{ObjectDefinition, ResourceDefinition};
use dunlin_client::lwm2m::operation::Binding;
use dunlin_client::lwm2m::{EndpointName, Instance, Path, Registry, Resource, ValueType};
use dunlin_client::{Client, Config, Event, Factory, Now};
use dunlin_net::client::{ClientLoop, Host};

// The Object, in less than twenty lines: what it is …
const DOOR: u16 = 26_241;
const OPEN: u16 = 0;
const OPENED: u16 = 1;
const CLOSE: u16 = 2;

fn door() -> ObjectDefinition {
    ObjectDefinition::new(DOOR, "Door")
        .with(ResourceDefinition::new(OPEN, "Open", ValueType::Boolean).mandatory())
        .with(ResourceDefinition::new(
            OPENED,
            "Times opened",
            ValueType::Integer,
        ))
        .with(ResourceDefinition::executable(CLOSE, "Close"))
}

// … and how it begins. From there on `set` is all it takes for Servers to be told.
fn closed_door() -> Instance {
    Instance::new(0)
        .with(Resource::single(OPEN, false.into()))
        .with(Resource::single(OPENED, 0.into()))
}

fn at(resource: u16) -> Path {
    Path::from([DOOR, 0, resource])
}

/// What the Client leaves to the program.
struct Program;

impl Host for Program {
    fn keep(&mut self, _state: &[u8]) -> io::Result<()> {
        Ok(()) // This door forgets everything when the program ends.
    }

    fn event(&mut self, client: &mut Client, now: Now, event: Event) {
        println!("{event:?}");
        if matches!(event, Event::Executed { path, .. } if path == at(CLOSE)) {
            client.set(now, at(OPEN), false).expect("the door has it");
        }
    }
}

fn client(server: &str) -> Result<Client, Box<dyn std::error::Error>> {
    let mut registry = Registry::bundled();
    registry.insert(door());
    let mut factory = Factory::new(registry)?;
    factory.add_server(server, 300, Binding::U)?;
    factory.add_instance(DOOR.into(), closed_door())?;
    let config = Config::new(EndpointName::new("door")?);
    Ok(Client::new(
        config,
        factory.build(),
        dunlin_net::seed::draw()?,
    ))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args()
        .nth(1)
        .unwrap_or("coap://127.0.0.1:5683".into());
    if server == "--ddf" {
        print!("{}", door().to_ddf());
        return Ok(());
    }
    let (looped, handle) = ClientLoop::new(client(&server)?, Program);
    let running = tokio::spawn(looped.run(Duration::from_secs(5)));
    // Somebody goes in and out, three times.
    for times in 1..=3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        handle.set(at(OPENED), times).await;
        handle.set(at(OPEN), true).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(handle);
    Ok(running.await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    use dunlin_client::lwm2m::definition::parse_ddf;

    #[test]
    fn the_definition_file_is_the_object_again() {
        assert_eq!(parse_ddf(door().to_ddf().as_bytes()), Ok(vec![door()]));
    }

    #[test]
    fn what_is_set_is_there_and_what_does_not_fit_is_refused() {
        let mut client = client("coap://127.0.0.1:9").unwrap();
        let now = dunlin_net::client::now();
        client.set(now, at(OPEN), true).unwrap();
        assert!(client.set(now, at(OPEN), 7).is_err());
        let node = client.read(at(OPEN)).unwrap();
        assert_eq!(node.values(at(OPEN)), [(at(OPEN), &true.into())]);
    }
}
