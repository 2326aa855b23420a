//! `dunlin decode` over datagrams and payloads.

use std::io::Write;
use std::process::{Command, Stdio};

fn decode(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .arg("decode")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input has closed it already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// CON POST /rd?ep=lamp&lt=60, Content-Format 40.
const REGISTER: &str =
    "4402b60b2161abcdb272641128 37 65703d6c616d70 05 6c743d3630 ff 3c2f312f303e2c3c2f332f303e";

#[test]
fn a_register_is_explained() {
    let (status, out, err) = decode(&[REGISTER], b"");
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "Confirmable (CoAP), 0.02 POST, Message ID 46603, Token 2161abcd\n\
         OPTION          VALUE\n\
         Uri-Path        \"rd\"\n\
         Content-Format  link (40)\n\
         Uri-Query       \"ep=lamp\"\n\
         Uri-Query       \"lt=60\"\n\
         LwM2M: Register (ep=lamp, lt=60)\n\
         \n\
         Payload, 13 bytes:\n\
         </1/0>\n\
         </3/0>\n"
    );
}

#[test]
fn bytes_and_hexadecimal_come_from_standard_input_too() {
    let plain = decode(&[REGISTER], b"").1;
    assert_eq!(
        decode(&["-"], format!("0x{REGISTER}\n").as_bytes()).1,
        plain
    );
    let digits: String = REGISTER.split(' ').collect();
    let bytes: Vec<u8> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect();
    assert_eq!(decode(&["-"], &bytes).1, plain);
    let words: Vec<&str> = REGISTER.split(' ').collect();
    assert_eq!(decode(&words, b"").1, plain);
}

#[test]
fn operations_are_told_apart() {
    for (hex, says) in [
        // GET /3/0/9 with and without Observe and Accept.
        (
            "40010001b1330130 0139",
            "LwM2M: Read /3/0/9 (Device, Battery Level)",
        ),
        ("4001000160 5133 0130 0139", "LwM2M: Observe /3/0/9"),
        (
            "400100016101 5133 0130 0139",
            "LwM2M: Cancel Observation /3/0/9",
        ),
        (
            "40010001b133 0130 6128",
            "LwM2M: Discover (or Bootstrap-Discover) /3/0 (Device)",
        ),
        (
            "40020001b133 0130 0134",
            "LwM2M: Execute /3/0/4 (Device, Reboot)",
        ),
        (
            "40030001b133 0130 0139 47706d696e3d3130",
            "LwM2M: Write-Attributes (pmin=10) /3/0/9",
        ),
        (
            "40040001b131 0131",
            "LwM2M: Delete (or Bootstrap-Delete) /1/1",
        ),
        (
            "40020001b2 7264 03 61 62 63",
            "LwM2M: Update of the registration /rd/abc: a refresh",
        ),
        ("40040001b2 7264 03 61 62 63", "LwM2M: De-register /rd/abc"),
        ("40020001b2 6273", "LwM2M: Bootstrap-Finish"),
        ("40000001", "LwM2M: none; a CoAP ping"),
        (
            "70000001",
            "LwM2M: none; the message with this Message ID was not understood",
        ),
        ("6044 0001", "LwM2M: a good answer"),
        ("6084 0001", "LwM2M: a refusal"),
        (
            "5045 0001 6105",
            "LwM2M: a good answer to Observe, or Notify number 5",
        ),
    ] {
        let (status, out, err) = decode(&[hex], b"");
        assert_eq!(status, 0, "{hex}: {err}");
        assert!(out.contains(says), "{hex}: {out}");
    }
}

#[test]
fn payloads_are_decoded_with_names_and_units() {
    let (status, out, _) = decode(&["c10964c10a0f", "--format", "tlv", "--path", "/3/0"], b"");
    assert_eq!(status, 0);
    assert!(
        out.contains("/3/0/9   Battery Level  integer  100"),
        "{out}"
    );
    let json = br#"{"bn":"/3/0/","e":[{"n":"9","v":100}]}"#;
    let (status, out, err) = decode(&["-", "--format", "json", "--path", "/3/0"], json);
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("Battery Level"), "{out}");
    let (_, out, _) = decode(&["616263", "--format", "text", "--path", "/3/0/0"], b"");
    assert!(out.contains("Manufacturer  string  abc"), "{out}");
    // A 2.05 with TLV says nothing of its path.
    let answer = "60450001c22d16ff c10964";
    assert!(
        decode(&[answer], b"")
            .1
            .contains("--path says what it is about")
    );
    assert!(
        decode(&[answer, "--path", "/3/0"], b"")
            .1
            .contains("Battery Level")
    );
}

#[test]
fn what_cannot_be_decoded_says_why() {
    for (arguments, says) in [
        (&["zz"][..], "not hexadecimal (at digit 0)"),
        (&["40"], "no CoAP datagram: at byte"),
        (&["c10964"], "--format tlv"),
        (&["16fefd000000"], "DTLS record (Handshake)"),
        (&["17fefd000000"], "DTLS record (Application Data)"),
        (&["c109", "--format", "tlv", "--path", "/3/0"], "dunlin: "),
        (&["00", "--format", "60", "--path", "/3/0"], "dunlin: "),
        (&[], "give the bytes"),
    ] {
        let (status, out, err) = decode(arguments, b"");
        assert_eq!((status, out.as_str()), (1, ""), "{arguments:?}");
        assert!(err.contains(says), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1);
    }
    assert_eq!(decode(&["00", "--format", "xml"], b"").0, 2);
}
