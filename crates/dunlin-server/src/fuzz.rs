//! Targets for fuzzing: plain functions over bytes, each asserting a property.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dunlin_lwm2m::Registry;
use dunlin_transport::{Address, Now, Port, WallTime};

use crate::change::Snapshot;
use crate::{Command, EventKind, Output, Server, ServerConfig, Settings};

/// Datagrams on one go: a length, two bits of sender and the bytes. More than this finds nothing
/// new.
const DATAGRAMS_MAX: usize = 64;

/// A Register with a valid header, so that what follows meets a Client.
const REGISTER: &[u8] =
    b"\x40\x02\x00\x01\xb2rd\x11\x28\x34ep=a\x05lt=60\x09lwm2m=1.0\xff</1/0>,</3/0>";

/// Hostile datagrams from four addresses, commands and time between them: nothing leaves before
/// its commit, commits have no gaps, and what was committed can be restored.
pub fn receive(bytes: &[u8]) {
    let mut server = Server::new(
        ServerConfig::default(),
        Arc::new(Registry::bundled()),
        [0; 32],
    );
    let mut now = Now {
        instant: Duration::from_secs(1),
        wall: WallTime(1_000_000_000_000),
    };
    let mut durable = Snapshot::default();
    let mut commits = 0;
    let mut names = Vec::new();
    let mut rest = bytes;
    receive_from(&mut server, now, 0, REGISTER);
    for _ in 0..DATAGRAMS_MAX {
        drain(&mut server, &mut durable, &mut commits, &mut names);
        let Some((&head, after)) = rest.split_first() else {
            break;
        };
        let length = usize::from(head & 63).min(after.len());
        let (datagram, after) = after.split_at(length);
        rest = after;
        now = now.plus(Duration::from_secs(u64::from(head & 63)));
        if length == 0 {
            server.handle_timeout(now);
        } else if let (3, Some(name)) = (head >> 6, names.last()) {
            let path = [3, 0, u16::from(datagram[0])].into();
            let command = match datagram[0] % 2 {
                0 => Command::Read { path },
                _ => Command::Observe { path, renew: true },
            };
            let _ = server.request(now, name, command, Settings::default());
        } else {
            receive_from(&mut server, now, head >> 6, datagram);
        }
    }
    drain(&mut server, &mut durable, &mut commits, &mut names);
    let registered = server.stats().registered;
    assert_eq!(registered, durable.registrations.len());
    let mut again = Server::new(
        ServerConfig::default(),
        Arc::new(Registry::bundled()),
        [1; 32],
    );
    again.restore(now, durable);
    assert_eq!(again.stats().registered, registered);
}

fn receive_from(server: &mut Server, now: Now, sender: u8, bytes: &[u8]) {
    let from = Address::from(SocketAddr::from(([127, 0, 0, 1], 4000 + u16::from(sender))));
    server.handle_receive(now, Port::Coap, &from, None, bytes);
}

fn drain(
    server: &mut Server,
    durable: &mut Snapshot,
    commits: &mut u64,
    names: &mut Vec<dunlin_lwm2m::EndpointName>,
) {
    loop {
        match server.poll_output() {
            Output::Commit(commit) => {
                assert_eq!(commit.number, *commits + 1);
                *commits = commit.number;
                commit
                    .changes
                    .iter()
                    .for_each(|change| durable.apply(change));
                names.extend(
                    commit
                        .events
                        .into_iter()
                        .filter_map(|event| match event.kind {
                            EventKind::Registered { .. } => Some(event.endpoint),
                            _ => None,
                        }),
                );
            }
            Output::Transmit(transmit) => assert!(transmit.barrier <= *commits),
            Output::Completed { barrier, .. } => assert!(barrier <= *commits),
            Output::Timeout(_) => return,
            Output::Need { .. } | Output::Event(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_prepared_register_is_taken() {
        let mut server = Server::new(
            ServerConfig::default(),
            Arc::new(Registry::bundled()),
            [0; 32],
        );
        receive_from(&mut server, Now::default(), 0, REGISTER);
        assert_eq!(server.stats().registered, 1);
    }

    proptest! {
        #[test]
        fn hostile_datagrams_break_no_rule(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            receive(&bytes);
        }

        /// Bytes that begin like CoAP get further than noise.
        #[test]
        fn hostile_coap_breaks_no_rule(
            parts in proptest::collection::vec(
                (0u8..4, prop_oneof![Just(0x40u8), Just(0x44), Just(0x50), Just(0x60), Just(0x64)],
                 prop_oneof![Just(0u8), Just(2), Just(3), Just(4), Just(0x45), Just(0x84)],
                 proptest::collection::vec(any::<u8>(), 2..40)),
                0..30),
        ) {
            let mut bytes = Vec::new();
            for (sender, first, code, tail) in parts {
                bytes.push(sender << 6 | (tail.len() as u8 + 2));
                bytes.extend([first, code]);
                bytes.extend(tail);
            }
            receive(&bytes);
        }
    }
}
