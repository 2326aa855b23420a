//! `dunlin client` against `dunlin serve`, each a process of its own, seen through REST.

mod desk;

use desk::{Desk, Running, dunlin, failure};

#[test]
fn a_client_registers_serves_reboots_remembers_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(folder.path());
    let state = folder.path().join("state");
    let state = state.to_str().unwrap();
    let arguments = [
        "client",
        "--server",
        &desk.coap,
        "--endpoint",
        "lamp",
        "--state",
        state,
    ];
    let mut client = Running::start(&mut dunlin(&arguments));
    client.line("registered with");

    assert!(failure(&arguments).contains("another dunlin client"));
    let device = desk.says(&["read", "lamp", "/3/0"]);
    assert!(
        device.contains("dunlin") && device.contains("Memory Total"),
        "{device}"
    );
    assert!(
        desk.says(&["read", "lamp", "/3303/0/5700"])
            .contains("Sensor Value")
    );
    desk.says(&["write", "lamp", "/3/0/14", "+05:45"]);
    client.line("written by the server: /3/0/14 = +05:45");
    desk.says(&["observe", "lamp", "/3303/0/5700", "--count", "1"]);
    client.line("observed from now on: /3303/0/5700");

    desk.says(&["execute", "lamp", "/3/0/4"]);
    client.line("reboots");
    client.line("registered with");
    assert!(desk.says(&["read", "lamp", "/3/0/14"]).contains("+05:45"));
    assert!(client.interrupt().contains("de-registered from"));

    let mut client = Running::start(&mut dunlin(&arguments));
    client.line("registered with");
    assert!(desk.says(&["read", "lamp", "/3/0/14"]).contains("+05:45"));
    desk.says(&["execute", "lamp", "/3/0/5"]);
    client.line("is as new");
    client.line("registered with");
    assert!(!desk.says(&["read", "lamp", "/3/0/14"]).contains("+05:45"));
    client.interrupt();
}

#[test]
fn wrong_addresses_and_names_are_told_in_one_line() {
    for (arguments, words) in [
        (["--server", "http://a"], "begins with neither coap://"),
        (["--server", "coap://a:x"], "no number from 1 to 65535"),
        (["--server", "coaps://a"], "needs credentials"),
    ] {
        let error = failure(&["client", arguments[0], arguments[1]]);
        assert!(error.contains(words), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let error = failure(&["client", "--server", "coap://127.0.0.1:9", "--endpoint", ""]);
    assert!(error.contains("--endpoint"), "{error}");
}
