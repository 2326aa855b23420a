//! Targets for fuzzing: plain functions over bytes, each asserting a property.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dunlin_lwm2m::{EndpointName, ObjectId, Registry, Resource, ShortServerId, Value};
use dunlin_transport::{Address, Now, Port, WallTime, coap};

use crate::bootstrap::{
    AccessControl, AccessTarget, InstanceData, KeyPair, KeySource, Keys, PairKind, Profile,
    ProfileName, Provision, Selector, ServerAccount,
};
use crate::change::Snapshot;
use crate::{Answer, BootstrapConfig, Command, EventKind, Output, Server, ServerConfig, Settings};

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

/// A Bootstrap-Request.
const BOOTSTRAP_REQUEST: &[u8] = b"\x40\x02\x00\x01\xb2bs\x44ep=a";

/// A Client that answers the steps of its bootstrap run with anything: the run takes a bounded
/// number of steps, one at a time, what the Server believes of it is what is stored, and it ends.
///
/// # Panics
/// When one of these does not hold.
pub fn bootstrap(bytes: &[u8]) {
    let config = ServerConfig {
        bootstrap: Some(BootstrapConfig::default()),
        ..ServerConfig::default()
    };
    let mut server = Server::new(config, Arc::new(Registry::bundled()), [0; 32]);
    let mut now = Now {
        instant: Duration::from_secs(1),
        wall: WallTime(1_000_000_000_000),
    };
    let mut durable = Snapshot::default();
    receive_from(&mut server, now, 0, BOOTSTRAP_REQUEST);
    let mut step = walk(&mut server, now, &mut durable);
    let mut rest = bytes;
    let mut steps = 0;
    while let (Some((id, token)), Some((&code, after))) = (step, rest.split_first()) {
        let length = after.first().map_or(0, |length| usize::from(*length));
        let after = after.get(1..).unwrap_or_default();
        let (payload, after) = after.split_at(length.min(after.len()));
        rest = after;
        now = now.plus(Duration::from_secs(1));
        let options = coap::OptionList::new();
        let answer = coap::Message {
            message_type: coap::MessageType::Acknowledgement,
            code: coap::Code(code),
            message_id: id,
            token,
            options: options.view(),
            payload,
        };
        let mut datagram = Vec::new();
        coap::wire::datagram::encode(&answer, &mut datagram);
        receive_from(&mut server, now, 0, &datagram);
        step = walk(&mut server, now, &mut durable);
        steps += 1;
        assert!(steps < 4_096, "a run ends");
        assert_eq!(server.stats().bootstraps, durable.bootstraps.len());
    }
    now = now.plus(Duration::from_secs(3_600));
    server.handle_timeout(now);
    walk(&mut server, now, &mut durable);
    assert_eq!(server.stats().bootstraps, 0);
    assert!(durable.is_empty());
}

/// Gives the Client what it asks for, and finds the request that waits for its answer.
fn walk(
    server: &mut Server,
    now: Now,
    durable: &mut Snapshot,
) -> Option<(coap::MessageId, coap::Token)> {
    let mut asked = None;
    loop {
        match server.poll_output() {
            Output::Commit(commit) => {
                let changes = commit.changes.iter();
                changes.for_each(|change| durable.apply(change));
            }
            Output::Transmit(transmit) => {
                let message = coap::wire::datagram::decode(&transmit.bytes);
                let message = message.expect("the Server sends CoAP");
                if message.message_type == coap::MessageType::Confirmable {
                    assert!(asked.is_none(), "one step at a time");
                    asked = Some((message.message_id, message.token));
                }
            }
            Output::Need { id, .. } => {
                let answer = Answer::Profile(Ok(Box::new(provision())));
                server.handle_answer(now, id, answer);
            }
            Output::Timeout(_) => return asked,
            Output::Completed { .. } | Output::Event(_) => {}
        }
    }
}

/// Two accounts, rights, and an instance of an Object with many.
fn provision() -> Provision {
    struct Zeros;
    impl KeySource for Zeros {
        fn random(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
        fn key_pair(&mut self, _: PairKind, _: &EndpointName) -> Option<KeyPair> {
            None
        }
        fn server_public(&self, _: PairKind) -> Option<Vec<u8>> {
            None
        }
    }
    let name = ProfileName::new("p").expect("a name");
    let mut profile = Profile::new(name, Selector::Default);
    for id in [1, 101] {
        let id = ShortServerId::new(id).expect("not reserved");
        let keys = Keys::PreSharedKey {
            identity: None,
            key: None,
        };
        let account = ServerAccount::new(id, "coaps://a", keys);
        profile.servers.push(account);
        profile.access.push(AccessControl {
            target: AccessTarget::Server(id),
            owner: Some(id),
            rights: vec![(Some(id), 15)],
            instance: None,
        });
    }
    profile.instances.push(InstanceData {
        object: ObjectId(3303),
        instance: None,
        resources: vec![Resource::single(5750, Value::String("x".into()))],
    });
    let endpoint = EndpointName::new("a").expect("a name");
    profile
        .provision(&endpoint, &Registry::bundled(), &mut Zeros)
        .expect("nothing is missing")
}

fn receive_from(server: &mut Server, now: Now, sender: u8, bytes: &[u8]) {
    let from = Address::from(SocketAddr::from(([127, 0, 0, 1], 4000 + u16::from(sender))));
    server.handle_receive(now, Port::Coap, &from, None, bytes);
}

fn drain(
    server: &mut Server,
    durable: &mut Snapshot,
    commits: &mut u64,
    names: &mut Vec<EndpointName>,
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
        /// Codes that a Client would send, and now and then any other; payloads like an answer to
        /// Discover, and noise.
        #[test]
        fn hostile_answers_break_no_run(
            answers in proptest::collection::vec(
                (prop_oneof![
                    4 => Just(0x45u8), 4 => Just(0x44), 4 => Just(0x42), 2 => Just(0x80),
                    2 => Just(0x84), 1 => Just(0x8f), 1 => any::<u8>(),
                 ],
                 prop_oneof![
                    "(lwm2m=\"1.0\",)?(</[0-3]/[0-9]{1,2}>(;ssid=[0-9]{1,3})?,){0,9}"
                        .prop_map(String::into_bytes),
                    proptest::collection::vec(any::<u8>(), 0..9),
                 ]),
                0..40),
        ) {
            let mut bytes = Vec::new();
            for (code, payload) in answers {
                bytes.extend([code, payload.len() as u8]);
                bytes.extend(payload);
            }
            bootstrap(&bytes);
        }

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
