//! `dunlin decode`: a CoAP datagram or an LwM2M payload, in words. Asks nobody; everything comes from the bytes and
//! the bundled object definitions.

use std::io::Read;

use anyhow::{Context, anyhow, bail};
use clap::Args as ClapArgs;
use data_encoding::HEXLOWER_PERMISSIVE;
use dunlin_coap::option::Format;
use dunlin_coap::wire::datagram;
use dunlin_coap::{Code, Message, MessageType, OptionNumber, OptionRef};
use dunlin_lwm2m::format;
use dunlin_lwm2m::operation::{ResponseCode, WriteMode};
use dunlin_lwm2m::{ContentFormat, Level, Path, Registry, Value};

use crate::table::{Table, plain, say};

/// The longest input: the largest payload there can be, written in hexadecimal with a blank between bytes.
const INPUT_BYTES_MAX: u64 = 3 * 0x0100_0000;

/// Explain a CoAP datagram or an LwM2M payload
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin decode 44015d1f00003974396c6f63616c686f7374836c766d
  tcpdump … | dunlin decode -                       bytes or hexadecimal from standard input
  dunlin decode c1096401c10a0f --format tlv --path /3/0")]
pub(crate) struct Args {
    /// Hexadecimal, blanks and colons allowed; - for standard input
    #[arg(value_name = "HEX")]
    input: Option<String>,
    /// More of it, when the shell has split it at blanks
    #[arg(value_name = "HEX", hide = true)]
    more: Vec<String>,
    /// It is a payload in this format: tlv, json, text, opaque, link, or a number
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<ContentFormat>,
    /// What the payload is about, such as /3/0: gives names, units and types
    #[arg(long, value_name = "PATH", value_parser = parse_path)]
    path: Option<Path>,
}

fn parse_format(text: &str) -> Result<ContentFormat, String> {
    ContentFormat::from_name(text)
        .or_else(|| text.parse().ok().map(ContentFormat))
        .ok_or_else(|| "write tlv, json, text, opaque, link or a number".to_string())
}

fn parse_path(text: &str) -> Result<Path, String> {
    text.parse()
        .map_err(|_| "write it as numbers, such as /3/0".to_string())
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let bytes = match self.input.as_deref() {
            None => bail!("give the bytes in hexadecimal, or - to read them from standard input"),
            Some("-") => read_input()?,
            Some(hex) => parse_hex(&format!("{hex}{}", self.more.concat()))?,
        };
        if let Some(format) = self.format {
            return payload(Some(format), self.path.unwrap_or(Path::ROOT), &bytes);
        }
        match datagram::decode(&bytes) {
            Ok(message) => explain(&message, self.path),
            Err(error) => bail!("{}", no_coap(&bytes, &error.to_string())),
        }
    }
}

/// Standard input: hexadecimal if it looks like it, the bytes themselves otherwise.
fn read_input() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock().take(INPUT_BYTES_MAX);
    input
        .read_to_end(&mut bytes)
        .context("standard input cannot be read")?;
    match std::str::from_utf8(&bytes).ok().map(parse_hex) {
        Some(Ok(decoded)) if !decoded.is_empty() => Ok(decoded),
        _ => Ok(bytes),
    }
}

fn parse_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits: String = text
        .trim()
        .trim_start_matches("0x")
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, ':' | '-' | ','))
        .collect();
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|error| {
        anyhow!("this is not hexadecimal (at digit {}); a payload as text needs - and standard input", error.position)
    })
}

/// What else it may be that is no CoAP.
fn no_coap(bytes: &[u8], error: &str) -> String {
    let dtls = match bytes {
        [20, 0xfe, ..] => Some("ChangeCipherSpec"),
        [21, 0xfe, ..] => Some("Alert"),
        [22, 0xfe, ..] => Some("Handshake"),
        [23, 0xfe, ..] => Some("Application Data"),
        [25, 0xfe, ..] => Some("tls12_cid, a record with Connection ID"),
        _ => None,
    };
    match dtls {
        Some(kind) => format!(
            "this is a DTLS record ({kind}), not CoAP; only its peers can read what is in it"
        ),
        None => format!(
            "this is no CoAP datagram: {error}. A payload alone needs --format, such as --format tlv"
        ),
    }
}

fn explain(message: &Message<'_>, path: Option<Path>) -> anyhow::Result<()> {
    let kind = match message.message_type {
        MessageType::Confirmable => "Confirmable",
        MessageType::NonConfirmable => "Non-confirmable",
        MessageType::Acknowledgement => "Acknowledgement",
        MessageType::Reset => "Reset",
    };
    let token = match message.token.is_empty() {
        true => "no Token".to_string(),
        false => format!("Token {}", message.token),
    };
    let name = message.code.name().unwrap_or("a code without a name");
    let code = format!(
        "{}.{:02} {name}",
        message.code.class_number(),
        message.code.detail()
    );
    say!(
        "{kind} (CoAP), {code}, Message ID {}, {token}",
        message.message_id.0
    );
    let mut table = Table::new(&["OPTION", "VALUE", ""]);
    for option in message.options.iter() {
        table.row([
            option_name(option.number),
            option_value(&option),
            option_remark(&option),
        ]);
    }
    if !message.options.is_empty() {
        table.print()?;
    }
    say!("LwM2M: {}", plain(&meaning(message)));
    if message.payload.is_empty() {
        return Ok(());
    }
    say!("\nPayload, {} bytes:", message.payload.len());
    let format = message.options.content_format().map(ContentFormat);
    let target = path.or_else(|| target(message)).unwrap_or(Path::ROOT);
    if let Err(error) = payload(format, target, message.payload) {
        // The message itself was good; what is in it is shown as it is.
        say!("{}", hex(message.payload));
        say!("({})", plain(&format!("{error:#}")));
    }
    Ok(())
}

fn option_name(number: OptionNumber) -> String {
    match number.name() {
        Some(name) => name.to_string(),
        None => {
            let kind = if number.is_critical() {
                "critical"
            } else {
                "elective"
            };
            format!("option {} ({kind}, unknown)", number.0)
        }
    }
}

fn option_value(option: &OptionRef<'_>) -> String {
    let format = option
        .number
        .definition()
        .map(|definition| definition.format);
    let number = option.as_uint();
    match (option.number, format, number) {
        (OptionNumber::CONTENT_FORMAT | OptionNumber::ACCEPT, _, Some(number)) => {
            ContentFormat(u16::try_from(number).unwrap_or(u16::MAX)).to_string()
        }
        (OptionNumber::BLOCK1 | OptionNumber::BLOCK2, _, Some(value)) => {
            let more = if value & 8 == 0 {
                "the last"
            } else {
                "more follow"
            };
            format!(
                "block {} of {} bytes, {more}",
                value >> 4,
                16u32 << (value & 7)
            )
        }
        (_, Some(Format::Uint), Some(number)) => number.to_string(),
        (_, Some(Format::Text), _) => match option.as_text() {
            Some(text) => format!("\"{text}\""),
            None => format!("{} (not UTF-8)", hex(option.value)),
        },
        (_, Some(Format::Empty), _) if option.value.is_empty() => String::new(),
        _ => hex(option.value),
    }
}

fn option_remark(option: &OptionRef<'_>) -> String {
    match option.number {
        OptionNumber::OBSERVE => match option.as_uint() {
            Some(0) => "observe, or the first notification".into(),
            Some(1) => "cancel the observation, or the second notification".into(),
            _ => "the number of a notification".into(),
        },
        _ if !option.has_valid_length() => "a length that it may not have".into(),
        _ => String::new(),
    }
}

/// The LwM2M path in the Uri-Path of a request.
fn target(message: &Message<'_>) -> Option<Path> {
    let segments: Vec<String> = texts(message.options.uri_path());
    Path::from_segments(segments.iter().map(String::as_str))
        .ok()
        .filter(|path| message.code.is_request() && *path != Path::ROOT)
}

/// The values of a repeated option as texts; what is not UTF-8 is shown as such.
fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    values
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// Which operation of LwM2M it is (TS 8.2).
fn meaning(message: &Message<'_>) -> String {
    if message.code == Code::EMPTY {
        return match message.message_type {
            MessageType::Confirmable => "none; a CoAP ping, to be answered with Reset",
            MessageType::Acknowledgement => "none; the answer follows in a message of its own",
            MessageType::Reset => "none; the message with this Message ID was not understood, or the observation is cancelled",
            MessageType::NonConfirmable => "none",
        }
        .into();
    }
    if message.code.is_response() {
        return response(message);
    }
    let segments: Vec<String> = texts(message.options.uri_path());
    let query: Vec<String> = texts(message.options.uri_query());
    let parameters = if query.is_empty() {
        "no parameters".to_string()
    } else {
        query.join(", ")
    };
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (message.code, words.as_slice()) {
        (Code::POST, ["rd"]) => format!("Register ({parameters})"),
        (Code::POST, ["rd", ..]) if query.is_empty() && message.payload.is_empty() => {
            format!(
                "Update of the registration /{}: a refresh",
                segments.join("/")
            )
        }
        (Code::POST, ["rd", ..]) => format!(
            "Update of the registration /{} ({parameters})",
            segments.join("/")
        ),
        (Code::DELETE, ["rd", ..]) => format!("De-register /{}", segments.join("/")),
        (Code::POST, ["bs"]) if query.is_empty() => {
            "Bootstrap-Finish, or a Bootstrap-Request without a name".into()
        }
        (Code::POST, ["bs"]) => format!("Bootstrap-Request ({parameters})"),
        _ => downlink(message, &words, &parameters),
    }
}

fn response(message: &Message<'_>) -> String {
    let meaning = match ResponseCode::from_byte(message.code.0) {
        Some(code) if code.is_success() => "a good answer",
        Some(_) => "a refusal",
        None => "an answer with a code that LwM2M does not have",
    };
    let location: Vec<String> = texts(message.options.location_path());
    match (message.options.observe(), location.is_empty()) {
        (Some(number), _) => format!("{meaning} to Observe, or Notify number {number}"),
        (None, false) => format!("{meaning}; what was created is /{}", location.join("/")),
        (None, true) => meaning.into(),
    }
}

fn downlink(message: &Message<'_>, segments: &[&str], parameters: &str) -> String {
    let Ok(path) = Path::from_segments(segments.iter().copied()) else {
        return format!(
            "not an operation of LwM2M, unless the Client's Objects lie under /{}",
            segments.join("/")
        );
    };
    let discover = message.options.accept() == Some(ContentFormat::LINK.0);
    let has_query = message.options.contains(OptionNumber::URI_QUERY);
    let operation = match (message.code, path.level()) {
        (Code::GET, Level::Root) if discover => "Bootstrap-Discover".into(),
        (Code::GET, _) if discover => "Discover (or Bootstrap-Discover)".into(),
        (Code::GET, _) => match message.options.observe() {
            Some(0) => "Observe".into(),
            Some(_) => "Cancel Observation".into(),
            None => "Read".into(),
        },
        (Code::PUT, _) if has_query && message.payload.is_empty() => {
            format!("Write-Attributes ({parameters})")
        }
        (Code::PUT, Level::Object) => "Bootstrap-Write of an Object".into(),
        (Code::PUT, _) => format!("Write, {} (or Bootstrap-Write)", mode(WriteMode::Replace)),
        (Code::POST, Level::Object) => "Create".into(),
        (Code::POST, Level::Instance) => format!("Write, {}", mode(WriteMode::Partial)),
        (Code::POST, Level::Resource) => "Execute".into(),
        (Code::DELETE, Level::Instance) => "Delete (or Bootstrap-Delete)".into(),
        (Code::DELETE, Level::Root | Level::Object) => "Bootstrap-Delete".into(),
        _ => "no operation of LwM2M 1.0 on".into(),
    };
    match name(path) {
        Some(name) => format!("{operation} {path} ({name})"),
        None => format!("{operation} {path}"),
    }
}

fn mode(mode: WriteMode) -> &'static str {
    match mode {
        WriteMode::Replace => "replace",
        WriteMode::Partial => "partial update",
    }
}

/// What the bundled definitions call a path.
fn name(path: Path) -> Option<String> {
    let registry = Registry::bundled();
    let object = registry.latest(path.object_id()?)?;
    match path.resource_id() {
        Some(resource) => object
            .resource(resource)
            .map(|resource| format!("{}, {}", object.name, resource.name)),
        None => Some(object.name.to_string()),
    }
}

/// Prints a payload; an error if it is not in that format.
fn payload(stated: Option<ContentFormat>, path: Path, bytes: &[u8]) -> anyhow::Result<()> {
    let format = stated.map(ContentFormat::modern);
    match format {
        Some(ContentFormat::LINK) => {
            let text = std::str::from_utf8(bytes).context("links must be UTF-8")?;
            for link in text.split(',') {
                say!("{}", plain(link.trim()));
            }
            return Ok(());
        }
        Some(ContentFormat::TEXT) if path.resource_id().is_none() => {
            say!("{}", plain(&String::from_utf8_lossy(bytes)));
            return Ok(());
        }
        Some(ContentFormat::OPAQUE) => {
            say!("{}", hex(bytes));
            return Ok(());
        }
        _ => {}
    }
    if path == Path::ROOT {
        if format == Some(ContentFormat::JSON) {
            say!("{}", plain(&String::from_utf8_lossy(bytes)));
            return Ok(());
        }
        bail!("--path says what it is about, such as --path /3/0");
    }
    let registry = Registry::bundled();
    let decoded = format::decode(stated, path, bytes, &registry)?;
    let mut table = Table::new(&["PATH", "NAME", "TYPE", "VALUE", "UNIT"]);
    for (path, value) in decoded.node.values(path) {
        let definition = path.object_id().and_then(|object| registry.latest(object));
        let resource = definition
            .zip(path.resource_id())
            .and_then(|(object, id)| object.resource(id));
        table.row([
            path.to_string(),
            resource
                .map(|resource| resource.name.to_string())
                .unwrap_or_default(),
            value.value_type().to_string(),
            shown(value),
            resource
                .map(|resource| resource.units.to_string())
                .unwrap_or_default(),
        ]);
    }
    table.print()?;
    for deviation in decoded.deviations.iter() {
        say!("Tolerated: {}", deviation.sentence());
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Time(seconds) => match u64::try_from(*seconds) {
            Ok(seconds) => format!(
                "{} ({seconds})",
                dunlin_api::time::Timestamp(seconds.saturating_mul(1000))
            ),
            Err(_) => seconds.to_string(),
        },
        other => other.to_string(),
    }
}

/// Bytes in lines of sixteen.
fn hex(bytes: &[u8]) -> String {
    let lines: Vec<String> = bytes
        .chunks(16)
        .map(|line| {
            line.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    lines.join("\n")
}
