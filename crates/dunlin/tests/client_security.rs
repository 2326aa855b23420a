//! `dunlin client` and `dunlin serve` over DTLS, each a process of its own: every kind of
//! credentials, a Server that restarts, and what is said about wrong ones.

mod desk;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use desk::{Desk, Running, dunlin, failure, free_port};
use serde_json::Value as Json;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

/// The keys of a device, made by OpenSSL.
struct Keys {
    private: PathBuf,
    public: PathBuf,
    certificate: PathBuf,
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output();
    let output = output.expect("openssl is installed where tests run");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
}

impl Keys {
    fn make(folder: &Path, name: &str) -> Self {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let keys = Self {
            private: file("key"),
            public: file("pub"),
            certificate: file("crt"),
        };
        let (private, public) = (text(&keys.private), text(&keys.public));
        openssl(&[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            private,
        ]);
        openssl(&["ec", "-in", private, "-pubout", "-out", public]);
        let (subject, out) = (format!("/CN={name}"), text(&keys.certificate));
        openssl(&[
            "req", "-new", "-x509", "-key", private, "-subj", &subject, "-days", "30", "-out", out,
        ]);
        keys
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What the Server shows of itself, as files.
fn identity(desk: &Desk, folder: &Path) -> (PathBuf, PathBuf) {
    let url = format!("{}/api/v1/server/identity", desk.api);
    let said = ureq::get(&url).call().unwrap().body_mut().read_to_string();
    let said: Json = serde_json::from_str(&said.unwrap()).unwrap();
    let file = |name: &str, field: &str| {
        let path = folder.join(name);
        let pem = said[field]
            .as_str()
            .unwrap_or_else(|| panic!("no {field} in {said}"));
        fs::write(&path, pem).unwrap();
        path
    };
    (
        file("server.pub", "public_key"),
        file("server.crt", "certificate"),
    )
}

#[test]
fn int_401_a_client_registers_with_every_kind_of_credentials_and_a_restart_costs_it_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let at = free_port();
    let uri = format!("coaps://{at}");
    let mut desk = Desk::open_with(folder, &["--coaps", &at]);
    let (server_key, server_cert) = identity(&desk, folder);
    let (bare, certified) = (Keys::make(folder, "bare"), Keys::make(folder, "certified"));
    desk.says(&["credential", "add", "lamp", "--psk", "id-7", "--key", KEY]);
    desk.says(&["credential", "add", "bare", "--rpk", text(&bare.public)]);
    let certificate = text(&certified.certificate);
    desk.says(&[
        "credential",
        "add",
        "certified",
        "--certificate",
        certificate,
    ]);

    let client = |name: &str, more: &[&str]| {
        let mut arguments = vec!["client", "--server", &uri, "--endpoint", name];
        arguments.extend(more);
        Running::start(&mut dunlin(&arguments))
    };
    let mut lamp = client("lamp", &["--identity", "id-7", "--key", KEY]);
    lamp.line("registered with");
    let mut bare_one = client(
        "bare",
        &[
            "--rpk",
            text(&bare.private),
            "--server-key",
            text(&server_key),
        ],
    );
    bare_one.line("registered with");
    let mut certified_one = client(
        "certified",
        &[
            "--cert",
            certificate,
            "--cert-key",
            text(&certified.private),
            "--server-cert",
            text(&server_cert),
            "--any-server-name",
        ],
    );
    certified_one.line("registered with");
    for name in ["lamp", "bare", "certified"] {
        assert!(
            desk.says(&["read", name, "/3/0/0"]).contains("dunlin"),
            "{name}"
        );
    }

    desk.restart();
    for name in ["lamp", "bare", "certified"] {
        assert!(
            desk.says(&["read", name, "/3/0/0"]).contains("dunlin"),
            "{name}"
        );
    }
    for running in [lamp, bare_one, certified_one] {
        let rest = running.interrupt();
        assert!(rest.contains("de-registered from"), "{rest}");
        assert!(
            !rest.contains("registered with"),
            "the session has lived on: {rest}"
        );
    }
}

#[test]
fn wrong_credentials_are_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let at = free_port();
    let uri = format!("coaps://{at}");
    let desk = Desk::open_with(folder, &["--coaps", &at]);
    let (server_key, _) = identity(&desk, folder);
    let stranger = Keys::make(folder, "stranger");
    desk.says(&["credential", "add", "lamp", "--psk", "id-7", "--key", KEY]);

    let start = |more: &[&str]| {
        let mut arguments = vec!["client", "--server", &uri, "--endpoint", "lamp"];
        arguments.extend(more);
        Running::start(&mut dunlin(&arguments))
    };
    let private = text(&stranger.private);
    let mut client = start(&["--rpk", private, "--server-key", text(&server_key)]);
    client.line("the server refuses our certificate or key");
    let mut client = start(&["--rpk", private, "--server-key", text(&stranger.public)]);
    client.line("this is not the server of the account");

    let coaps = ["client", "--server", &uri];
    assert!(failure(&coaps).contains("--identity ID --key HEX"));
    let with = |more: &[&str]| failure(&[&coaps, more].concat());
    assert!(with(&["--identity", "id-7", "--key", "secret"]).contains("not hexadecimal"));
    let public = text(&stranger.public);
    assert!(with(&["--rpk", public, "--server-key", public]).contains("no private key in it"));
    let nowhere = [
        "--cert",
        "nowhere.crt",
        "--cert-key",
        private,
        "--server-cert",
        public,
    ];
    assert!(with(&nowhere).contains("nowhere.crt"));
    let clear = [
        "client",
        "--server",
        "coap://127.0.0.1",
        "--identity",
        "a",
        "--key",
        KEY,
    ];
    assert!(failure(&clear).contains("credentials go with coaps://"));
}

#[test]
fn int_1_a_client_with_a_bootstrap_server_alone_registers_and_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (coaps, bootstrap) = (free_port(), free_port());
    let doors = ["--coaps", &coaps, "--bootstrap-coaps", &bootstrap];
    let desk = Desk::open_with(folder, &doors);
    desk.says(&["credential", "add", "lamp", "--psk", "id-7", "--key", KEY]);
    let profile = serde_json::json!({
        "endpoint": "lamp",
        "servers": [{"short_server_id": 1, "uri": format!("coaps://{coaps}"), "keys": {"mode": "psk"},
                     "lifetime_s": 300, "binding": "U"}],
    });
    let url = format!("{}/api/v1/profiles/lamps", desk.api);
    let put = ureq::put(&url).send_json(&profile);
    assert!(put.is_ok(), "{:?}", put.err());

    let state = folder.join("state");
    let uri = format!("coaps://{bootstrap}");
    let arguments = [
        "client",
        "--server",
        &uri,
        "--bootstrap",
        "--endpoint",
        "lamp",
        "--identity",
        "id-7",
        "--key",
        KEY,
        "--state",
        text(&state),
    ];
    let mut client = Running::start(&mut dunlin(&arguments));
    client.line("bootstrapped; its servers are coaps://");
    client.line("registered with coaps://");
    assert!(desk.says(&["read", "lamp", "/3/0/0"]).contains("dunlin"));
    client.interrupt();
    let mut client = Running::start(&mut dunlin(&arguments));
    let first = client.line("registered with");
    assert!(first.contains(&coaps), "{first}");
    let rest = client.interrupt();
    assert!(!rest.contains("bootstrapped"), "it remembers: {rest}");
}

#[test]
fn a_client_that_is_killed_resumes_its_session_from_what_it_kept_for_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let at = free_port();
    let uri = format!("coaps://{at}");
    // Each shard seals tickets under a key of its own, and the kernel chooses the shard by the port,
    // which is another after a restart: with several a whole handshake is as likely.
    let mut desk = Desk::open_with(folder, &["--coaps", &at, "--shards", "1"]);
    desk.says(&["credential", "add", "lamp", "--psk", "id-7", "--key", KEY]);
    let state = folder.join("device");
    let start = |key: &str| {
        Running::start(&mut dunlin(&[
            "client",
            "--server",
            &uri,
            "--endpoint",
            "lamp",
            "--identity",
            "id-7",
            "--key",
            key,
            "--state",
            text(&state),
        ]))
    };
    let mut client = start(KEY);
    client.line("registered with");
    client.kill();
    let mode = fs::metadata(state.join("client.state"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600, "it holds secrets");
    let mut client = start(KEY);
    client.line("goes on, with a short handshake");
    client.line("registered with");
    assert!(desk.says(&["read", "lamp", "/3/0/0"]).contains("dunlin"));
    client.kill();

    // A key of before opens nothing, although the session was made by it.
    let other = "0f0e0d0c0b0a09080706050403020100";
    desk.says(&["credential", "remove", "lamp"]);
    desk.says(&["credential", "add", "lamp", "--psk", "id-7", "--key", other]);
    let mut client = start(other);
    client.line("registers with");
    let next = client.line("");
    assert!(next.contains("registered with"), "{next}");
    client.kill();

    // A Server that was restarted has no tickets of before: the handshake is a whole one.
    desk.restart();
    let mut client = start(other);
    client.line("registered with");
    client.kill();
}

#[test]
fn ts_5_2_3_4_a_client_that_listens_is_bootstrapped_over_dtls_when_an_operator_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (at, bootstrap, listens) = (free_port(), free_port(), free_port());
    let doors = ["--coaps", &at, "--bootstrap-coaps", &bootstrap];
    let desk = Desk::open_with(folder.path(), &doors);
    let uri = format!("coaps://{at}");
    desk.says(&["profile", "put", "fleet", "--uri", &uri]);
    desk.says(&[
        "credential",
        "add",
        "lamp",
        "--psk",
        "lamp",
        "--key",
        KEY,
        "--for",
        "bootstrap",
    ]);
    let bootstrap = format!("coaps://{bootstrap}");
    let mut client = Running::start(&mut dunlin(&[
        "client",
        "--server",
        &bootstrap,
        "--bootstrap",
        "--hold-off",
        "3600",
        "--endpoint",
        "lamp",
        "--identity",
        "lamp",
        "--key",
        KEY,
        "--listen",
        &listens,
    ]));
    client.line("asks the bootstrap server");
    desk.says(&["bootstrap", "lamp", "--address", &listens]);
    client.line("the bootstrap server begins a bootstrap");
    client.line("registered with");
    let history = desk.says(&["bootstrap", "history", "lamp"]);
    assert!(
        history.contains("server") && history.contains("succeeded"),
        "{history}"
    );
    assert!(desk.says(&["read", "lamp", "/3/0/0"]).contains("dunlin"));
    client.kill();
}
