//! The commands against a real HTTP server over the fake backend: what they print, what they ask for, how they exit.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use dunlin_api::Settings;
use dunlin_api::auth::{self, Role};
use dunlin_api::backend::{self, CancelBy, Reading, RequestState};
use dunlin_api::event::News;
use dunlin_api::fake::{self, Fake, NOW};
use dunlin_api::view::Presence;
use dunlin_lwm2m::attribute::{AttributesChange, Change};
use dunlin_lwm2m::operation::WriteMode;
use dunlin_lwm2m::{
    ContentFormat, Instance, Node, ObjectId, ObjectInstanceId, ObjectVersion, Path, Resource,
    ResourceInstanceId, Value,
};

struct Server {
    fake: Arc<Fake>,
    url: String,
}

impl Server {
    fn start() -> Server {
        let fake = Arc::new(Fake::new());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = dunlin_api::router(fake.clone(), Settings::default());
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                dunlin_api::serve(listener, router, std::future::pending()).await;
            });
        });
        Server { fake, url }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(&self.url, arguments, "")
    }

    /// The one command that was asked of a Client.
    fn asked(&self) -> backend::Command {
        let mut commands = self.fake.take_commands();
        assert_eq!(commands.len(), 1, "{commands:?}");
        commands.remove(0).1
    }
}

struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn run(api: &str, arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .args(arguments)
        .env("DUNLIN_API", api)
        .env_remove("DUNLIN_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    Ran {
        status: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

fn path(ids: &[u16]) -> Path {
    Path::from_ids(ids).unwrap()
}

#[test]
fn list_shows_clients_in_a_table_or_as_json() {
    let server = Server::start();
    let ran = server.run(&["list"]);
    assert_eq!(
        ran.out,
        "ENDPOINT  PRESENCE  LAST CONTACT          LIFETIME  BINDING  SECURITY  ADDRESS          OBJECTS\n\
         lamp      awake     2026-11-24 14:59:55Z  86400 s   U        nosec     127.0.0.1:41022  1 3\n\
         meter     asleep    2026-11-24 14:59:55Z  86400 s   UQ       nosec     127.0.0.1:41022  1 3\n"
    );
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let ran = server.run(&["list", "--query", "met", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json[0]["endpoint"], "meter");
    assert_eq!(json.as_array().unwrap().len(), 1);
    let ran = server.run(&["list", "--limit", "1"]);
    assert_eq!(ran.out.lines().count(), 2);
    assert_eq!(ran.err, "These are the first 1 of 2; --limit shows more.\n");
    assert_eq!(server.run(&["list", "--expired"]).out.lines().count(), 1);
}

#[test]
fn list_follows_pages() {
    let server = Server::start();
    for number in 0..1200 {
        let name = format!("node{number:04}");
        let client = fake::client(&name, "U", Presence::Awake);
        server.fake.state().clients.insert(name, client);
    }
    let ran = server.run(&["list", "--query", "node", "--limit", "1100"]);
    assert_eq!(ran.out.lines().count(), 1101);
    assert!(ran.out.contains("node1099") && !ran.out.contains("node1100"));
}

#[test]
fn names_of_devices_do_not_steer_the_terminal() {
    let server = Server::start();
    let name = "x\u{1b}[2J".to_string();
    server
        .fake
        .state()
        .clients
        .insert(name.clone(), fake::client(&name, "U", Presence::Awake));
    let ran = server.run(&["list"]);
    assert!(!ran.out.contains('\u{1b}'));
    assert!(ran.out.contains("x\u{fffd}[2J"));
}

#[test]
fn read_shows_names_and_units() {
    let server = Server::start();
    let ran = server.run(&["read", "lamp", "/3/0"]);
    assert_eq!(
        ran.out,
        "PATH      NAME                     VALUE                              UNIT\n\
         /3/0/0    Manufacturer             ACME\n\
         /3/0/6/0  Available Power Sources  1\n\
         /3/0/6/1  Available Power Sources  5\n\
         /3/0/9    Battery Level            100                                %\n\
         /3/0/13   Current Time             2013-05-02 10:40:15Z (1367491215)\n"
    );
    assert_eq!(ran.status, 0);
    let json = server
        .run(&["read", "lamp", "3/0/9", "--json", "--format", "tlv"])
        .out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["node"]["value"], 100);
    server.fake.take_commands();
    let ran = server.run(&["read", "lamp", "/3/0/9", "--cached"]);
    assert!(
        ran.out.ends_with("These values are 2 s old.\n"),
        "{}",
        ran.out
    );
    assert!(server.fake.take_commands().is_empty());
}

#[test]
fn a_sleeping_client_leaves_a_request() {
    let server = Server::start();
    let ran = server.run(&["read", "meter", "/3/0", "--timeout", "60"]);
    assert_eq!(ran.status, 0);
    assert_eq!(
        ran.out,
        "Request r1 for meter is queued and waits until 2026-11-24T15:01:00.000Z. 'dunlin requests show r1' tells how it goes.\n"
    );
    let ran = server.run(&["requests", "list", "meter"]);
    assert_eq!(
        ran.out,
        "ID  ENDPOINT  OPERATION  PATH  STATE   CREATED               EXPIRES               OUTCOME\n\
         r1  meter     Read       /3/0  queued  2026-11-24 15:00:00Z  2026-11-24 15:01:00Z\n"
    );
    assert_eq!(server.run(&["requests", "list"]).out, ran.out);
    assert!(
        server
            .run(&["requests", "show", "r1"])
            .out
            .contains("queued")
    );
    assert!(
        server
            .run(&["requests", "cancel", "r1"])
            .out
            .contains("cancelled")
    );
    let ran = server.run(&["requests", "cancel", "r1"]);
    assert_eq!(ran.status, 1);
    assert!(ran.err.ends_with("[request_ended]\n"), "{}", ran.err);
}

#[test]
fn a_request_is_waited_for() {
    let server = Server::start();
    server.run(&["read", "meter", "/3/0/9"]);
    let waiting = {
        let url = server.url.clone();
        std::thread::spawn(move || run(&url, &["requests", "show", "r1", "--wait"], ""))
    };
    // It looks at the request once it listens; then it waits for the end.
    while server.fake.state().requests_shown == 0 {
        std::thread::yield_now();
    }
    let ended = {
        let mut state = server.fake.state();
        let request = state.requests.get_mut("r1").unwrap();
        request.state = RequestState::Completed;
        request.ended_at = Some(NOW);
        request.clone()
    };
    let mut other = ended.clone();
    other.id = backend::RequestId("r0".into());
    server.fake.commit("meter", News::Completed(other));
    server.fake.commit("meter", News::Completed(ended));
    let ran = waiting.join().unwrap();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.contains("completed"), "{}", ran.out);
}

#[test]
fn write_types_values_by_the_definition() {
    let server = Server::start();
    let command = |arguments: &[&str]| {
        let ran = server.run(arguments);
        assert_eq!(ran.status, 0, "{arguments:?}: {}", ran.err);
        server.asked()
    };
    let write = |path, mode, format, node| backend::Command::Write {
        path,
        mode,
        format,
        node,
    };
    assert_eq!(
        command(&["write", "lamp", "/3/0/14", "60"]),
        write(
            path(&[3, 0, 14]),
            WriteMode::Replace,
            None,
            Node::Resource(Resource::single(14, Value::String("60".into())))
        )
    );
    assert_eq!(
        command(&["write", "lamp", "/1/0/1", "60", "--format", "text"]),
        write(
            path(&[1, 0, 1]),
            WriteMode::Replace,
            Some(ContentFormat::TEXT),
            Node::Resource(Resource::single(1, Value::Integer(60)))
        )
    );
    assert_eq!(
        command(&["write", "lamp", "/2/0/2", "1=15", "101=1"]),
        write(
            path(&[2, 0, 2]),
            WriteMode::Replace,
            None,
            Node::Resource(Resource::multiple(
                2,
                [(1, 15), (101, 1)]
                    .map(|(id, value)| (ResourceInstanceId(id), Value::Integer(value)))
            ))
        )
    );
    assert_eq!(
        command(&[
            "write",
            "lamp",
            "/3/0",
            "utc offset=+02:00",
            "13=-7",
            "--partial"
        ]),
        write(
            path(&[3, 0]),
            WriteMode::Partial,
            None,
            Node::Instance(
                Instance::new(0)
                    .with(Resource::single(13, Value::Time(-7)))
                    .with(Resource::single(14, Value::String("+02:00".into())))
            )
        )
    );
    assert_eq!(
        command(&["create", "lamp", "/1", "1=300", "--instance", "4"]),
        backend::Command::Create {
            object: ObjectId(1),
            instance: Some(ObjectInstanceId(4)),
            format: None,
            resources: vec![Resource::single(1, Value::Integer(300))],
        }
    );
}

#[test]
fn the_other_operations_reach_the_client() {
    let server = Server::start();
    assert_eq!(server.run(&["create", "lamp", "/1", "1=300"]).out, "/1/7\n");
    server.asked();
    assert_eq!(server.run(&["delete", "lamp", "/1/7"]).status, 0);
    assert_eq!(
        server.asked(),
        backend::Command::Delete {
            path: path(&[1, 7])
        }
    );
    assert_eq!(
        server.run(&["execute", "lamp", "/3/0/4", "0='x',1"]).status,
        0
    );
    let arguments = "0='x',1".parse().unwrap();
    assert_eq!(
        server.asked(),
        backend::Command::Execute {
            path: path(&[3, 0, 4]),
            arguments
        }
    );
    assert_eq!(
        server
            .run(&["attributes", "lamp", "/3/0/9", "pmin=10", "gt="])
            .status,
        0
    );
    let attributes = AttributesChange {
        pmin_s: Change::Set(10),
        gt: Change::Unset,
        ..AttributesChange::default()
    };
    assert_eq!(
        server.asked(),
        backend::Command::WriteAttributes {
            path: path(&[3, 0, 9]),
            attributes
        }
    );
    assert_eq!(
        server.run(&["discover", "lamp", "/3/0"]).out,
        "PATH    NAME          INSTANCES  ATTRIBUTES\n/3/0                             pmin=10\n/3/0/1  Model Number  2\n"
    );
    server.asked();
    assert_eq!(
        server
            .run(&["observe", "lamp", "/3/0/9", "--cancel", "--reset"])
            .status,
        0
    );
    assert_eq!(
        server.asked(),
        backend::Command::Cancel {
            path: path(&[3, 0, 9]),
            by: CancelBy::Reset
        }
    );
}

fn battery(percent: i64) -> News {
    News::Notified(Reading {
        path: path(&[3, 0, 9]),
        at: NOW,
        version: ObjectVersion::V1_0,
        node: Node::Resource(Resource::single(9, Value::Integer(percent))),
    })
}

#[test]
fn observe_prints_the_value_and_then_what_is_notified() {
    let server = Server::start();
    let follower = {
        let url = server.url.clone();
        std::thread::spawn(move || run(&url, &["observe", "lamp", "/3/0/9", "--count", "3"], ""))
    };
    // It listens before it observes, so whatever comes after the command reaches it.
    while server.fake.state().commands.is_empty() {
        std::thread::yield_now();
    }
    server.fake.commit("meter", battery(1));
    server.fake.commit("lamp", battery(99));
    server.fake.commit(
        "lamp",
        News::Expired {
            registration_id: "R".into(),
        },
    );
    server.fake.commit("lamp", battery(98));
    let ran = follower.join().unwrap();
    assert_eq!(
        ran.out,
        "2026-11-24 15:00:00Z  /3/0/9 Battery Level: 100 %\n\
         2026-11-24 15:00:00Z  /3/0/9 Battery Level: 99 %\n\
         2026-11-24 15:00:00Z  /3/0/9 Battery Level: 98 %\n"
    );
    assert_eq!(ran.status, 0);
}

#[test]
fn events_are_followed_from_a_position() {
    let server = Server::start();
    server.fake.commit(
        "lamp",
        News::Expired {
            registration_id: "R".into(),
        },
    );
    server.fake.commit("lamp", battery(7));
    let ran = server.run(&["events", "--after", "start", "--count", "2"]);
    assert_eq!(
        ran.out,
        "2026-11-24 15:00:00Z  expired       lamp\n\
         2026-11-24 15:00:00Z  notified      lamp  /3/0/9 Battery Level: 7 %\n"
    );
    let arguments = [
        "events",
        "--after",
        "start",
        "--types",
        "notified",
        "--endpoint",
        "lamp",
        "--count",
        "1",
        "--json",
    ];
    let json: serde_json::Value = serde_json::from_str(&server.run(&arguments).out).unwrap();
    assert_eq!(
        (json["id"].as_str(), json["type"].as_str()),
        (Some("2-0"), Some("notified"))
    );
    assert_eq!(json["data"]["node"]["value"], 7);
    let ran = server.run(&["events", "--types", "gone"]);
    assert_eq!(ran.status, 1);
    assert!(
        ran.err.contains("\"gone\" is no type of event"),
        "{}",
        ran.err
    );
}

#[test]
fn knocks_say_what_would_let_them_in() {
    let server = Server::start();
    let ran = server.run(&["knocks"]);
    assert_eq!((ran.status, ran.out.as_str()), (0, ""));
    assert_eq!(ran.err, "Nobody was refused since the Server started.\n");
    let news = News::Refused {
        address: "192.0.2.7:1".into(),
        reason: "It has no security.".into(),
        remedy: Some("Start with --nosec any.".into()),
        offered: None,
    };
    server.fake.tell("pump", news);
    assert_eq!(
        server.run(&["knocks"]).out,
        "LAST                  TIMES  FROM         ENDPOINT  WHY\n\
         2026-11-24 15:00:00Z  1      192.0.2.7:1  pump      It has no security. Start with --nosec any.\n"
    );
}

#[test]
fn a_reader_that_goes_is_no_failure() {
    let server = Server::start();
    for number in 0..500 {
        server.fake.commit("lamp", battery(number));
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .args(["events", "--after", "start"])
        .env("DUNLIN_API", &server.url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // More events than the pipe and the stream hold, so that it writes into the closed pipe.
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn object_definitions_are_listed_shown_and_added() {
    let server = Server::start();
    let list = server.run(&["object", "list"]).out;
    let words = |line: &str| {
        line.split_whitespace()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert!(
        list.lines()
            .any(|line| words(line) == ["3", "1.0", "Device", "single", "mandatory"]),
        "{list}"
    );
    let ran = server.run(&["object", "show", "3", "--version", "1.0"]);
    assert!(
        ran.out.starts_with("3 Device, version 1.0\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("Battery Level"));
    let file = std::env::temp_dir().join(format!("dunlin-object-{}.xml", std::process::id()));
    let ddf = r#"<LWM2M><Object ObjectType="MODefinition"><Name>Pump</Name><Description1/><ObjectID>33000</ObjectID>
<ObjectURN>urn:oma:lwm2m:x:33000</ObjectURN><MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory>
<Resources><Item ID="1"><Name>Speed</Name><Operations>RW</Operations><MultipleInstances>Single</MultipleInstances>
<Mandatory>Mandatory</Mandatory><Type>Integer</Type><RangeEnumeration/><Units/><Description/></Item></Resources>
</Object></LWM2M>"#;
    std::fs::write(&file, ddf).unwrap();
    let name = file.to_str().unwrap();
    let ran = server.run(&["object", "add", name]);
    assert_eq!(
        (ran.status, ran.out),
        (0, format!("{name}: 33000 1.0 Pump\n")),
        "{}",
        ran.err
    );
    std::fs::write(&file, ddf.replace("Integer", "Number")).unwrap();
    let ran = server.run(&["object", "add", name]);
    assert_eq!(ran.status, 1);
    assert!(
        ran.err.starts_with(&format!("dunlin: {name}:4:")),
        "{}",
        ran.err
    );
    std::fs::remove_file(&file).unwrap();
    assert_eq!(server.run(&["object", "show", "64999"]).status, 1);
}

#[test]
fn tokens_are_made_and_needed() {
    let server = Server::start();
    let ran = server.run(&["token", "add", "me"]);
    let token = ran.out.trim();
    assert!(
        token.starts_with("dunlin_") && !token.contains(' '),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("role admin"), "{}", ran.err);
    let refused = server.run(&["list"]);
    assert_eq!(refused.status, 1);
    assert!(
        refused.err.ends_with("[token_missing]\n"),
        "{}",
        refused.err
    );
    let list = server.run(&["token", "list", "--token", token]);
    assert_eq!(
        list.out,
        "NAME  ROLE   CREATED\nme    admin  2026-11-24 15:00:00Z\n"
    );
    assert_eq!(
        server
            .run(&["token", "remove", "me", "--token", token])
            .status,
        0
    );
    assert_eq!(server.run(&["list"]).status, 0);
    // What the server keeps is a digest.
    let (text, record) = auth::issue("x", Role::Read, NOW, &[1; 32]);
    server.fake.state().tokens.push(record);
    assert_eq!(server.run(&["list", "--token", &text]).status, 0);
}

#[test]
fn credentials_are_added_listed_and_removed() {
    let server = Server::start();
    let key = "000102030405060708090a0b0c0d0e0f";
    let added = server.run(&["credential", "add", "lamp", "--psk", "id-7", "--key", key]);
    assert_eq!(added.status, 0, "{}", added.err);
    assert!(added.out.contains("id-7") && !added.out.contains(key));
    let by_input = run(
        &server.url,
        &["credential", "add", "bulb", "--key", "-", "--for", "server"],
        &format!("{key}\n"),
    );
    assert_eq!(by_input.status, 0, "{}", by_input.err);
    let made = server.run(&["credential", "add", "torch", "--generate"]);
    assert_eq!(made.status, 0, "{}", made.err);
    assert_eq!(made.out.trim().len(), 32);
    assert!(made.err.contains("not shown again"));
    let endpoint = dunlin_lwm2m::EndpointName::new("torch").unwrap();
    let kept = server.fake.state().credentials[&endpoint][0]
        .1
        .clone()
        .unwrap();
    assert_eq!(
        data_encoding::HEXLOWER.encode(kept.expose()),
        made.out.trim()
    );

    let list = server.run(&["credential", "list"]);
    let lines: Vec<&str> = list.out.lines().collect();
    assert!(
        lines[0].starts_with("ENDPOINT  ID        MODE  FOR     KNOWN BY"),
        "{}",
        list.out
    );
    assert!(
        lines[1].starts_with("bulb      00000001  psk   server  bulb"),
        "{}",
        list.out
    );
    assert_eq!(lines.len(), 4);
    let server_only = server.run(&["credential", "list", "--for", "server", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&server_only.out).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);

    assert_eq!(
        server
            .run(&["credential", "remove", "lamp", "00000001"])
            .status,
        0
    );
    assert_eq!(server.run(&["credential", "remove", "bulb"]).status, 0);
    let again = server.run(&["credential", "remove", "bulb"]);
    assert_eq!(again.status, 1);
    assert!(again.err.contains("[credential_unknown]"), "{}", again.err);
    let nothing = server.run(&["credential", "add", "lamp"]);
    assert!(
        nothing.status == 1 && nothing.err.contains("--generate"),
        "{}",
        nothing.err
    );
}

#[test]
fn profiles_are_put_planned_and_removed() {
    let server = Server::start();
    let put = server.run(&[
        "profile",
        "put",
        "fleet",
        "--uri",
        "coaps://a.example",
        "--pattern",
        "lamp-*",
    ]);
    assert_eq!(
        (put.status, put.out.as_str()),
        (0, "fleet is added\n"),
        "{}",
        put.err
    );
    let list = server.run(&["profile", "list"]);
    let row = "fleet  lamp-*  coaps://a.example  psk, made for each";
    assert_eq!(list.out.lines().nth(1), Some(row), "{}", list.out);
    let plan = server.run(&["profile", "plan", "lamp-7"]);
    assert!(
        plan.out.contains("(16 secret bytes)") && plan.out.contains("coaps://a.example"),
        "{}",
        plan.out
    );
    assert!(plan.err.contains("\"fleet\""), "{}", plan.err);
    let shown = server.run(&["profile", "show", "fleet"]);
    let again = run(
        &server.url,
        &["profile", "put", "fleet", "--file", "-"],
        &shown.out,
    );
    assert_eq!(again.out, "fleet is changed\n", "{}", again.err);
    let wrong = server.run(&["profile", "put", "x", "--uri", "http://a"]);
    assert!(
        wrong.status == 1 && wrong.err.contains("servers[0].uri: "),
        "{}",
        wrong.err
    );
    assert_eq!(server.run(&["profile", "remove", "fleet"]).status, 0);
    assert!(
        server
            .run(&["profile", "remove", "fleet"])
            .err
            .contains("[profile_unknown]")
    );
}

#[test]
fn bootstrap_runs_are_begun_and_listed() {
    let server = Server::start();
    let begun = server.run(&["bootstrap", "lamp"]);
    assert_eq!(begun.status, 0, "{}", begun.err);
    assert!(
        server
            .run(&["bootstrap", "nobody"])
            .err
            .contains("[client_unknown]")
    );
    assert_eq!(server.run(&["bootstrap"]).status, 1);
    assert!(
        server
            .run(&["bootstrap", "history"])
            .err
            .contains("no bootstrap runs")
    );
}

#[test]
fn credentials_are_imported_whole() {
    let server = Server::start();
    let good = "endpoint,key\na,000102030405060708090a0b0c0d0e0f\nb,0001020304050607\n";
    let dry = run(
        &server.url,
        &["credential", "import", "-", "--dry-run"],
        good,
    );
    assert_eq!(
        dry.out,
        "2 rows: 2 added, 0 altered, 0 there already (nothing was changed)\n"
    );
    assert!(
        dry.err.contains("row 3") && dry.err.contains("8 bytes"),
        "{}",
        dry.err
    );
    assert!(server.fake.state().credentials.is_empty());
    let done = run(&server.url, &["credential", "import", "-"], good);
    assert_eq!(done.out, "2 rows: 2 added, 0 altered, 0 there already\n");
    let bad = run(
        &server.url,
        &["credential", "import", "-"],
        "endpoint,key,for\nc,zz,x\nd,,\n",
    );
    assert_eq!(bad.status, 1);
    let lines: Vec<&str> = bad.err.lines().collect();
    assert!(lines[0].starts_with("row 2, column for: "), "{}", bad.err);
    assert!(lines[1].starts_with("row 3, column key: "), "{}", bad.err);
    assert!(lines[2].ends_with("[import_invalid]"), "{}", bad.err);
}

#[test]
fn failures_are_one_line_that_says_what_to_do() {
    let server = Server::start();
    for (arguments, says) in [
        (&["read", "nobody", "/3/0"][..], "[client_unknown]"),
        (
            &["read", "lamp", "/3/0/99"],
            "The Client answered 4.04 Not Found. /3/0/99 does not exist. Discover",
        ),
        (&["execute", "lamp", "/3/0"], "write a path such as /3/0/4"),
        (&["write", "lamp", "/3", "1"], "write a path such as /3/0"),
        (&["delete", "lamp", "/3/0/1"], "write a path such as /1/1"),
        (
            &["write", "lamp", "/3/0/13", "now"],
            "\"now\" is no time, which \"Current Time\" holds",
        ),
        (
            &["write", "lamp", "/3/0", "Colour=red"],
            "'dunlin object show 3' lists them",
        ),
        (&["attributes", "lamp", "/3/0/9", "color=1"], "none of pmin"),
        (
            &["attributes", "lamp", "/3/0/9", "lt=5", "gt=5"],
            "[attributes_invalid]",
        ),
        (&["requests", "show", "r9"], "[request_unknown]"),
    ] {
        let ran = server.run(arguments);
        assert_eq!(
            (ran.status, ran.out.as_str()),
            (1, ""),
            "{arguments:?}: {}",
            ran.err
        );
        assert!(
            ran.err.starts_with("dunlin: ") && ran.err.contains(says),
            "{arguments:?}: {}",
            ran.err
        );
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
    let nobody = run("http://127.0.0.1:1", &["list"], "");
    assert_eq!(nobody.status, 1);
    assert!(
        nobody.err.contains("Is 'dunlin serve' running there?"),
        "{}",
        nobody.err
    );
    assert!(
        run("https://127.0.0.1", &["list"], "")
            .err
            .contains("https is not spoken here")
    );
    assert!(
        run("not an address", &["list"], "")
            .err
            .contains("is not an address")
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &["read", "lamp"][..],
        &["read", "lamp", "device"],
        &["list", "--limit", "0"],
        &["list", "--colour"],
        &["nothing"],
        &["observe", "lamp", "/3", "--count", "1", "--cancel"],
        &[],
    ] {
        let ran = run("http://127.0.0.1:1", arguments, "");
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{arguments:?}");
    }
}
