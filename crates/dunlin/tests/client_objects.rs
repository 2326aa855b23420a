//! `dunlin client --objects` with the example that is shipped, against `dunlin serve`, each a process of its own.

mod desk;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use desk::{DEADLINE, Desk, Running, dunlin, failure};

fn packaging() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging"))
}

/// Waits until a file holds this.
fn holds(path: &Path, text: &str) {
    let begin = Instant::now();
    loop {
        let found = fs::read_to_string(path).unwrap_or_default();
        if found.trim_end() == text {
            return;
        }
        assert!(begin.elapsed() < DEADLINE, "{}: {found:?}", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Reads until the answer contains this.
fn reads(desk: &Desk, path: &str, words: &str) -> String {
    let begin = Instant::now();
    loop {
        let output = desk.run(&["read", "barn", path]);
        let said = String::from_utf8(output.stdout).unwrap();
        if said.contains(words) {
            return said;
        }
        assert!(begin.elapsed() < DEADLINE, "{path}: {said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_example_that_is_shipped_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(folder.path());
    let example = packaging().join("objects.toml");
    let definition = packaging().join("greenhouse.xml");
    desk.says(&["object", "add", definition.to_str().unwrap()]);
    let yard = folder.path().join("yard");
    fs::create_dir(&yard).unwrap();
    fs::write(yard.join("water-level"), "1250\n").unwrap();
    let mut command = dunlin(&["client", "--server", &desk.coap, "--endpoint", "barn"]);
    command.args(["--location", "52.52,13.4,34"]);
    command.arg("--objects").arg(&example).current_dir(&yard);
    let mut client = Running::start(&mut command);
    client.line("registered with");

    // A constant, values that are made up, and what a program and a file say.
    reads(&desk, "/26241/0/0", "behind the barn");
    reads(&desk, "/26241/0/1", "Cel");
    reads(&desk, "/26241/0/2", "Humidity");
    reads(&desk, "/26241/0/4", "Load");
    reads(&desk, "/26241/0/5", "1.25");
    fs::write(yard.join("water-level"), "900\n").unwrap();
    reads(&desk, "/26241/0/5", "0.9");
    // Setting a value is all it takes for the Server to be told.
    desk.says(&["observe", "barn", "/26241/0/3", "--count", "2"]);

    // What Servers write and execute is done.
    desk.says(&["write", "barn", "/26241/0/6", "true"]);
    holds(&yard.join("window"), "1");
    desk.says(&["write", "barn", "/26241/0/7", "closed on monday"]);
    holds(&yard.join("notice"), "closed on monday");
    desk.says(&["execute", "barn", "/26241/0/8", "0='tomatoes'"]);
    holds(&yard.join("watered"), "0='tomatoes'");
    client.line("executed by the server: /26241/0/8");

    // An Object that is described in the file, with two instances, and application data without any code.
    let shelves = desk.says(&["discover", "barn", "/26242"]);
    assert!(
        shelves.contains("/26242/0") && shelves.contains("/26242/1"),
        "{shelves}"
    );
    desk.says(&["write", "barn", "/19/0/0", "0=hex:00ff10"]);
    let data = desk.says(&["read", "barn", "/19/0/0"]);
    assert!(data.contains("AP8Q"), "{data}");

    // This machine: where it is, and how it is connected.
    reads(&desk, "/6/0/0", "52.52");
    reads(&desk, "/4/0/4", "IP Addresses");
    desk.says(&["execute", "barn", "/7/0/6"]);
    reads(&desk, "/7/0/2", "Tx Data");
    assert!(client.interrupt().contains("de-registered from"));
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.toml");
    fs::write(&file, "[[object]]\nid = 26241\nname = \"x\"\nflavour = 1\n").unwrap();
    let name = file.to_str().unwrap();
    let arguments = [
        "client",
        "--server",
        "coap://127.0.0.1:9",
        "--objects",
        name,
    ];
    let error = failure(&arguments);
    assert!(error.contains("line 4: unknown field `flavour`"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    for (option, value) in [("--objects", "/no/such/file"), ("--location", "1,2,x")] {
        let error = failure(&["client", "--server", "coap://127.0.0.1:9", option, value]);
        assert!(error.contains(option), "{error}");
    }
}
