//! Firmware Update (TS 1.0 §E.6): the state machine with every Update Result, packages that are
//! pushed and pulled, and what an interruption or a restart leaves of them.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::*;
use dunlin_client::object::{Delivery, FirmwareUpdate, PullProtocol};
use dunlin_client::{
    Address, Answer, Credentials, Event, Factory, FirmwareState, Need, NeedId, PackageDone,
    PackageFault, PackageStep, Tree,
};
use dunlin_lwm2m::operation::{Binding, Operation, ResponseCode, WriteMode};
use dunlin_lwm2m::{ContentFormat, Instance, ObjectId, Registry, Resource, Value};
use dunlin_transport::coap::wire::datagram;
use dunlin_transport::coap::{BlockValue, Code, Message, MessageType, OptionList, OptionNumber};
use dunlin_transport::{Carriage, Event as Heard, RequestId};

const OPAQUE: ContentFormat = ContentFormat::OPAQUE;

/// A package of that length in which no two blocks are alike.
fn package(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn tree() -> Tree {
    let mut factory = factory(1, Binding::U);
    let firmware =
        FirmwareUpdate::instance(&[PullProtocol::Coap, PullProtocol::Http], Delivery::Both);
    factory
        .add_instance(ObjectId::FIRMWARE_UPDATE, firmware)
        .unwrap();
    let device = Instance::new(0).with(Resource::single(3, Value::String("1.0".into())));
    factory.add_instance(ObjectId::DEVICE, device).unwrap();
    factory.build()
}

/// The outside: a place for one package.
#[derive(Default)]
struct Store {
    bytes: Vec<u8>,
    origin: Option<(String, Option<Vec<u8>>)>,
    /// What Verify says.
    verdict: Option<PackageFault>,
    /// What Append says once so many bytes are there.
    full_at: Option<(u64, PackageFault)>,
    /// What Install, Confirm and Download wait for.
    waiting: Option<(NeedId, PackageStep)>,
    discarded: u32,
    longest: usize,
}

impl Store {
    fn take(&mut self, step: &PackageStep) -> Option<Result<PackageDone, PackageFault>> {
        Some(match step {
            PackageStep::Resume { uri } => {
                let origin = self.origin.take().filter(|(known, _)| known == uri);
                let (length, etag) = match origin {
                    Some((_, etag)) => (self.bytes.len() as u64, etag),
                    None => (0, None),
                };
                Ok(PackageDone::Kept { length, etag })
            }
            PackageStep::Append {
                offset,
                bytes,
                origin,
                ..
            } => {
                if let Some((at, fault)) = self.full_at
                    && offset + bytes.len() as u64 > at
                {
                    return Some(Err(fault));
                }
                self.longest = self.longest.max(bytes.len());
                self.bytes.truncate(usize::try_from(*offset).unwrap());
                assert_eq!(self.bytes.len() as u64, *offset, "no holes");
                self.bytes.extend_from_slice(bytes);
                self.origin = origin
                    .as_ref()
                    .map(|origin| (origin.uri.clone(), origin.etag.clone()));
                Ok(PackageDone::Done)
            }
            PackageStep::Verify => match self.verdict {
                Some(fault) => Err(fault),
                None => Ok(PackageDone::Verified {
                    name: Some("thermometer".into()),
                    version: Some("2.0".into()),
                }),
            },
            PackageStep::Discard => {
                self.discarded += 1;
                self.bytes.clear();
                return None;
            }
            _ => return None,
        })
    }
}

/// A CoAP server with one representation.
struct Files {
    address: Address,
    body: Vec<u8>,
    etag: Option<u8>,
    code: Code,
    /// Every so many answers one is lost; 0 for none.
    loses: usize,
    reachable: bool,
    block_max: u32,
    seen: usize,
    /// The offsets that were asked for.
    asked: Vec<u64>,
}

impl Files {
    fn new(body: Vec<u8>) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 9], 5683)).into(),
            body,
            etag: Some(1),
            code: Code::CONTENT,
            loses: 0,
            reachable: true,
            block_max: 6,
            seen: 0,
            asked: Vec::new(),
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let request = datagram::decode(bytes).unwrap();
        if request.code != Code::GET || !self.reachable {
            return None;
        }
        let path: Vec<&[u8]> = request.options.all(OptionNumber::URI_PATH).collect();
        assert_eq!(path, [&b"fw"[..], b"v2"]);
        let block = request.options.block2().expect("one block is asked for");
        self.asked.push(block.offset());
        if self.loses > 0 && self.asked.len().is_multiple_of(self.loses) {
            return None;
        }
        let exponent = u32::from(block.size.exponent()).min(self.block_max);
        let size = dunlin_transport::coap::BlockSize::from_exponent(exponent as u8).unwrap();
        let offset = usize::try_from(block.offset()).unwrap();
        let mut options = OptionList::new();
        let mut payload = &[][..];
        let mut code = self.code;
        if code == Code::CONTENT {
            if offset >= self.body.len() {
                code = Code::BAD_REQUEST;
            } else {
                if let Some(etag) = self.etag {
                    options.push(OptionNumber::ETAG, &[etag]);
                }
                let end = self.body.len().min(offset + size.bytes());
                payload = &self.body[offset..end];
                let given = BlockValue {
                    number: u32::try_from(offset / size.bytes()).unwrap(),
                    more: end < self.body.len(),
                    size,
                };
                options.push_block(OptionNumber::BLOCK2, given);
            }
        }
        let message = Message {
            message_type: MessageType::Acknowledgement,
            code,
            message_id: request.message_id,
            token: request.token,
            options: options.view(),
            payload,
        };
        let mut bytes = Vec::new();
        datagram::encode(&message, &mut bytes);
        Some(bytes)
    }
}

struct Bench {
    world: World,
    store: Store,
    files: Files,
}

impl Bench {
    fn new() -> Self {
        Self::with(tree())
    }

    fn with(tree: Tree) -> Self {
        let mut world = World::with(tree);
        world.start();
        world.news.clear();
        Self {
            world,
            store: Store::default(),
            files: Files::new(Vec::new()),
        }
    }

    /// Carries to and fro until nobody has anything to say.
    fn pump(&mut self) {
        loop {
            self.world.settle();
            let needs = std::mem::take(&mut self.world.needs);
            let sent: Vec<Vec<u8>> = self.world.sent[self.files.seen..]
                .iter()
                .filter(|(_, to, _)| *to == self.files.address)
                .map(|(_, _, bytes)| bytes.clone())
                .collect();
            self.files.seen = self.world.sent.len();
            if needs.is_empty() && sent.is_empty() {
                return;
            }
            let now = self.world.now;
            for (id, need) in needs {
                let answer = match need {
                    Need::Package(step) => match self.store.take(&step) {
                        Some(done) => Answer::Package(done),
                        None => {
                            if step != PackageStep::Discard {
                                self.store.waiting = Some((id, step));
                            }
                            continue;
                        }
                    },
                    Need::Resolve { .. } => Answer::Resolved(None),
                    other => panic!("{other:?}"),
                };
                self.world.client.handle_answer(now, id, answer);
            }
            for bytes in sent {
                if let Some(answer) = self.files.answer(&bytes) {
                    let from = self.files.address.clone();
                    self.world.client.handle_receive(
                        now,
                        dunlin_client::Port::Coap,
                        &from,
                        None,
                        &answer,
                    );
                }
            }
        }
    }

    fn pass_s(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.world.pass(Duration::from_secs(1));
            self.pump();
        }
    }

    /// The outside answers what it was asked last.
    fn outside_answers(&mut self, answer: Result<PackageDone, PackageFault>) {
        let (id, _) = self.store.waiting.take().expect("the outside is asked");
        let now = self.world.now;
        self.world
            .client
            .handle_answer(now, id, Answer::Package(answer));
        self.pump();
    }

    fn waits_for(&self) -> &PackageStep {
        &self.store.waiting.as_ref().expect("the outside is asked").1
    }

    fn begin(&mut self, operation: &Operation) -> RequestId {
        let server = &mut self.world.servers[0];
        let now = self.world.now;
        let peer =
            server
                .transport
                .peer_at(now, dunlin_client::Port::Coap, &client_address(), None);
        server
            .transport
            .request(now, peer, "", operation, Carriage::default())
            .unwrap()
    }

    fn ended(&mut self, asked: RequestId) -> Option<ResponseCode> {
        self.world.servers[0]
            .heard
            .iter()
            .find_map(|event| match event {
                Heard::Answered {
                    request, answer, ..
                } if *request == asked => answer.code.ok(),
                _ => None,
            })
    }

    fn ask(&mut self, operation: &Operation) -> ResponseCode {
        let asked = self.begin(operation);
        self.pump();
        self.ended(asked).expect("an answer")
    }

    fn push(&mut self, bytes: &[u8]) -> ResponseCode {
        self.ask(&write("/5/0/0", WriteMode::Replace, OPAQUE, bytes))
    }

    fn pull(&mut self, uri: &str) -> ResponseCode {
        self.ask(&write_text("/5/0/1", uri))
    }

    fn update(&mut self) -> ResponseCode {
        self.ask(&execute("/5/0/2"))
    }

    /// State and Update Result, as the Server reads them.
    fn state(&mut self) -> (i64, i64) {
        let mut number = |target| {
            let answer = self.world.ask(&read(target));
            text(&answer).parse().unwrap()
        };
        (number("/5/0/3"), number("/5/0/5"))
    }

    fn restart(&mut self) {
        self.store.waiting = None;
        self.world.needs.clear();
        self.world.restart(tree());
        self.pump();
    }

    fn value(&mut self, target: &str) -> String {
        text(&self.world.ask(&read(target))).into()
    }
}

const URI: &str = "coap://127.0.0.9/fw/v2";

#[test]
fn ts_e_6_int_751_the_object_as_it_is_without_a_package() {
    let mut bench = Bench::new();
    assert_eq!(bench.state(), (0, 0));
    assert_eq!(bench.value("/5/0/1"), "");
    assert_eq!(bench.value("/5/0/9"), "2");
    let protocols = bench.world.ask(&read_as("/5/0/8", ContentFormat::JSON));
    assert!(
        text(&protocols).contains(r#"{"n":"1","v":2}"#),
        "{}",
        text(&protocols)
    );
    // The package itself is written, never read.
    assert_eq!(bench.ask(&read("/5/0/0")), ResponseCode::MethodNotAllowed);
    assert_eq!(bench.ask(&create(5, b"")), ResponseCode::MethodNotAllowed);
    assert_eq!(bench.ask(&delete("/5/0")), ResponseCode::MethodNotAllowed);
}

#[test]
fn ts_e_6_int_770_a_package_is_pushed_block_by_block_and_installed() {
    let mut bench = Bench::new();
    bench.world.observe("/5/0/3");
    let image = package(100_000);
    assert_eq!(bench.push(&image), ResponseCode::Changed);
    assert_eq!(bench.store.bytes, image);
    assert!(bench.store.longest <= 1_024, "never more than one block");
    assert_eq!(bench.state(), (2, 0));
    assert_eq!(bench.value("/5/0/6"), "thermometer");
    assert_eq!(bench.value("/5/0/7"), "2.0");
    let notified = bench.world.servers[0].notified_texts();
    let states: Vec<&str> = notified.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(states, ["1", "2"]);

    assert_eq!(bench.update(), ResponseCode::Changed);
    assert_eq!(bench.state(), (3, 0));
    assert_eq!(bench.waits_for(), &PackageStep::Install);
    assert_eq!(bench.value("/3/0/3"), "1.0");
    bench.outside_answers(Ok(PackageDone::Done));
    assert_eq!(bench.state(), (0, 1));
    assert_eq!(
        bench.value("/3/0/3"),
        "2.0",
        "Firmware Version is the package's"
    );
    assert!(bench.store.bytes.is_empty());
    let told = bench.world.told();
    let states = told.iter().filter_map(|event| match event {
        Event::Firmware { state, result } => Some((*state, *result)),
        _ => None,
    });
    assert_eq!(
        states.collect::<Vec<_>>(),
        [
            (FirmwareState::Downloading, 0),
            (FirmwareState::Downloaded, 0),
            (FirmwareState::Updating, 0),
            (FirmwareState::Idle, 1),
        ]
    );
}

#[test]
fn ts_e_6_a_package_in_one_message_or_in_tlv_is_a_package_too() {
    let mut bench = Bench::new();
    assert_eq!(bench.push(b"small"), ResponseCode::Changed);
    assert_eq!(
        (bench.state(), &bench.store.bytes[..]),
        ((2, 0), &b"small"[..])
    );
    assert_eq!(bench.pull(""), ResponseCode::Changed);
    let tlv = write(
        "/5/0",
        WriteMode::Partial,
        ContentFormat::TLV,
        b"\xc5\x00small",
    );
    assert_eq!(bench.ask(&tlv), ResponseCode::Changed);
    assert_eq!(
        (bench.state(), &bench.store.bytes[..]),
        ((2, 0), &b"small"[..])
    );
}

#[test]
fn ts_e_6_the_client_answers_while_a_package_is_pushed() {
    let mut bench = Bench::new();
    let asked = bench.begin(&write("/5/0/0", WriteMode::Replace, OPAQUE, package(5_000)));
    // The outside is slow: the first block is not stored yet.
    bench.world.settle();
    assert_eq!(bench.ended(asked), None);
    // One request at a time: the Server waits with the next one until the first is acknowledged.
    bench.world.pass(Duration::from_secs(2));
    let got = bench
        .world
        .raw_request(Code::GET, &["3", "0", "0"], &[], b"");
    assert_eq!((got.code, &got.payload[..]), (Code::CONTENT, &b"ACME"[..]));
    bench.pump();
    assert_eq!(bench.ended(asked), Some(ResponseCode::Changed));
    assert_eq!(bench.store.bytes, package(5_000));
}

#[test]
fn ts_e_6_int_771_a_package_is_pulled_over_coap_and_installed() {
    let mut bench = Bench::new();
    bench.files.body = package(20_000);
    assert_eq!(bench.pull(URI), ResponseCode::Changed);
    assert_eq!(bench.state(), (2, 0));
    assert_eq!(bench.store.bytes, bench.files.body);
    assert_eq!(bench.value("/5/0/1"), URI);
    bench.update();
    bench.outside_answers(Ok(PackageDone::Done));
    assert_eq!(bench.state(), (0, 1));
    assert_eq!(bench.value("/5/0/1"), "");
}

#[test]
fn rfc7959_2_4_a_server_with_smaller_blocks_is_asked_for_smaller_ones() {
    let mut bench = Bench::new();
    bench.files.body = package(1_000);
    bench.files.block_max = 2;
    bench.pull(URI);
    assert_eq!(bench.state(), (2, 0));
    assert_eq!(bench.store.bytes, bench.files.body);
    assert_eq!(bench.files.asked[..3], [0, 64, 128]);
}

#[test]
fn ts_e_6_int_755_756_a_package_is_taken_back() {
    let mut bench = Bench::new();
    for reset in [
        write("/5/0/0", WriteMode::Replace, OPAQUE, [0]),
        write_text("/5/0/1", ""),
        write("/5/0", WriteMode::Partial, ContentFormat::TLV, b"\xc0\x01"),
    ] {
        bench.push(b"package");
        assert_eq!(bench.state(), (2, 0));
        let discarded = bench.store.discarded;
        assert_eq!(bench.ask(&reset), ResponseCode::Changed);
        assert_eq!(bench.state(), (0, 0));
        assert!(bench.store.discarded > discarded);
        assert_eq!(bench.ask(&read("/5/0/6")), ResponseCode::NotFound);
        // In state Idle it changes nothing, and is no mistake.
        assert_eq!(bench.ask(&reset), ResponseCode::Changed);
        assert_eq!(bench.state(), (0, 0));
    }
}

#[test]
fn ts_e_6_a_reset_ends_a_download() {
    let mut bench = Bench::new();
    bench.files.reachable = false;
    bench.pull(URI);
    assert_eq!(bench.state(), (1, 0));
    assert_eq!(bench.pull(""), ResponseCode::Changed);
    assert_eq!(bench.state(), (0, 0));
    let asked = bench.files.asked.len();
    bench.files.reachable = true;
    bench.pass_s(300);
    assert_eq!(
        bench.files.asked.len(),
        asked,
        "nothing is fetched any more"
    );
    assert_eq!(bench.state(), (0, 0));
}

#[test]
fn ts_e_6_int_772_update_needs_a_package() {
    let mut bench = Bench::new();
    assert_eq!(bench.update(), ResponseCode::MethodNotAllowed);
    bench.files.reachable = false;
    bench.pull(URI);
    assert_eq!(bench.update(), ResponseCode::MethodNotAllowed);
    assert_eq!(bench.state(), (1, 0));
    bench.pull("");
    bench.push(b"package");
    bench.update();
    assert_eq!(bench.update(), ResponseCode::MethodNotAllowed);
    assert_eq!(bench.state(), (3, 0));
}

#[test]
fn ts_e_6_a_new_package_is_refused_until_the_old_one_is_taken_back() {
    let mut bench = Bench::new();
    bench.push(b"package");
    assert_eq!(bench.push(b"another"), ResponseCode::BadRequest);
    assert_eq!(bench.push(&package(3_000)), ResponseCode::BadRequest);
    assert_eq!(bench.pull(URI), ResponseCode::BadRequest);
    assert_eq!(bench.store.bytes, b"package");
    assert_eq!(bench.state(), (2, 0));
    bench.update();
    for operation in [
        write("/5/0/0", WriteMode::Replace, OPAQUE, b"another"),
        write("/5/0/0", WriteMode::Replace, OPAQUE, [0]),
        write_text("/5/0/1", URI),
        write_text("/5/0/1", ""),
    ] {
        assert_eq!(bench.ask(&operation), ResponseCode::MethodNotAllowed);
    }
    assert_eq!(bench.state(), (3, 0));
}

#[test]
fn ts_e_6_what_is_no_order_is_refused() {
    let mut bench = Bench::new();
    for (operation, code) in [
        // A package and a URI.
        (
            write(
                "/5/0",
                WriteMode::Partial,
                ContentFormat::TLV,
                b"\xc1\x00p\xc8\x01\x08coap://h",
            ),
            ResponseCode::BadRequest,
        ),
        (
            write(
                "/5/0",
                WriteMode::Partial,
                ContentFormat::TLV,
                b"\xc1\x03\x02",
            ),
            ResponseCode::MethodNotAllowed,
        ),
        (write_text("/5/0/3", "2"), ResponseCode::MethodNotAllowed),
        (
            write_text("/5/0/1", &"a".repeat(256)),
            ResponseCode::BadRequest,
        ),
        (
            write("/5/0/1", WriteMode::Replace, OPAQUE, b"coap://h"),
            ResponseCode::UnsupportedContentFormat,
        ),
    ] {
        assert_eq!(bench.ask(&operation), code, "{operation:?}");
        assert_eq!(bench.state(), (0, 0));
    }
}

#[test]
fn ts_e_6_int_773_774_what_cannot_be_stored_ends_with_result_2_or_3() {
    for (fault, code, result) in [
        (PackageFault::NoRoom, ResponseCode::RequestEntityTooLarge, 2),
        (PackageFault::NoMemory, ResponseCode::InternalServerError, 3),
    ] {
        let mut bench = Bench::new();
        bench.store.full_at = Some((4_000, fault));
        assert_eq!(bench.push(&package(10_000)), code);
        assert_eq!(bench.state(), (0, result));
        bench.files.body = package(10_000);
        assert_eq!(bench.pull(URI), ResponseCode::Changed);
        assert_eq!(bench.state(), (0, result));
        // The next one begins with a clean slate.
        bench.store.full_at = None;
        assert_eq!(bench.push(&package(10_000)), ResponseCode::Changed);
        assert_eq!(bench.state(), (2, 0));
    }
}

#[test]
fn ts_e_6_int_775_a_server_that_stops_in_the_middle_is_a_lost_connection() {
    let mut bench = Bench::new();
    let asked = bench.begin(&write(
        "/5/0/0",
        WriteMode::Replace,
        OPAQUE,
        package(50_000),
    ));
    for _ in 0..9 {
        // Each round carries a block there and its answer back.
        bench.world.settle();
        let (id, need) = bench.world.needs.remove(0);
        let Need::Package(step) = need else { panic!() };
        let done = bench.store.take(&step).unwrap();
        let now = bench.world.now;
        bench
            .world
            .client
            .handle_answer(now, id, Answer::Package(done));
    }
    bench.world.settle();
    let now = bench.world.now;
    bench.world.servers[0]
        .transport
        .cancel_request(now, asked)
        .unwrap();
    bench.world.needs.clear();
    bench.world.pass_s(200);
    assert_eq!(bench.state(), (1, 0));
    bench.world.pass_s(60);
    bench.pump();
    assert_eq!(bench.state(), (0, 4));
    assert!(bench.store.bytes.is_empty());
}

#[test]
fn ts_e_6_int_775_a_download_that_never_comes_back_ends_with_result_4() {
    let mut bench = Bench::new();
    bench.files.body = package(5_000);
    bench.files.reachable = false;
    bench.pull(URI);
    bench.pass_s(600);
    assert_eq!(bench.state(), (1, 0), "not given up at once");
    bench.pass_s(4_000);
    assert_eq!(bench.state(), (0, 4));
}

#[test]
fn ts_e_6_int_776_777_a_bad_package_is_never_downloaded() {
    for (fault, result) in [
        (PackageFault::Damaged, 5),
        (PackageFault::UnsupportedType, 6),
    ] {
        let mut bench = Bench::new();
        bench.world.observe("/5/0/3");
        bench.store.verdict = Some(fault);
        assert_eq!(bench.push(&package(3_000)), ResponseCode::Changed);
        assert_eq!(bench.state(), (0, result));
        bench.files.body = package(3_000);
        assert_eq!(bench.pull(URI), ResponseCode::Changed);
        assert_eq!(bench.state(), (0, result));
        let notified = bench.world.servers[0].notified_texts();
        assert!(
            notified.iter().all(|(_, state)| state != "2"),
            "{notified:?}"
        );
        assert!(bench.store.bytes.is_empty());
    }
}

#[test]
fn ts_e_6_int_778_an_invalid_uri_is_a_result_and_no_refusal() {
    let mut bench = Bench::new();
    for uri in ["coap://", "nonsense", "coap://no.such.host/fw"] {
        assert_eq!(bench.pull(uri), ResponseCode::Changed, "{uri}");
        assert_eq!(bench.state(), (0, 7), "{uri}");
    }
    bench.files.code = Code::NOT_FOUND;
    assert_eq!(bench.pull(URI), ResponseCode::Changed);
    assert_eq!(bench.state(), (0, 7));
}

#[test]
fn ts_e_6_int_779_what_cannot_be_installed_stays_downloaded() {
    let mut bench = Bench::new();
    bench.push(b"package");
    bench.update();
    bench.outside_answers(Err(PackageFault::UpdateFailed));
    assert_eq!(bench.state(), (2, 8));
    // And can be tried again.
    assert_eq!(bench.update(), ResponseCode::Changed);
    assert_eq!(bench.state(), (3, 0));
    bench.outside_answers(Ok(PackageDone::Done));
    assert_eq!(bench.state(), (0, 1));
}

#[test]
fn ts_e_6_int_780_a_protocol_that_is_not_supported_is_result_9() {
    let mut bench = Bench::new();
    for uri in ["ftp://h/fw", "https://h/fw", "coaps://h/fw"] {
        assert_eq!(bench.pull(uri), ResponseCode::Changed, "{uri}");
        assert_eq!(bench.state(), (0, 9), "{uri}");
    }
}

#[test]
fn ts_e_6_http_is_downloaded_by_the_outside() {
    let mut bench = Bench::new();
    assert_eq!(bench.pull("http://h/fw"), ResponseCode::Changed);
    assert_eq!(bench.state(), (1, 0));
    let uri = "http://h/fw".into();
    assert_eq!(bench.waits_for(), &PackageStep::Download { uri });
    bench.outside_answers(Ok(PackageDone::Done));
    assert_eq!(bench.state(), (2, 0));
    bench.pull("");
    bench.pull("http://h/fw");
    bench.outside_answers(Err(PackageFault::ConnectionLost));
    assert_eq!(bench.state(), (0, 4));
}

#[test]
fn ts_e_6_delivery_method_says_how_packages_come() {
    for (delivery, pushed, pulled) in [
        (
            Delivery::Push,
            ResponseCode::Changed,
            ResponseCode::MethodNotAllowed,
        ),
        (
            Delivery::Pull,
            ResponseCode::MethodNotAllowed,
            ResponseCode::Changed,
        ),
    ] {
        let mut factory = factory(1, Binding::U);
        let firmware = FirmwareUpdate::instance(&[PullProtocol::Coap], delivery);
        factory
            .add_instance(ObjectId::FIRMWARE_UPDATE, firmware)
            .unwrap();
        let mut bench = Bench::with(factory.build());
        bench.files.body = package(100);
        assert_eq!(bench.push(b"package"), pushed);
        bench.ask(&write("/5/0/0", WriteMode::Replace, OPAQUE, [0]));
        assert_eq!(bench.pull(URI), pulled);
    }
}

#[test]
fn rfc7959_2_4_a_download_survives_loss_and_goes_on_where_it_stopped() {
    let mut bench = Bench::new();
    bench.files.body = package(60_000);
    bench.files.loses = 7;
    bench.pull(URI);
    bench.pass_s(8);
    // The server is away for longer than CoAP is patient.
    let stored = bench.store.bytes.len();
    assert!(stored > 0 && stored < 60_000, "{stored}");
    bench.files.reachable = false;
    bench.pass_s(200);
    bench.files.reachable = true;
    let before = bench.files.asked.len();
    bench.pass_s(400);
    assert_eq!(bench.state(), (2, 0));
    assert_eq!(bench.store.bytes, bench.files.body);
    assert!(bench.files.asked[before] >= stored as u64, "not begun anew");
}

#[test]
fn ts_e_6_a_restart_goes_on_with_the_download() {
    let mut bench = Bench::new();
    bench.files.body = package(60_000);
    bench.files.loses = 20;
    bench.pull(URI);
    let stored = bench.store.bytes.len() as u64;
    assert!(stored > 0 && stored < 60_000);
    let before = bench.files.asked.len();
    bench.restart();
    assert_eq!(bench.files.asked[before], stored, "not begun anew");
    bench.pass_s(100);
    assert_eq!(bench.state(), (2, 0));
    assert_eq!(bench.store.bytes, bench.files.body);
}

#[test]
fn rfc7252_5_10_6_another_etag_after_a_restart_begins_anew() {
    for etag in [Some(2), None] {
        let mut bench = Bench::new();
        bench.files.body = package(40_000);
        bench.files.loses = 20;
        bench.pull(URI);
        assert!(!bench.store.bytes.is_empty());
        bench.files.etag = etag;
        bench.files.body = package(50_000);
        bench.files.body.reverse();
        bench.restart();
        bench.pass_s(100);
        assert_eq!(bench.state(), (2, 0));
        assert_eq!(
            bench.store.bytes, bench.files.body,
            "bytes of two versions are not mixed"
        );
    }
}

#[test]
fn ts_e_6_without_an_etag_a_restart_begins_anew() {
    let mut bench = Bench::new();
    bench.files.body = package(40_000);
    bench.files.etag = None;
    bench.files.loses = 20;
    bench.pull(URI);
    let before = bench.files.asked.len();
    bench.restart();
    assert_eq!(bench.files.asked[before], 0);
}

#[test]
fn ts_e_6_a_restart_in_the_middle_of_a_push_is_a_lost_connection() {
    let mut bench = Bench::new();
    let asked = bench.begin(&write(
        "/5/0/0",
        WriteMode::Replace,
        OPAQUE,
        package(50_000),
    ));
    bench.world.settle();
    let now = bench.world.now;
    let server = &mut bench.world.servers[0].transport;
    server.cancel_request(now, asked).unwrap();
    bench.restart();
    bench.pump();
    assert_eq!(bench.state(), (0, 4));
}

#[test]
fn ts_e_6_a_restart_while_updating_asks_how_it_went() {
    for (answer, state) in [
        (Ok(PackageDone::Done), (0, 1)),
        (Err(PackageFault::UpdateFailed), (2, 8)),
    ] {
        let mut bench = Bench::new();
        bench.push(b"package");
        bench.update();
        bench.restart();
        assert_eq!(bench.waits_for(), &PackageStep::Confirm);
        assert_eq!(bench.state(), (3, 0));
        bench.outside_answers(answer);
        assert_eq!(bench.state(), state);
        // The Server that registers us anew reads the result.
        bench.restart();
        assert_eq!(bench.state(), state);
    }
}

#[test]
fn rfc7959_2_3_a_large_write_elsewhere_is_gathered_and_bounded() {
    let mut bench = Bench::new();
    let long = "x".repeat(3_000);
    assert_eq!(
        bench.ask(&write_text("/3/0/15", &long)),
        ResponseCode::Changed
    );
    assert_eq!(bench.value("/3/0/15"), long);
    let tlv = write(
        "/5/0/0",
        WriteMode::Replace,
        ContentFormat::TLV,
        package(70_000),
    );
    assert_eq!(bench.ask(&tlv), ResponseCode::RequestEntityTooLarge);
    assert_eq!(bench.state(), (0, 0));
}

#[test]
fn ts_e_6_blocks_of_strangers_and_blocks_out_of_order_are_refused() {
    let mut bench = Bench::new();
    let block = |number: u32, more: bool| {
        let block = BlockValue {
            number,
            more,
            size: dunlin_transport::coap::BlockSize::SMALLEST,
        };
        block.to_uint().to_be_bytes()[3..].to_vec()
    };
    let first = block(0, true);
    let options = [
        (OptionNumber::CONTENT_FORMAT, &[42][..]),
        (OptionNumber::BLOCK1, &first[..]),
    ];
    let message = |bench: &mut Bench, options: &[(OptionNumber, &[u8])]| {
        bench.world.servers[0].next_message_id += 1;
        let message_id = dunlin_transport::coap::MessageId(bench.world.servers[0].next_message_id);
        let mut list = OptionList::new();
        for segment in ["5", "0", "0"] {
            list.push(OptionNumber::URI_PATH, segment.as_bytes());
        }
        for (number, value) in options {
            list.push(*number, value);
        }
        let message = Message {
            message_type: MessageType::Confirmable,
            code: Code::PUT,
            message_id,
            token: dunlin_transport::Token::new(&message_id.0.to_be_bytes()).unwrap(),
            options: list.view(),
            payload: &[7; 16],
        };
        let got = bench.world.raw(&message);
        let before = bench.world.sent.len();
        bench.pump();
        let later = bench.world.sent[before..]
            .iter()
            .map(|(_, _, bytes)| Got::read(bytes));
        got.into_iter().chain(later).map(|got| got.code).next_back()
    };
    assert_eq!(message(&mut bench, &options), Some(Code::CONTINUE));
    let third = block(2, true);
    let skipped = [options[0], (OptionNumber::BLOCK1, &third[..])];
    assert_eq!(
        message(&mut bench, &skipped),
        Some(Code::REQUEST_ENTITY_INCOMPLETE)
    );
    let last = block(1, false);
    let next = [options[0], (OptionNumber::BLOCK1, &last[..])];
    assert_eq!(message(&mut bench, &next), Some(Code::CHANGED));
    assert_eq!(bench.store.bytes, [7; 32]);
    assert_eq!(bench.state(), (2, 0));
}

/// A Client with an account for a Server at 5683 by this key, and a server with a package at 5684 of the same host.
fn secured(key: &[u8]) -> Bench {
    let psk = Credentials::Psk {
        identity: b"urn:me".to_vec(),
        key: key.to_vec(),
    };
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    let uri = format!("coaps://{}", server_address(0));
    factory
        .add_secured_server(&uri, &psk, LIFETIME_S, Binding::U)
        .unwrap();
    let protocols = [PullProtocol::Coap, PullProtocol::Coaps];
    let firmware = FirmwareUpdate::instance(&protocols, Delivery::Both);
    factory
        .add_instance(ObjectId::FIRMWARE_UPDATE, firmware)
        .unwrap();
    let mut world = World::with(factory.build());
    let mut server = Scripted::secured(0, None);
    let mut files = Scripted::with_file(1, package(5_000));
    server.keys.insert(b"urn:me".to_vec(), key.to_vec());
    files
        .keys
        .insert(b"urn:me".to_vec(), b"0123456789abcdef".to_vec());
    world.servers = vec![server, files];
    world.start();
    assert!(world.is_registered(0), "{:?}", world.news);
    Bench {
        world,
        store: Store::default(),
        files: Files::new(Vec::new()),
    }
}

fn pull_secured(bench: &mut Bench, uri: &str) {
    let code = bench.world.code(&write_text("/5/0/1", uri));
    assert_eq!(code, ResponseCode::Changed);
    bench.pump();
}

#[test]
fn ts_e_6_coaps_uses_the_keys_of_the_account_for_that_host() {
    let mut bench = secured(b"0123456789abcdef");
    pull_secured(&mut bench, "coaps://127.0.0.1:5684/9/0/1");
    assert_eq!(bench.state(), (2, 0));
    assert_eq!(bench.store.bytes, package(5_000));
    // The session of the download is over, that of the Server is not.
    bench.pass_s(1);
    assert!(bench.world.is_registered(0));
    assert_eq!(bench.value("/5/0/7"), "2.0");
}

#[test]
fn ts_e_6_coaps_without_keys_for_the_host_is_no_uri_of_ours() {
    let mut bench = secured(b"0123456789abcdef");
    pull_secured(&mut bench, "coaps://127.0.0.2:5684/9/0/1");
    assert_eq!(bench.state(), (0, 7));
}

#[test]
fn ts_e_6_coaps_with_the_wrong_key_is_a_lost_connection() {
    let mut bench = secured(b"another key, far");
    pull_secured(&mut bench, "coaps://127.0.0.1:5684/9/0/1");
    assert_eq!(bench.state(), (1, 0));
    for _ in 0..60 {
        bench.pass_s(100);
        // Registrations are kept alive meanwhile.
        if bench.state().0 == 0 {
            break;
        }
    }
    assert_eq!(bench.state(), (0, 4));
    assert!(bench.store.bytes.is_empty());
}
