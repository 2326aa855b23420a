//! Smartcard mode as a conversation (TS 1.0 §5.2.3.2): what a card holds is in force while it is
//! there and as it is.

mod common;

use common::*;
use dunlin_client::{
    Answer, Credentials, Event, Factory, MODE_NOSEC, Need, SmartcardError, accounts,
};
use dunlin_lwm2m::{
    ContentFormat, Instance, Node, Object, ObjectId, Path, Registry, Resource, Value, format,
};

fn factory() -> Factory {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    let uri = format!("coap://{}", server_address(2));
    factory
        .add_bootstrap_server(&uri, &Credentials::NoSec, 0, 0)
        .unwrap();
    factory
}

fn number(id: u16, value: i64) -> Resource {
    Resource::single(id, Value::Integer(value))
}

fn nothing(id: u16) -> Resource {
    Resource::single(id, Value::Opaque(vec![]))
}

/// A card with one account, for the scripted Server with this index.
fn card(index: usize, lifetime_s: i64) -> Vec<u8> {
    let uri = format!("coap://{}", server_address(index));
    let security = Instance::new(5)
        .with(Resource::single(0, Value::String(uri)))
        .with(Resource::single(1, Value::Boolean(false)))
        .with(number(2, MODE_NOSEC))
        .with(nothing(3))
        .with(nothing(4))
        .with(nothing(5))
        .with(number(10, 7));
    let server = Instance::new(5)
        .with(number(0, 7))
        .with(number(1, lifetime_s))
        .with(Resource::single(6, Value::Boolean(true)))
        .with(Resource::single(7, Value::String("U".into())));
    file(&[Object::new(0).with(security), Object::new(1).with(server)])
}

fn file(objects: &[Object]) -> Vec<u8> {
    let mut body = Vec::new();
    for object in objects {
        let at = Path::object(object.id);
        let tlv = format::encode(ContentFormat::TLV, at, &Node::Object(object.clone())).unwrap();
        body.extend(object.id.0.to_be_bytes());
        body.push(0);
        body.extend(u16::try_from(tlv.len()).unwrap().to_be_bytes());
        body.extend(tlv);
    }
    let mut file = u16::try_from(objects.len()).unwrap().to_be_bytes().to_vec();
    file.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    file.extend(body);
    file
}

fn world_with(card: &[u8]) -> World {
    let mut world = World::with(factory().build());
    world.servers = (0..3).map(Scripted::new).collect();
    world
        .client
        .insert_smartcard(world.now, Some(card))
        .unwrap();
    world.start();
    world
}

impl World {
    /// Whoever asks for the card gets this.
    fn show(&mut self, card: Option<&[u8]>) -> usize {
        let needs = std::mem::take(&mut self.needs);
        let asked = needs.len();
        for (id, need) in needs {
            assert_eq!(need, Need::Smartcard);
            let answer = Answer::Smartcard(card.map(<[u8]>::to_vec));
            self.client.handle_answer(self.now, id, answer);
        }
        self.settle();
        asked
    }

    fn open(&self) -> usize {
        self.client.servers().filter(|(_, open)| *open).count()
    }
}

#[test]
fn int_3_the_account_of_the_card_is_registered_with_and_nobody_else_is_asked() {
    let card = card(0, 600);
    let mut world = world_with(&card);
    world.show(Some(&card));
    assert_eq!(world.open(), 1);
    assert_eq!(world.servers[0].register(0).lifetime_s, 600);
    assert_eq!(
        world.servers[2].kinds(),
        "",
        "no bootstrap: the card came first"
    );
    assert!(world.told().contains(&Event::SmartcardTaken));
}

#[test]
fn ts_5_2_3_2_the_card_is_looked_at_before_every_register_and_update() {
    let card = card(0, 600);
    let mut world = world_with(&card);
    world.show(Some(&card));
    world.pass_s(507);
    assert_eq!(
        world.servers[0].kinds(),
        "R",
        "the Update waits for the card"
    );
    assert_eq!(world.show(Some(&card)), 1);
    assert_eq!(world.servers[0].kinds(), "RU");
}

#[test]
fn ts_5_2_3_2_a_card_that_has_changed_is_taken_anew() {
    let old = card(0, 600);
    let mut world = world_with(&old);
    world.show(Some(&old));
    world.told();
    world.pass_s(507);
    let new = card(1, 120);
    world.show(Some(&new));
    world.show(Some(&new));
    assert_eq!(world.servers[0].kinds(), "RD", "the old one is left");
    assert_eq!(world.servers[1].register(0).lifetime_s, 120);
    assert!(world.told().contains(&Event::SmartcardTaken));
}

#[test]
fn ts_5_2_3_2_what_came_from_a_card_goes_with_it() {
    let card = card(0, 600);
    let mut world = world_with(&card);
    world.show(Some(&card));
    world.pass_s(507);
    world.show(None);
    assert!(accounts(world.client.tree()).is_empty());
    assert!(world.told().contains(&Event::SmartcardGone));
    assert_eq!(
        world.servers[2].kinds(),
        "B",
        "and the Bootstrap-Server is asked"
    );
}

#[test]
fn ts_5_2_3_2_a_card_that_cannot_be_read_any_more_is_gone() {
    let card = card(0, 600);
    let mut world = world_with(&card);
    world.show(Some(&card));
    world.pass_s(507 + 10);
    assert!(accounts(world.client.tree()).is_empty());
}

#[test]
fn a_card_that_makes_no_sense_is_refused_whole() {
    let mut world = World::with(factory().build());
    let server = Instance::new(0).with(number(0, 7));
    let half = file(&[Object::new(1).with(server)]);
    let refused = world.client.insert_smartcard(world.now, Some(&half));
    assert!(
        matches!(refused, Err(SmartcardError::Inconsistent(ref what)) if what.starts_with("/1/0")),
        "{refused:?}"
    );
    let refused = world.client.insert_smartcard(world.now, Some(b"\x00\x09"));
    assert!(matches!(refused, Err(SmartcardError::Layout(_))));
    assert!(accounts(world.client.tree()).is_empty());
    assert_eq!(world.client.tree().instances(ObjectId::SERVER).count(), 0);
}

#[test]
fn a_card_is_known_again_after_a_restart_and_what_servers_have_written_stays() {
    let card = card(0, 600);
    let mut world = world_with(&card);
    world.show(Some(&card));
    let client = world.servers[0].client;
    assert!(client.is_some());
    world.ask(&write_text("/1/5/1", "300"));
    world.show(Some(&card));
    let config =
        dunlin_client::Config::new(dunlin_lwm2m::EndpointName::new("thermometer").unwrap());
    world.client = dunlin_client::Client::new(config, factory().build(), [8; 32]);
    world.client.restore(world.state.as_ref().unwrap()).unwrap();
    world
        .client
        .insert_smartcard(world.now, Some(&card))
        .unwrap();
    world.commits = 0;
    world.start();
    world.show(Some(&card));
    assert_eq!(world.servers[0].register(1).lifetime_s, 300);
}
