//! Targets for fuzzing: plain functions over bytes, each asserting a property.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{EndpointName, Instance, ObjectId, Registry, Resource, Value};
use dunlin_transport::{Address, Now, Port, WallTime};

use crate::change::Snapshot;
use crate::{Client, Config, Factory, Output};

/// Datagrams in one run. More than this finds nothing new.
const DATAGRAMS_MAX: usize = 64;

/// What one input may bring out: an answer, and what follows from it for every observation.
const OUTPUTS_MAX: usize = 1_000;

/// A state that is read is written as it was read.
pub fn state(bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::decode(bytes) {
        let written = snapshot.encode();
        let again = Snapshot::decode(&written).expect("what is written can be read");
        assert_eq!(
            again.encode(),
            written,
            "reading and writing loses something"
        );
        let mut client = client();
        client.restore(bytes).expect("it was read before");
        client.start(Now::default());
        drain(&mut client);
    }
}

/// Hostile datagrams of the Server, values and time between them: no datagram leaves before its
/// commit, one input has a bounded output, and the machine never asks to be woken in the past.
pub fn receive(bytes: &[u8]) {
    let mut client = client();
    let mut now = Now {
        instant: Duration::from_secs(1),
        wall: WallTime(1_000_000_000_000),
    };
    client.start(now);
    let register = drain(&mut client).pop().expect("it registers");
    client.handle_receive(now, Port::Coap, &server(), None, &created(&register));
    let mut rest = bytes;
    for _ in 0..DATAGRAMS_MAX {
        drain(&mut client);
        let Some((&head, after)) = rest.split_first() else {
            return;
        };
        now = now.plus(Duration::from_secs(u64::from(head >> 6) * 40));
        client.handle_timeout(now);
        assert!(
            next(&mut client).is_none_or(|at| at > now.instant),
            "it spins"
        );
        if head & 0x20 != 0 {
            let path = "/3303/0/5700".parse().expect("a path");
            let value = Value::Float(f64::from(head));
            client.set(now, path, value).expect("it is there");
            drain(&mut client);
        }
        let length = usize::from(head & 0x1f).min(after.len());
        let (datagram, after) = after.split_at(length);
        client.handle_receive(now, Port::Coap, &server(), None, datagram);
        rest = after;
    }
}

/// A smartcard's file: what is read of it lies in it, and a Client takes it as a whole or not at
/// all.
pub fn smartcard(bytes: &[u8]) {
    if let Ok(objects) = crate::smartcard::parse(bytes) {
        let read: usize = objects.iter().map(|one| one.instances.len() + 5).sum();
        assert!(read <= bytes.len(), "more was read than there is");
    }
    let mut client = client();
    let before = Snapshot::take(&client.tree, &client.attributes).encode();
    if client
        .insert_smartcard(Now::default(), Some(bytes))
        .is_err()
    {
        let after = Snapshot::take(&client.tree, &client.attributes).encode();
        assert_eq!(before, after, "a part of a card that is refused was taken");
    }
    client.start(Now::default());
    drain(&mut client);
}

fn client() -> Client {
    let mut factory = Factory::new(Registry::bundled()).expect("the Objects are bundled");
    factory
        .add_server("coap://127.0.0.1", 300, Binding::UQ)
        .expect("an account");
    let sensor = Instance::new(0).with(Resource::single(5700, Value::Float(20.0)));
    factory
        .add_instance(ObjectId(3303), sensor)
        .expect("the Object is bundled");
    let name = EndpointName::new("a").expect("a name");
    Client::new(Config::new(name), factory.build(), [0; 32])
}

fn server() -> Address {
    SocketAddr::from(([127, 0, 0, 1], 5683)).into()
}

/// The 2.01 to a Register, on its acknowledgement, with the location `rd/x`.
fn created(register: &[u8]) -> Vec<u8> {
    let token = usize::from(register[0] & 0x0f);
    let mut answer = alloc::vec![0x60 | register[0] & 0x0f, 0x41];
    answer.extend_from_slice(&register[2..4 + token]);
    answer.extend_from_slice(b"\x82rd\x01x");
    answer
}

/// Takes all outputs; gives the datagrams.
fn drain(client: &mut Client) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    let mut kept = 0;
    for _ in 0..OUTPUTS_MAX {
        match client.poll_output() {
            Output::Commit(commit) => kept = commit.number,
            Output::Transmit(transmit) => {
                assert!(
                    transmit.barrier == 0 || kept == 0 || transmit.barrier <= kept,
                    "it left before it was kept"
                );
                datagrams.push(transmit.bytes);
            }
            Output::Need(..) | Output::Event(_) => {}
            Output::Timeout(_) => return datagrams,
        }
    }
    panic!("more than {OUTPUTS_MAX} outputs for one input");
}

fn next(client: &mut Client) -> Option<Duration> {
    drain(client);
    match client.poll_output() {
        Output::Timeout(timeout) => timeout,
        other => panic!("drained, and yet {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_reach_what_they_are_for() {
        let mut client = client();
        client.start(Now::default());
        let register = drain(&mut client).pop().expect("it registers");
        client.handle_receive(
            Now::default(),
            Port::Coap,
            &server(),
            None,
            &created(&register),
        );
        assert!(client.servers().all(|(_, open)| open));
        let state_of = Snapshot::take(&client.tree, &client.attributes).encode();
        state(&state_of);
        receive(b"\x29\x40\x01\x00\x01\xb1\x33\x01\x30\x01\xc0");
    }

    #[test]
    fn chance_breaks_nothing() {
        let mut state = 7_u32;
        for _ in 0..300 {
            let mut bytes = Vec::new();
            for _ in 0..200 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push((state >> 24) as u8);
            }
            // Many of them look like CoAP from the Server.
            for at in (1..bytes.len()).step_by(12) {
                bytes[at] = 0x40 | bytes[at] & 0x31;
            }
            receive(&bytes);
        }
    }
}
