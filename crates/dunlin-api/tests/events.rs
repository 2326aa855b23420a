//! The event stream: from a position on, live, filtered, with a gap, and when the consumer is slow.

mod common;

use std::sync::Arc;

use axum::body::BodyDataStream;
use common::{fake, get, raw, reply, request};
use dunlin_api::Settings;
use dunlin_api::auth::{self, Role};
use dunlin_api::backend::{Completion, CompletionAnswer, Reading, RequestState};
use dunlin_api::event::{News, Position, Registered, Updated};
use dunlin_api::fake::{self, Fake, NOW};
use dunlin_api::view::{ObjectInstancesView, Security};
use dunlin_lwm2m::operation::ResponseCode;
use dunlin_lwm2m::{Node, ObjectVersion, Path, Resource, Value};
use futures_util::StreamExt;
use serde_json::{Value as Json, json};

struct Stream {
    body: BodyDataStream,
    rest: String,
    /// The position that the stream says before anything has happened.
    begins_at: String,
}

impl Stream {
    async fn open(fake: &Arc<Fake>, query: &str, last: Option<&str>) -> Stream {
        let mut request = request("GET", &format!("/api/v1/events{query}"), "");
        if let Some(last) = last {
            request
                .headers_mut()
                .insert("last-event-id", last.parse().unwrap());
        }
        let response = raw(fake, Settings::default(), request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Stream {
            body: response.into_body().into_data_stream(),
            rest: String::new(),
            begins_at: String::new(),
        };
        let hello = stream.block().await;
        assert!(hello.starts_with(": dunlin\nretry: 2000\nid: "), "{hello}");
        stream.begins_at = hello.rsplit(' ').next().unwrap().to_string();
        stream
    }

    /// The next block, whatever it is.
    async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let block = block.to_string();
                self.rest = rest.to_string();
                return block;
            }
            let bytes = self.body.next().await.expect("the stream goes on").unwrap();
            self.rest.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event: type, id, data.
    async fn event(&mut self) -> (String, Option<String>, Json) {
        let block = self.block().await;
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_string())
        };
        let data = serde_json::from_str(&field("data:").unwrap()).unwrap();
        (field("event:").unwrap(), field("id:"), data)
    }
}

fn expired(number: u32) -> News {
    News::Expired {
        registration_id: format!("R{number}"),
    }
}

fn battery(percent: i64) -> Reading {
    Reading {
        path: Path::from_ids(&[3, 0, 9]).unwrap(),
        at: NOW,
        version: ObjectVersion::V1_0,
        node: Node::Resource(Resource::single(9, Value::Integer(percent))),
    }
}

#[tokio::test]
async fn who_comes_back_misses_nothing_and_hears_nothing_twice() {
    let fake = fake();
    for number in 1..=600 {
        fake.commit("lamp", expired(number));
    }
    let mut stream = Stream::open(&fake, "?after=start", None).await;
    let mut last = String::new();
    for number in 1..=600 {
        let (kind, id, data) = stream.event().await;
        assert_eq!(
            (kind.as_str(), &data["registration_id"]),
            ("expired", &json!(format!("R{number}")))
        );
        last = id.unwrap();
    }
    fake.commit("lamp", expired(601));
    fake.commit("lamp", expired(602));
    assert_eq!(stream.event().await.2["registration_id"], "R601");
    drop(stream);
    // The header counts before the query: a browser repeats its first query with it.
    let mut stream = Stream::open(&fake, "?after=start", Some(&last)).await;
    assert_eq!(stream.event().await.2["registration_id"], "R601");
    assert_eq!(stream.event().await.2["registration_id"], "R602");
}

#[tokio::test]
async fn without_a_position_the_stream_begins_now() {
    let fake = fake();
    fake.commit("lamp", expired(1));
    let mut stream = Stream::open(&fake, "", None).await;
    fake.commit("lamp", expired(2));
    let (_, id, data) = stream.event().await;
    assert_eq!(
        (id.as_deref(), &data["registration_id"]),
        (Some("2-0"), &json!("R2"))
    );
}

#[tokio::test]
async fn a_filter_takes_types_and_one_client() {
    let fake = fake();
    fake.commit(
        "lamp",
        News::Deregistered {
            registration_id: "R1".into(),
            forgotten: false,
        },
    );
    fake.commit("meter", expired(2));
    fake.commit("lamp", expired(3));
    fake.commit("lamp", News::Notified(battery(5)));
    let mut stream = Stream::open(
        &fake,
        "?after=start&types=expired,notified&endpoint=lamp",
        None,
    )
    .await;
    assert_eq!(stream.event().await.2["registration_id"], "R3");
    assert_eq!(stream.event().await.0, "notified");
    fake.commit("meter", News::Notified(battery(6)));
    fake.commit("lamp", News::Notified(battery(7)));
    assert_eq!(stream.event().await.2["node"]["value"], 7);
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_a_gap() {
    let fake = fake();
    for number in 1..=5 {
        fake.commit("lamp", expired(number));
    }
    fake.state().dropped = Some(Position {
        commit: 3,
        index: 0,
    });
    let mut stream = Stream::open(&fake, "", Some("1-0")).await;
    let (kind, id, data) = stream.event().await;
    assert_eq!(
        (kind.as_str(), id, &data["after"]),
        ("gap", None, &json!("1-0"))
    );
    assert_eq!(stream.event().await.2["registration_id"], "R4");
}

#[tokio::test]
async fn the_oldest_event_kept_is_no_gap() {
    let fake = fake();
    for number in 1..=5 {
        fake.commit("lamp", expired(number));
    }
    fake.state().dropped = Some(Position {
        commit: 3,
        index: 0,
    });
    let mut stream = Stream::open(&fake, "?after=start", None).await;
    assert_eq!(stream.event().await.2["registration_id"], "R4");
    // But whoever was there when the log was empty has missed three.
    let mut stream = Stream::open(&fake, "?after=0-0", None).await;
    assert_eq!(stream.event().await.0, "gap");
}

#[tokio::test]
async fn a_stream_that_has_heard_nothing_can_be_resumed_too() {
    let fake = fake();
    fake.commit("lamp", expired(1));
    let stream = Stream::open(&fake, "", None).await;
    let begins_at = stream.begins_at.clone();
    assert_eq!(begins_at, "1-0");
    drop(stream);
    fake.commit("lamp", expired(2));
    let mut stream = Stream::open(&fake, "", Some(&begins_at)).await;
    assert_eq!(stream.event().await.2["registration_id"], "R2");
}

#[tokio::test]
async fn who_waits_for_something_rare_learns_how_far_it_is() {
    let fake = fake();
    for number in 1..=300 {
        fake.commit("meter", expired(number));
    }
    let mut stream = Stream::open(&fake, "?after=start&endpoint=lamp", None).await;
    assert_eq!(stream.block().await, "id: 100-0");
    assert_eq!(stream.block().await, "id: 12c-0");
    {
        let next = stream.block();
        let mut next = std::pin::pin!(next);
        assert!(futures_util::poll!(&mut next).is_pending());
        for number in 301..=1400 {
            fake.commit("meter", expired(number));
        }
        assert_eq!(next.await, "id: 52c-0");
    }
    fake.commit("lamp", expired(9));
    assert_eq!(stream.event().await.2["registration_id"], "R9");
}

#[tokio::test]
async fn awake_and_asleep_are_live_only() {
    let fake = fake();
    let mut stream = Stream::open(&fake, "", None).await;
    // The stream subscribes when it is first asked for something; one committed event brings it there.
    fake.commit("lamp", expired(1));
    stream.event().await;
    let next = stream.event();
    let mut next = std::pin::pin!(next);
    assert!(futures_util::poll!(&mut next).is_pending());
    fake.tell("meter", News::Awake);
    let (kind, id, data) = next.await;
    assert_eq!((kind.as_str(), id), ("awake", None));
    assert_eq!(
        data,
        json!({"endpoint": "meter", "at": "2026-11-24T15:00:00.000Z"})
    );
}

#[tokio::test]
async fn a_consumer_that_was_passed_over_catches_up_from_the_log() {
    let fake = fake();
    let mut stream = Stream::open(&fake, "", None).await;
    fake.commit("lamp", expired(1));
    assert_eq!(stream.event().await.1.as_deref(), Some("1-0"));
    {
        let next = stream.event();
        let mut next = std::pin::pin!(next);
        assert!(futures_util::poll!(&mut next).is_pending());
        // More than the ring of the feed holds, while this consumer does not run.
        for number in 2..=9000 {
            fake.commit("lamp", expired(number));
        }
    }
    assert!(stream.block().await.starts_with(": too slow"));
    for number in 2..=9000_u32 {
        assert_eq!(stream.event().await.1, Some(format!("{number:x}-0")));
    }
}

#[tokio::test]
async fn every_type_has_its_members() {
    let fake = fake();
    let objects: dunlin_api::view::ObjectsView = [(
        3,
        ObjectInstancesView {
            version: "1.0".into(),
            instances: vec![0],
        },
    )]
    .into_iter()
    .collect();
    let registered = Registered {
        registration_id: "R1".into(),
        replaced: None,
        lifetime_s: 60,
        version: "1.0".into(),
        binding: "UQ".into(),
        address: "127.0.0.1:1".into(),
        security: Security::Psk,
        objects: objects.clone(),
    };
    let mut request = fake::request("r1", "lamp", "Read", Path::from_ids(&[3, 0, 9]).unwrap());
    request.state = RequestState::Completed;
    request.outcome = Some(Ok(Completion {
        code: ResponseCode::Content,
        at: NOW,
        answer: CompletionAnswer::Values(battery(9)),
    }));
    let updated = Updated {
        registration_id: "R1".into(),
        lifetime_s: Some(30),
        objects: Some(objects),
        ..Updated::default()
    };
    let at = "2026-11-24T15:00:00.000Z";
    let objects = json!({"3": {"version": "1.0", "instances": [0]}});
    let cases = [
        (
            News::Registered(registered),
            json!({"endpoint": "lamp", "at": at, "registration_id": "R1", "replaced": null, "lifetime_s": 60,
                "version": "1.0", "binding": "UQ", "address": "127.0.0.1:1", "security": "psk", "objects": objects}),
        ),
        (
            News::Updated(updated),
            json!({"endpoint": "lamp", "at": at, "registration_id": "R1", "changes": {"lifetime_s": 30, "objects": objects}}),
        ),
        (
            News::Deregistered {
                registration_id: "R1".into(),
                forgotten: true,
            },
            json!({"endpoint": "lamp", "at": at, "registration_id": "R1", "forgotten": true}),
        ),
        (
            expired(1),
            json!({"endpoint": "lamp", "at": at, "registration_id": "R1"}),
        ),
        (
            News::Bootstrapped {
                summary: "4 writes".into(),
            },
            json!({"endpoint": "lamp", "at": at, "summary": "4 writes"}),
        ),
        (
            News::BootstrapFailed {
                reason: "no answer".into(),
            },
            json!({"endpoint": "lamp", "at": at, "reason": "no answer"}),
        ),
        (
            News::Refused {
                address: "192.0.2.7:1".into(),
                reason: "NoSec".into(),
                remedy: None,
                offered: None,
            },
            json!({"endpoint": "lamp", "at": at, "address": "192.0.2.7:1", "reason": "NoSec", "remedy": null}),
        ),
    ];
    let mut stream = Stream::open(&fake, "?after=start", None).await;
    for (news, json) in cases {
        let kind = news.kind().name();
        fake.commit("lamp", news);
        assert_eq!(
            stream.event().await,
            (kind.to_string(), Some(fake_head(&fake)), json)
        );
    }
    fake.commit("lamp", News::Completed(request));
    let (kind, _, data) = stream.event().await;
    assert_eq!(
        (kind.as_str(), &data["path"]),
        ("completed", &json!("/3/0/9"))
    );
    assert_eq!(data["request"]["outcome"]["coap"], "2.05");
    assert_eq!(data["request"]["outcome"]["node"]["value"], 9);
    fake.commit("lamp", News::Notified(battery(8)));
    let (_, _, data) = stream.event().await;
    assert_eq!(
        (&data["path"], &data["node"]["unit"], &data["measured_at"]),
        (&json!("/3/0/9"), &json!("%"), &json!(at))
    );
    fake.commit("lamp", News::Sent(vec![battery(7)]));
    let (_, _, data) = stream.event().await;
    assert_eq!(
        (&data["readings"][0]["path"], &data["node"]["value"]),
        (&json!("/3/0/9"), &json!(7))
    );
}

fn fake_head(fake: &Fake) -> String {
    use dunlin_api::backend::Backend;
    fake.head().to_string()
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let fake = fake();
    let mut open = Stream::open(&fake, "", None).await;
    let (token, record) = auth::issue("me", Role::Admin, NOW, &[1; 32]);
    fake.state().tokens.push(record);
    fake.commit("lamp", expired(1));
    assert_eq!(open.block().await, ": the token is not valid any more");
    assert!(open.body.next().await.is_none());
    let mut request = request("GET", "/api/v1/events", "");
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    let response = raw(&fake, Settings::default(), request).await;
    let mut held = Stream {
        body: response.into_body().into_data_stream(),
        rest: String::new(),
        begins_at: String::new(),
    };
    held.block().await;
    fake.commit("lamp", expired(2));
    assert_eq!(held.event().await.2["registration_id"], "R2");
    fake.state().tokens.clear();
    fake.commit("lamp", expired(3));
    assert_eq!(held.block().await, ": the token is not valid any more");
}

#[tokio::test]
async fn bad_questions_are_refused() {
    let fake = fake();
    for (query, code) in [
        ("?after=yesterday", "position_invalid"),
        ("?after=1", "position_invalid"),
        ("?types=registered,gone", "query_invalid"),
        ("?type=registered", "query_invalid"),
    ] {
        let refused = get(&fake, &format!("/events{query}")).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, code),
            "{query}"
        );
    }
    let mut request = request("GET", "/api/v1/events", "");
    request
        .headers_mut()
        .insert("last-event-id", "?".parse().unwrap());
    assert_eq!(
        reply(raw(&fake, Settings::default(), request).await)
            .await
            .code(),
        "position_invalid"
    );
}

#[test]
fn every_type_is_documented() {
    let page = include_str!("../../../docs/reference/events.md");
    for kind in dunlin_api::event::EventKind::ALL {
        assert!(
            page.contains(&format!("| `{}` |", kind.name())),
            "{} is missing",
            kind.name()
        );
    }
    assert!(page.contains("| `gap` |"));
}
