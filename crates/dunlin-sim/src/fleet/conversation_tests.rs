//! Conversations of the machine with a server that is written by hand, on a clock that is made.

mod bad_firmware;

use std::time::Duration;

use dunlin_coap::wire::datagram;
use dunlin_coap::{
    BlockSize, BlockValue, Code, Message, MessageId, MessageType, OptionList, OptionNumber, Token,
};

use super::machine::{Fact, Machine};
use super::plan::Plan;
use super::report::Generator;
use super::scenario::Scenario;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A message with bytes of its own, so that it outlives the tray.
#[derive(Clone, Debug)]
struct Said {
    client: u32,
    binding: u16,
    bytes: Vec<u8>,
}

impl Said {
    fn message(&self) -> Message<'_> {
        datagram::decode(&self.bytes).expect("the fleet speaks CoAP")
    }

    fn path(&self) -> String {
        let message = self.message();
        let segments = message.options.uri_path();
        segments
            .map(|one| format!("/{}", String::from_utf8_lossy(one)))
            .collect()
    }

    fn queries(&self) -> Vec<String> {
        let message = self.message();
        let queries = message.options.uri_query();
        queries
            .map(|one| String::from_utf8_lossy(one).into_owned())
            .collect()
    }
}

struct Table {
    machine: Machine,
    now: Duration,
}

impl Table {
    fn new(clients: u32, rate: f64, scenario: &str) -> Self {
        let scenario = Scenario::parse(scenario).expect("a scenario");
        let mut plan = Plan::new(scenario, clients, rate);
        plan.bindings = 4;
        plan.wants_facts = true;
        Table {
            machine: Machine::new(plan, [7; 32]),
            now: Duration::ZERO,
        }
    }

    fn said(&mut self) -> Vec<Said> {
        let said = self
            .machine
            .outgoing()
            .map(|one| Said {
                client: one.client,
                binding: one.binding,
                bytes: one.bytes.to_vec(),
            })
            .collect();
        self.machine.sent();
        said
    }

    /// Lets time pass until `now`, as a driver does, and collects what is said on the way.
    fn until(&mut self, now: Duration) -> Vec<Said> {
        let mut said = Vec::new();
        loop {
            let next = self
                .machine
                .next_timeout()
                .unwrap_or(Duration::MAX)
                .min(now);
            self.now = self.now.max(next);
            while self.machine.handle_timeout(self.now) {}
            said.extend(self.said());
            if self.now >= now {
                return said;
            }
            self.now += ms(1);
        }
    }

    fn tell(&mut self, to: &Said, message: &Message<'_>) -> Vec<Said> {
        let mut bytes = Vec::new();
        datagram::encode(message, &mut bytes);
        self.machine
            .handle_receive(self.now, to.client, to.binding, &bytes);
        self.said()
    }

    fn respond(&mut self, request: &Said, code: Code, options: &OptionList) -> Vec<Said> {
        let asked = request.message();
        self.tell(
            request,
            &Message {
                message_type: MessageType::Acknowledgement,
                code,
                message_id: asked.message_id,
                token: asked.token,
                options: options.view(),
                payload: &[],
            },
        )
    }

    fn create(&mut self, register: &Said) -> Vec<Said> {
        let mut options = OptionList::new();
        options.push(OptionNumber::LOCATION_PATH, b"rd");
        options.push(
            OptionNumber::LOCATION_PATH,
            format!("L{}", register.client).as_bytes(),
        );
        self.respond(register, Code::CREATED, &options)
    }

    fn change(&mut self, update: &Said) -> Vec<Said> {
        self.respond(update, Code::CHANGED, &OptionList::new())
    }

    fn ask(&mut self, client: &Said, code: Code, path: &str, more: Ask<'_>) -> Vec<Said> {
        let mut options = OptionList::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            options.push(OptionNumber::URI_PATH, segment.as_bytes());
        }
        for &(number, value) in more.options {
            options.push_uint(number, value);
        }
        if let Some(query) = more.query {
            options.push(OptionNumber::URI_QUERY, query.as_bytes());
        }
        self.tell(
            client,
            &Message {
                message_type: MessageType::Confirmable,
                code,
                message_id: MessageId(more.id),
                token: Token::new(&[0xaa, more.id as u8]).expect("short"),
                options: options.view(),
                payload: more.payload,
            },
        )
    }

    /// One Client that has registered.
    fn registered(scenario: &str) -> (Self, Said) {
        let mut table = Table::new(1, 1.0, scenario);
        let register = table.until(ms(1)).remove(0);
        table.create(&register);
        (table, register)
    }

    fn facts(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        self.machine.take_facts(&mut facts);
        facts
    }

    fn errors(&self, name: &str) -> u64 {
        self.machine
            .statistics
            .errors
            .get(name)
            .copied()
            .unwrap_or(0)
    }
}

#[derive(Clone, Copy, Default)]
struct Ask<'a> {
    id: u16,
    options: &'a [(OptionNumber, u32)],
    query: Option<&'a str>,
    payload: &'a [u8],
}

const OBSERVE: Ask<'static> = Ask {
    id: 1,
    options: &[(OptionNumber::OBSERVE, 0)],
    query: None,
    payload: &[],
};

#[test]
fn ts_5_3_1_registers_with_name_lifetime_version_binding_and_links() {
    let mut table = Table::new(1, 1.0, "lifetime_s = 60\nsensors = 2");
    let said = table.until(ms(1));
    assert_eq!(said.len(), 1);
    let message = said[0].message();
    assert_eq!(
        (message.message_type, message.code),
        (MessageType::Confirmable, Code::POST)
    );
    assert_eq!(said[0].path(), "/rd");
    assert_eq!(
        said[0].queries(),
        ["ep=urn:dunlin:fleet-0000000", "lt=60", "lwm2m=1.0", "b=U"]
    );
    assert_eq!(message.options.content_format(), Some(40));
    assert_eq!(message.payload, b"</1/0>,</3/0>,</3303/0>,</3303/1>");
}

#[test]
fn registers_begin_by_the_schedule_whatever_the_server_does() {
    let mut table = Table::new(5, 10.0, "");
    for client in 0..5 {
        let said = table.until(ms(client * 100 + 1));
        assert_eq!(
            said.iter()
                .map(|one| u64::from(one.client))
                .collect::<Vec<_>>(),
            [client]
        );
    }
}

#[test]
fn latency_counts_from_when_it_was_due() {
    let mut table = Table::new(1, 1.0, "");
    let register = table.until(ms(0)).remove(0);
    table.until(ms(700));
    table.create(&register);
    let report = table.machine.report(table.now, Generator::default());
    let latency = report.latency_ms["register"];
    assert!((699.0..=701.0).contains(&latency.max), "{latency:?}");
    assert_eq!((report.registered, report.counts["register"]), (1, 1));
}

#[test]
fn rfc7252_4_2_retransmits_with_doubling_and_gives_up() {
    let scenario = "[coap]\nack_random_factor = 1.0\n[register]\nattempts = 1";
    let mut table = Table::new(1, 1.0, scenario);
    let first = table.until(ms(1)).remove(0);
    for at in [2_000, 6_000, 14_000, 30_000] {
        assert_eq!(table.until(ms(at - 10)).len(), 0, "before {at}");
        let again = table.until(ms(at + 10));
        assert_eq!(again.len(), 1, "at {at}");
        assert_eq!(again[0].bytes, first.bytes);
    }
    assert_eq!(table.until(ms(200_000)).len(), 0);
    assert_eq!(
        (
            table.errors("register_timeout"),
            table.errors("register_given_up")
        ),
        (1, 1)
    );
    assert!(table.machine.is_settled());
    assert_eq!(table.machine.statistics.retransmissions, 4);
}

#[test]
fn a_register_that_failed_is_tried_again_with_another_message_id() {
    let scenario = "[register]\nattempts = 2\nretry_s = 5";
    let mut table = Table::new(1, 1.0, scenario);
    let first = table.until(ms(1)).remove(0);
    table.respond(&first, Code::INTERNAL_SERVER_ERROR, &OptionList::new());
    assert_eq!(table.until(ms(4_900)).len(), 0);
    let second = table.until(ms(7_600)).remove(0);
    assert_ne!(second.message().message_id, first.message().message_id);
    table.respond(&second, Code::BAD_REQUEST, &OptionList::new());
    assert_eq!(table.until(ms(60_000)).len(), 0, "two attempts are all");
    assert_eq!(
        (table.errors("register_5.00"), table.errors("register_4.00")),
        (1, 1)
    );
    assert_eq!(table.errors("register_given_up"), 1);
}

#[test]
fn a_busy_server_says_how_long_to_stay_away() {
    let mut table = Table::new(1, 1.0, "");
    let first = table.until(ms(1)).remove(0);
    let mut options = OptionList::new();
    options.push_uint(OptionNumber::MAX_AGE, 100);
    table.respond(&first, Code::SERVICE_UNAVAILABLE, &options);
    assert_eq!(table.until(ms(100_000)).len(), 0);
    assert_eq!(table.until(ms(150_010))[0].path(), "/rd");
}

#[test]
fn updates_go_to_the_place_that_was_told_and_keep_their_pace() {
    let (mut table, register) = Table::registered("[update]\nevery_s = 10");
    let mut times = Vec::new();
    for _ in 0..3 {
        let update = loop {
            let until = table.now + ms(1);
            if let Some(update) = table.until(until).pop() {
                break update;
            }
            assert!(table.now < ms(60_000), "an Update comes");
        };
        assert_eq!(
            (update.path(), update.message().code),
            ("/rd/L0".to_owned(), Code::POST)
        );
        assert!(update.queries().is_empty() && update.message().payload.is_empty());
        times.push(table.now);
        table.change(&update);
    }
    assert!(times[0] <= ms(10_001));
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((ms(9_990)..=ms(10_010)).contains(&gap), "{gap:?}");
    }
    assert_eq!(register.client, 0);
}

#[test]
fn a_changing_update_tells_another_lifetime() {
    let scenario = "lifetime_s = 60\n[update]\nevery_s = 1\nchanging = 1.0";
    let (mut table, _) = Table::registered(scenario);
    for expected in ["lt=61", "lt=60"] {
        let until = table.now + ms(1_500);
        let update = table.until(until).remove(0);
        assert_eq!(update.queries(), [expected]);
        table.change(&update);
    }
    let facts = table.facts();
    assert_eq!(
        facts[1],
        Fact::Updated {
            client: 0,
            lifetime_s: 61
        }
    );
    assert_eq!(
        facts[2],
        Fact::Updated {
            client: 0,
            lifetime_s: 60
        }
    );
}

/// The server still has 60: an Update that told it would be acknowledged, and change nothing.
#[test]
fn a_change_that_was_refused_is_told_again_before_there_is_another() {
    let scenario = "lifetime_s = 60\n[update]\nevery_s = 1\nchanging = 1.0";
    let (mut table, _) = Table::registered(scenario);
    let until = table.now + ms(1_500);
    let refused = table.until(until).remove(0);
    assert_eq!(refused.queries(), ["lt=61"]);
    let mut options = OptionList::new();
    options.push_uint(OptionNumber::MAX_AGE, 1);
    table.respond(&refused, Code::SERVICE_UNAVAILABLE, &options);
    let until = table.now + ms(2_500);
    let again = table.until(until).remove(0);
    assert_eq!(again.queries(), ["lt=61"]);
    table.change(&again);
    let until = table.now + ms(1_500);
    assert_eq!(table.until(until).remove(0).queries(), ["lt=60"]);
}

#[test]
fn ts_5_3_2_registers_anew_when_an_update_is_answered_with_4_04() {
    let (mut table, _) = Table::registered("[update]\nevery_s = 1");
    let update = table.until(ms(1_200)).remove(0);
    let said = table.respond(&update, Code::NOT_FOUND, &OptionList::new());
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].path(), "/rd");
    assert_eq!(
        (table.errors("update_4.04"), table.machine.registered()),
        (1, 0)
    );
    table.create(&said[0]);
    assert_eq!(table.machine.registered(), 1);
}

#[test]
fn updates_that_had_no_turn_are_told_as_missed() {
    let (mut table, _) = Table::registered("[update]\nevery_s = 1");
    let update = table.until(ms(1_100)).remove(0);
    table.until(ms(6_500));
    table.change(&update);
    assert!(
        (4..=6).contains(&table.errors("update_missed")),
        "{}",
        table.errors("update_missed")
    );
}

#[test]
fn rfc7252_5_2_2_waits_for_a_separate_response_and_acknowledges_it() {
    let mut table = Table::new(1, 1.0, "");
    let register = table.until(ms(1)).remove(0);
    let asked = register.message();
    let empty = Message {
        message_type: MessageType::Acknowledgement,
        code: Code::EMPTY,
        message_id: asked.message_id,
        token: Token::EMPTY,
        options: dunlin_coap::Options::default(),
        payload: &[],
    };
    table.tell(&register, &empty);
    assert_eq!(
        table.until(ms(20_000)).len(),
        0,
        "no retransmission after the acknowledgement"
    );
    let mut options = OptionList::new();
    options.push(OptionNumber::LOCATION_PATH, b"x");
    let response = Message {
        message_type: MessageType::Confirmable,
        code: Code::CREATED,
        message_id: MessageId(99),
        token: asked.token,
        options: options.view(),
        payload: &[],
    };
    let said = table.tell(&register, &response);
    assert_eq!(said[0].bytes, [0x60, 0, 0, 99]);
    assert_eq!(
        (table.machine.registered(), table.machine.location(0)),
        (1, "/x".to_owned())
    );
    let again = table.tell(&register, &response);
    assert_eq!(
        again[0].bytes,
        [0x60, 0, 0, 99],
        "a repeated response is acknowledged again"
    );
}

#[test]
fn observations_notify_with_rising_numbers_and_are_told_when_acknowledged() {
    let (mut table, register) = Table::registered("[notify]\nevery_s = 5");
    table.facts();
    let accept = Ask {
        options: &[(OptionNumber::OBSERVE, 0), (OptionNumber::ACCEPT, 0)],
        ..OBSERVE
    };
    let answer = table
        .ask(&register, Code::GET, "/3303/0/5700", accept)
        .remove(0);
    let first = answer.message();
    assert_eq!(
        (first.message_type, first.code),
        (MessageType::Acknowledgement, Code::CONTENT)
    );
    assert_eq!(
        (first.options.observe(), first.payload),
        (Some(0), &b"0"[..])
    );
    for number in 1..=3u32 {
        let until = ms(u64::from(number) * 5_000 + 10);
        let notification = table.until(until).remove(0);
        let message = notification.message();
        assert_eq!(message.message_type, MessageType::Confirmable);
        assert_eq!(message.token, first.token);
        assert_eq!(message.options.observe(), Some(number));
        assert_eq!(
            message.payload,
            format!("{}", f64::from(number) / 4.0).as_bytes()
        );
        let empty = [
            0x60,
            0,
            message.message_id.0.to_be_bytes()[0],
            message.message_id.0 as u8,
        ];
        table
            .machine
            .handle_receive(table.now, 0, notification.binding, &empty);
    }
    let path = "/3303/0/5700".parse().expect("a path");
    let told: Vec<_> = (1..=3)
        .map(|reading| Fact::Notified {
            client: 0,
            path,
            reading,
            value: reading as f32 / 4.0,
        })
        .collect();
    assert_eq!(table.facts(), told);
    assert_eq!(
        table.machine.report(table.now, Generator::default()).counts["notify"],
        3
    );
}

#[test]
fn rfc7641_4_5_an_observation_ends_when_its_notification_is_not_acknowledged() {
    let (mut table, register) = Table::registered("[notify]\nevery_s = 5");
    table.ask(&register, Code::GET, "/3303/0/5700", OBSERVE);
    let said = table.until(ms(500_000));
    assert_eq!(said.len(), 5, "one notification, four times again");
    assert_eq!(table.errors("notify_timeout"), 1);
}

#[test]
fn rfc7641_3_6_a_reset_or_a_deregistering_get_ends_an_observation() {
    for confirmable in ["1.0", "0.0"] {
        let scenario = format!("[notify]\nevery_s = 5\nconfirmable = {confirmable}");
        let (mut table, register) = Table::registered(&scenario);
        table.ask(&register, Code::GET, "/3303/0/5700", OBSERVE);
        let notification = table.until(ms(5_010)).remove(0);
        let [a, b] = notification.message().message_id.0.to_be_bytes();
        table
            .machine
            .handle_receive(table.now, 0, notification.binding, &[0x70, 0, a, b]);
        assert_eq!(table.until(ms(60_000)).len(), 0, "after a Reset");
    }
    let (mut table, register) = Table::registered("[notify]\nevery_s = 5");
    table.ask(&register, Code::GET, "/3303/0/5700", OBSERVE);
    let pending = table.until(ms(5_010)).remove(0);
    let cancel = Ask {
        options: &[(OptionNumber::OBSERVE, 1)],
        ..OBSERVE
    };
    let answer = table
        .ask(&register, Code::GET, "/3303/0/5700", cancel)
        .remove(0);
    assert_eq!(answer.message().options.observe(), None);
    assert_eq!(
        table.until(ms(60_000)).len(),
        0,
        "the notification under way ends as well"
    );
    assert_eq!(pending.message().message_type, MessageType::Confirmable);
}

#[test]
fn more_observations_than_allowed_are_refused() {
    let (mut table, register) = Table::registered("sensors = 20");
    for sensor in 0..20u16 {
        let ask = Ask {
            id: sensor,
            ..OBSERVE
        };
        let path = format!("/3303/{sensor}/5700");
        let answer = table.ask(&register, Code::GET, &path, ask).remove(0);
        let expected = if sensor < 16 {
            Code::CONTENT
        } else {
            Code::INTERNAL_SERVER_ERROR
        };
        assert_eq!(answer.message().code, expected, "{sensor}");
    }
}

#[test]
fn requests_are_answered_by_what_they_ask() {
    let (mut table, register) = Table::registered("");
    let format = |number| [(OptionNumber::CONTENT_FORMAT, number)];
    let (text, link) = (format(0), [(OptionNumber::ACCEPT, 40)]);
    let unknown = [(OptionNumber(9999), 1)];
    for (code, path, ask, expected) in [
        (Code::GET, "/3/0", Ask::default(), Code::CONTENT),
        (
            Code::GET,
            "/3/0",
            Ask {
                options: &link,
                ..Ask::default()
            },
            Code::CONTENT,
        ),
        (Code::GET, "/9/0", Ask::default(), Code::NOT_FOUND),
        (Code::GET, "/x", Ask::default(), Code::NOT_FOUND),
        (
            Code::GET,
            "/3/0",
            Ask {
                options: &unknown,
                ..Ask::default()
            },
            Code::BAD_OPTION,
        ),
        (
            Code::PUT,
            "/1/0/1",
            Ask {
                options: &text,
                payload: b"77",
                ..Ask::default()
            },
            Code::CHANGED,
        ),
        (
            Code::PUT,
            "/3/0",
            Ask {
                query: Some("pmin=1"),
                ..Ask::default()
            },
            Code::CHANGED,
        ),
        (
            Code::PUT,
            "/4/0",
            Ask {
                query: Some("pmin=1"),
                ..Ask::default()
            },
            Code::NOT_FOUND,
        ),
        (Code::POST, "/3303/0/5605", Ask::default(), Code::CHANGED),
        (
            Code::POST,
            "/3/0/0",
            Ask::default(),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            Code::DELETE,
            "/3303/0",
            Ask::default(),
            Code::METHOD_NOT_ALLOWED,
        ),
    ] {
        let said = table.ask(&register, code, path, ask);
        assert_eq!(said[0].message().code, expected, "{code} {path}");
    }
}

#[test]
fn a_written_lifetime_and_the_update_trigger_bring_an_update() {
    let (mut table, register) = Table::registered("");
    let text = [(OptionNumber::CONTENT_FORMAT, 0)];
    let write = Ask {
        options: &text,
        payload: b"77",
        ..Ask::default()
    };
    assert_eq!(table.ask(&register, Code::PUT, "/1/0/1", write).len(), 1);
    let until = table.now + ms(5);
    let update = table.until(until).remove(0);
    assert_eq!(update.queries(), ["lt=77"]);
    table.change(&update);
    assert_eq!(
        table
            .ask(&register, Code::POST, "/1/0/8", Ask::default())
            .len(),
        1
    );
    let until = table.now + ms(5);
    let update = table.until(until).remove(0);
    assert!(update.queries().is_empty());
    table.change(&update);
    assert_eq!(
        table.facts()[1..],
        [Fact::Updated {
            client: 0,
            lifetime_s: 77
        }]
    );
}

#[test]
fn a_lifetime_written_while_an_update_is_under_way_is_told_by_the_next() {
    let (mut table, register) = Table::registered("[update]\nevery_s = 1");
    let update = table.until(ms(1_100)).remove(0);
    let text = [(OptionNumber::CONTENT_FORMAT, 0)];
    let write = Ask {
        options: &text,
        payload: b"77",
        ..Ask::default()
    };
    table.ask(&register, Code::PUT, "/1/0/1", write);
    let mut said = table.change(&update);
    let until = table.now + ms(5);
    said.extend(table.until(until));
    assert_eq!(said.remove(0).queries(), ["lt=77"]);
}

#[test]
fn long_answers_come_in_blocks() {
    let (mut table, register) = Table::registered("sensors = 70");
    let mut whole = Vec::new();
    for number in 0.. {
        let size = BlockSize::fitting(512);
        let block = BlockValue {
            number,
            more: false,
            size,
        };
        let options = [
            (OptionNumber::ACCEPT, 40),
            (OptionNumber::BLOCK2, block.to_uint()),
        ];
        let ask = Ask {
            id: number as u16,
            options: &options,
            ..Ask::default()
        };
        let answer = table.ask(&register, Code::GET, "/3303", ask).remove(0);
        let message = answer.message();
        whole.extend_from_slice(message.payload);
        let block = message.options.block2().expect("a block");
        assert_eq!((block.number, block.size), (number, size));
        if !block.more {
            break;
        }
    }
    let text = String::from_utf8(whole).expect("text");
    assert!(text.ends_with("</3303/69/5701>"), "{text}");
    assert_eq!(text.split(',').count(), 1 + 70 * 4);
}

#[test]
fn ts_8_3_a_sleeping_client_does_not_answer_until_it_speaks_again() {
    let (mut table, register) = Table::registered("[queue]\nawake_s = 5\n[update]\nevery_s = 60");
    assert!(register.queries().contains(&"b=UQ".to_owned()));
    table.now = ms(4_000);
    assert_eq!(
        table
            .ask(&register, Code::GET, "/3/0/0", Ask::default())
            .len(),
        1
    );
    table.now = ms(9_500);
    assert_eq!(
        table
            .ask(&register, Code::GET, "/3/0/0", Ask::default())
            .len(),
        0
    );
    assert_eq!(table.machine.statistics.requests_slept_through, 1);
    let update = table.until(ms(61_000)).remove(0);
    table.change(&update);
    assert_eq!(
        table
            .ask(&register, Code::GET, "/3/0/0", Ask::default())
            .len(),
        1
    );
}

#[test]
fn a_reboot_forgets_and_registers() {
    let (mut table, register) = Table::registered("[notify]\nevery_s = 5");
    table.ask(&register, Code::GET, "/3303/0/5700", OBSERVE);
    let said = table.ask(&register, Code::POST, "/3/0/4", Ask::default());
    assert_eq!(said[0].message().code, Code::CHANGED);
    assert_eq!(said[1].path(), "/rd");
    table.create(&said[1]);
    assert_eq!(
        table.until(ms(60_000)).len(),
        0,
        "its observations are gone"
    );
    assert_eq!(
        (table.machine.registered(), table.machine.statistics.reboots),
        (1, 1)
    );
}

#[test]
fn a_storm_reboots_each_of_its_clients_once() {
    let mut table = Table::new(100, 1e6, "[[storm]]\nat_s = 10\nwithin_s = 2\nshare = 0.5");
    for register in table.until(ms(5)) {
        table.create(&register);
    }
    assert_eq!(table.until(ms(9_999)).len(), 0);
    let mut said = Vec::new();
    while table.now < ms(12_100) {
        let until = table.now + ms(10);
        for register in table.until(until) {
            table.create(&register);
            said.push(register.client);
        }
    }
    assert_eq!(said.len(), 50);
    said.dedup();
    assert_eq!(said.len(), 50);
}

#[test]
fn reboots_and_rebinds_come_as_often_as_the_scenario_says() {
    let mut table = Table::new(100, 1e6, "[reboot]\nevery_s = 100\n[rebind]\nevery_s = 50");
    for register in table.until(ms(5)) {
        table.create(&register);
    }
    while table.now < Duration::from_secs(1000) {
        let until = table.now + ms(100);
        for register in table.until(until) {
            table.create(&register);
        }
    }
    let statistics = &table.machine.statistics;
    // A thousand and two thousand are meant; three standard deviations are a hundred or so.
    assert!(
        (850..1150).contains(&statistics.reboots),
        "{}",
        statistics.reboots
    );
    assert!(
        (1800..2200).contains(&statistics.rebinds),
        "{}",
        statistics.rebinds
    );
}

#[test]
fn what_comes_to_an_address_of_before_is_not_heard() {
    let (mut table, register) = Table::registered("");
    let elsewhere = Said {
        binding: register.binding + 1,
        ..register.clone()
    };
    assert_eq!(
        table
            .ask(&elsewhere, Code::GET, "/3/0/0", Ask::default())
            .len(),
        0
    );
    assert_eq!(
        table
            .ask(&register, Code::GET, "/3/0/0", Ask::default())
            .len(),
        1
    );
}

#[test]
fn loss_is_made_up_for_by_retransmission() {
    let mut table = Table::new(
        200,
        1e6,
        "[network]\nloss = 0.3\n[coap]\nack_timeout_s = 0.1",
    );
    let mut due = table.until(ms(5));
    while !table.machine.is_settled() && table.now < ms(60_000) {
        for register in due {
            table.create(&register);
        }
        let until = table.now + ms(10);
        due = table.until(until);
    }
    assert!(
        table.machine.registered() > 190,
        "{}",
        table.machine.registered()
    );
    assert!(table.machine.statistics.lost > 50 && table.machine.statistics.retransmissions > 20);
}

#[test]
fn closing_begins_nothing_new_and_deregisters_when_asked_to() {
    let scenario = "deregister = true\n[update]\nevery_s = 1";
    let (mut table, _) = Table::registered(scenario);
    let update = table.until(ms(1_100)).remove(0);
    table.machine.close(table.now);
    assert_eq!(
        table.until(ms(1_200)).len(),
        0,
        "the Update under way is awaited"
    );
    assert!(!table.machine.is_closed());
    let deregister = table.change(&update).remove(0);
    assert_eq!(
        (deregister.message().code, deregister.path()),
        (Code::DELETE, "/rd/L0".to_owned())
    );
    table.respond(&deregister, Code::DELETED, &OptionList::new());
    assert!(table.machine.is_closed());
    assert_eq!(
        table.facts().last(),
        Some(&Fact::Deregistered { client: 0 })
    );
    assert_eq!(
        table
            .machine
            .report(table.now, Generator::default())
            .registered,
        1
    );
}

#[test]
fn who_registers_while_the_others_leave_leaves_as_well() {
    let mut table = Table::new(1, 1.0, "deregister = true");
    let register = table.until(ms(1)).remove(0);
    table.machine.close(table.now);
    assert_eq!(table.until(ms(100)).len(), 0);
    let deregister = table.create(&register).remove(0);
    assert_eq!(deregister.message().code, Code::DELETE);
    table.respond(&deregister, Code::DELETED, &OptionList::new());
    assert!(table.machine.is_closed());
    assert_eq!(table.machine.registered(), 0);
}

#[test]
fn closing_without_deregistering_leaves_the_registrations() {
    let (mut table, _) = Table::registered("[update]\nevery_s = 1");
    table.machine.close(table.now);
    assert!(table.machine.is_closed());
    assert_eq!(table.until(ms(30_000)).len(), 0);
}

#[test]
fn hostile_bytes_are_counted_and_confirmable_ones_reset() {
    let (mut table, register) = Table::registered("");
    for bytes in [
        &b""[..],
        &[0x40],
        &[0xff; 40],
        &[0x4f, 1, 2, 3],
        &[0x40, 0x01, 0, 7, 0xff],
    ] {
        table
            .machine
            .handle_receive(table.now, 0, register.binding, bytes);
    }
    let said = table.said();
    assert_eq!(
        said.last().map(|one| one.bytes.clone()),
        Some(vec![0x70, 0, 0, 7])
    );
    assert_eq!(table.errors("malformed_datagram"), 5);
    table.machine.handle_receive(table.now, 99, 0, b"x");
    assert_eq!(table.errors("datagram_for_nobody"), 1);
    let ping = table.tell(
        &register,
        &super::message::empty(MessageType::Confirmable, MessageId(5)),
    );
    assert_eq!(ping[0].bytes, [0x70, 0, 0, 5]);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    #[test]
    fn whatever_a_server_sends_the_fleet_stays_whole(
        datagrams in proptest::collection::vec(
            (0u8..4, 0u8..=255, 0u16..8, proptest::collection::vec(proptest::num::u8::ANY, 0..40)),
            1..60,
        )
    ) {
        let (mut table, register) =
            Table::registered("[notify]\nevery_s = 0.01\n[update]\nevery_s = 0.02");
        let mut said = vec![register];
        for (kind, code, id, tail) in datagrams {
            // Near enough to CoAP to get far: a header with an id that is often the pending one.
            let last = said.last().map_or(0, |one| one.message().message_id.0);
            let [a, b] = last.wrapping_sub(id).to_be_bytes();
            let token = tail.len().min(4) as u8;
            let bytes = [&[0x40 | kind << 4 | token, code, a, b][..], &tail].concat();
            table.machine.handle_receive(table.now, 0, 0, &bytes);
            let until = table.now + ms(5);
            said.extend(table.until(until));
        }
        // Every Client that is registered or registering goes on speaking, or waits for an answer.
        table.machine.close(table.now);
        table.until(ms(400_000));
        proptest::prop_assert!(table.machine.is_closed());
    }
}
