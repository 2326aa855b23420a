//! Health, metrics, object definitions, the embedded UI, the description of the API.

mod common;

use axum::http::header;
use common::{call, fake, get, raw, reply, request};
use dunlin_api::Settings;
use serde_json::json;

const DDF: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<LWM2M><Object ObjectType="MODefinition">
<Name>Pump</Name><Description1>A pump.</Description1><ObjectID>33000</ObjectID><ObjectURN>urn:oma:lwm2m:x:33000</ObjectURN>
<LWM2MVersion>1.0</LWM2MVersion><ObjectVersion>1.0</ObjectVersion>
<MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory>
<Resources><Item ID="1"><Name>Speed</Name><Operations>RW</Operations><MultipleInstances>Single</MultipleInstances>
<Mandatory>Mandatory</Mandatory><Type>Integer</Type><RangeEnumeration>0..3000</RangeEnumeration><Units>1/min</Units>
<Description>How fast.</Description></Item></Resources><Description2/></Object></LWM2M>"#;

async fn plain(fake: &std::sync::Arc<dunlin_api::fake::Fake>, path: &str) -> common::Reply {
    reply(raw(fake, Settings::default(), request("GET", path, "")).await).await
}

async fn put_xml(fake: &std::sync::Arc<dunlin_api::fake::Fake>, xml: &str) -> common::Reply {
    let mut request = request("PUT", "/api/v1/objects", xml.to_string());
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, "application/xml".parse().unwrap());
    reply(raw(fake, Settings::default(), request).await).await
}

#[tokio::test]
async fn health_and_metrics_are_plain_text() {
    let fake = fake();
    assert_eq!(plain(&fake, "/healthz").await.text, "ok\n");
    assert_eq!(plain(&fake, "/readyz").await.text, "ready\n");
    fake.state().unready = Some("the store is opening".into());
    let unready = plain(&fake, "/readyz").await;
    assert_eq!(
        (unready.status, unready.text.as_str()),
        (503, "the store is opening\n")
    );
    let metrics = plain(&fake, "/metrics").await;
    assert_eq!(metrics.text, "dunlin_clients 2\n# EOF\n");
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
}

#[tokio::test]
async fn definitions_are_listed_and_shown() {
    let fake = fake();
    let list = get(&fake, "/objects").await.json();
    let device = list["objects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|object| object["id"] == 3)
        .unwrap();
    assert_eq!(
        device,
        &json!({"id": 3, "version": "1.0", "name": "Device", "multiple": false, "mandatory": true})
    );
    let device = get(&fake, "/objects/3/1.0").await.json();
    assert_eq!(
        (&device["id"], &device["version"], &device["urn"]),
        (&json!(3), &json!("1.0"), &json!("urn:oma:lwm2m:oma:3:1.0"))
    );
    let manufacturer = &device["resources"][0];
    assert_eq!(
        (&manufacturer["name"], &manufacturer["operations"]),
        (&json!("Manufacturer"), &json!("R"))
    );
    assert_eq!(
        (
            &manufacturer["type"],
            &manufacturer["range"],
            &manufacturer["unit"]
        ),
        (&json!("string"), &json!(null), &json!(null))
    );
    let battery = device["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|resource| resource["id"] == 9)
        .unwrap();
    assert_eq!(
        (&battery["range"], &battery["unit"]),
        (&json!("0..100"), &json!("%"))
    );
    assert!(
        get(&fake, "/objects/3").await.json()["versions"]
            .as_array()
            .unwrap()
            .contains(&json!("1.0"))
    );
    for path in [
        "/objects/64999",
        "/objects/3/9.0",
        "/objects/device",
        "/objects/3/x",
        "/objects/70000",
    ] {
        let unknown = get(&fake, path).await;
        assert_eq!(
            (unknown.status, unknown.code().as_str()),
            (404, "definition_unknown"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn definitions_are_added_from_ddf_files() {
    let fake = fake();
    let added = put_xml(&fake, DDF).await;
    assert_eq!(added.status, 200, "{}", added.text);
    assert_eq!(added.json()["objects"][0]["name"], "Pump");
    let pump = get(&fake, "/objects/33000").await.json();
    assert_eq!(pump["resources"][0]["unit"], "1/min");
    // From now on it types what is written.
    let refused = call(&fake, "PUT", "/clients/lamp/33000/0/1", r#"{"value":4000}"#).await;
    assert_eq!(
        (refused.code().as_str(), &refused.json()["field"]),
        ("value_invalid", &json!("value"))
    );
    let body = json!({ "xml": DDF }).to_string();
    assert_eq!(
        call(&fake, "PUT", "/objects/33000", &body).await.status,
        200
    );
    assert_eq!(
        call(&fake, "PUT", "/objects/33000/1.0", &body).await.status,
        200
    );
    for path in [
        "/objects/33001",
        "/objects/33000/1.1",
        "/objects/pump",
        "/objects/33000/x",
    ] {
        let other = call(&fake, "PUT", path, &body).await;
        assert_eq!(
            (other.status, other.code().as_str()),
            (400, "definition_invalid"),
            "{path}"
        );
    }
    assert_eq!(call(&fake, "PUT", "/objects", &body).await.status, 200);
}

#[tokio::test]
async fn faults_of_ddf_files_have_line_and_column() {
    let fake = fake();
    let broken = DDF.replace("<Type>Integer</Type>", "<Type>Number</Type>");
    let refused = put_xml(&fake, &broken).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "definition_invalid")
    );
    assert!(
        refused.json()["line"].as_u64().unwrap() > 1,
        "{}",
        refused.text
    );
    assert!(refused.json()["column"].as_u64().unwrap() >= 1);
    for xml in ["", "{}", "<LWM2M>", "\u{0}"] {
        assert_eq!(
            put_xml(&fake, xml).await.code(),
            "definition_invalid",
            "{xml:?}"
        );
    }
    for (body, field) in [
        (r#"{}"#, "xml"),
        (r#"{"xml":1}"#, "xml"),
        (r#"{"xml":"","x":1}"#, "x"),
    ] {
        let refused = call(&fake, "PUT", "/objects", body).await;
        assert_eq!(
            (refused.code().as_str(), refused.json()["field"].as_str()),
            ("body_invalid", Some(field))
        );
    }
    let protected = DDF.replace("<ObjectID>33000<", "<ObjectID>3<");
    let refused = put_xml(&fake, &protected).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "definition_protected")
    );
    let large = put_xml(&fake, &" ".repeat(2_000_001)).await;
    assert_eq!(
        (large.status, large.code().as_str()),
        (413, "body_too_large")
    );
}

#[tokio::test]
async fn the_page_is_served_wherever_it_leads_to() {
    let fake = fake();
    let page = plain(&fake, "/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.contains("script-src 'self'") && !policy.contains("unsafe-eval"),
        "{policy}"
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert_eq!(plain(&fake, "/clients/lamp/3").await.text, page.text);
    let missing = plain(&fake, "/missing.js").await;
    assert_eq!(missing.status, 404);
    let tag = page.header("etag").unwrap();
    let mut again = request("GET", "/", "");
    again
        .headers_mut()
        .insert(header::IF_NONE_MATCH, tag.parse().unwrap());
    let again = reply(raw(&fake, Settings::default(), again).await).await;
    assert_eq!(
        (again.status, again.text.as_str(), again.header("etag")),
        (304, "", Some(tag))
    );
    let refused = reply(raw(&fake, Settings::default(), request("POST", "/", "")).await).await;
    assert_eq!(
        (
            refused.status,
            refused.code().as_str(),
            refused.header("allow")
        ),
        (405, "method_not_allowed", Some("GET, HEAD"))
    );
    let script = plain(&fake, "/dunlin.js").await;
    assert!(
        script
            .header("content-type")
            .unwrap()
            .starts_with("text/javascript")
    );
}

/// A change of the API is a change of this file: look at the difference, then `UPDATE_GOLDEN=1 cargo test`.
#[tokio::test]
async fn the_description_is_the_golden_one() {
    let fake = fake();
    let served = get(&fake, "/openapi.json").await.json();
    assert_eq!(served["openapi"], "3.1.0");
    let mut text = serde_json::to_string_pretty(&served).unwrap();
    text.push('\n');
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    let golden = std::fs::read_to_string(file).unwrap();
    assert!(
        golden == text,
        "openapi.json has changed; UPDATE_GOLDEN=1 writes the new one"
    );
}

#[test]
fn every_route_is_documented() {
    let page = include_str!("../../../docs/reference/rest.md");
    let openapi = serde_json::to_value(dunlin_api::openapi()).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").unwrap();
        assert!(page.contains(&format!("`{path}`")), "{path} is missing");
        for method in methods.as_object().unwrap().values() {
            let id = method["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_string()), "{id} stands twice");
            for response in method["responses"].as_object().unwrap().values() {
                assert!(response["description"].is_string(), "{id}");
            }
            assert!(
                method["summary"]
                    .as_str()
                    .is_some_and(|summary| !summary.is_empty()),
                "{path}"
            );
        }
    }
}
