//! Requests: which CoAP an operation makes, and which operation a CoAP request is.
//!
//! Up go Register, Update, De-register and Bootstrap-Request, told apart by method and path
//! (TS 1.0 §8.2.3, §8.2.4). Down go the operations on Objects; several look alike on the wire, and
//! who asks, the presence of Accept, Observe and a payload decide (TS 1.0 §8.2.3, §8.2.5, §8.2.6).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dunlin_coap::{Code, OptionNumber, Request};
use dunlin_lwm2m::ContentFormat;
use dunlin_lwm2m::operation::{
    Arguments, BootstrapRequest, Deregister, Operation, Register, ResponseCode, Strictness, Update,
    Uplink, WriteMode,
};
use dunlin_lwm2m::{Level, Path};

use crate::event::{Fetch, LOCATION_LENGTH, Violation};

/// More path segments than this no location of ours and no path of LwM2M has.
const SEGMENTS_MAX: usize = 8;

/// The registration interface; TS 1.0 §8.2.4.
const REGISTRATION: &str = "rd";

/// The bootstrap interface; TS 1.0 §8.2.3.
const BOOTSTRAP: &str = "bs";

/// On which interface a Client is spoken to: the same bytes mean different things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// Device management and reporting, by a Server.
    #[default]
    Management,
    /// Bootstrap, by the Bootstrap-Server in a bootstrap run.
    Bootstrap,
}

fn refuse(code: ResponseCode, what: impl Into<String>) -> Violation {
    Violation {
        code,
        what: what.into(),
    }
}

/// The texts of all options with this number. A text that is not UTF-8 is no name, number or
/// parameter of LwM2M; RFC 7252 §5.10 makes it a bad option.
fn texts(request: &Request, number: OptionNumber) -> Result<Vec<&str>, Violation> {
    let mut texts = Vec::new();
    for value in request.options.view().all(number) {
        let text = core::str::from_utf8(value)
            .map_err(|_| refuse(ResponseCode::BadRequest, "an option is not UTF-8"))?;
        texts.push(text);
    }
    Ok(texts)
}

fn segments(request: &Request) -> Result<Vec<&str>, Violation> {
    let mut segments = texts(request, OptionNumber::URI_PATH)?;
    // Some stacks send an empty segment for a slash at the end, or for the root.
    segments.retain(|segment| !segment.is_empty());
    if segments.len() > SEGMENTS_MAX {
        return Err(refuse(
            ResponseCode::NotFound,
            "the path has too many segments",
        ));
    }
    Ok(segments)
}

fn content_format(request: &Request) -> Option<ContentFormat> {
    request.options.view().content_format().map(ContentFormat)
}

/// The location of an Update that tells nothing but that the Client is there: POST on `/rd/{id}`,
/// without any other option and without a payload. What deviates in the least is left to
/// [`decode_uplink`].
pub(crate) fn decode_refresh(request: &Request) -> Option<[u8; LOCATION_LENGTH]> {
    if request.code != Code::POST || !request.payload.is_empty() {
        return None;
    }
    let mut options = request.options.view().iter();
    let (first, second) = (options.next()?, options.next()?);
    let paths = [first.number, second.number] == [OptionNumber::URI_PATH; 2];
    if !paths || first.value != REGISTRATION.as_bytes() || options.next().is_some() {
        return None;
    }
    let location: [u8; LOCATION_LENGTH] = second.value.try_into().ok()?;
    location
        .iter()
        .all(u8::is_ascii_alphanumeric)
        .then_some(location)
}

/// Reads what a Client asks of a Server or Bootstrap-Server.
pub(crate) fn decode_uplink(
    request: &Request,
    strictness: Strictness,
) -> Result<Uplink, Violation> {
    let segments = segments(request)?;
    let tolerant = strictness == Strictness::Lenient;
    match (request.code, segments.as_slice()) {
        (Code::POST, [REGISTRATION]) => register_or_update(request, strictness),
        (Code::POST, [REGISTRATION, location]) => update(request, location, strictness),
        // Update was a PUT in the drafts, and devices of that time are in the field.
        (Code::PUT, [REGISTRATION, location]) if tolerant => update(request, location, strictness),
        (Code::DELETE, [REGISTRATION, location]) => Ok(Uplink::Deregister(Deregister {
            location: (*location).to_string(),
        })),
        (Code::POST, [BOOTSTRAP]) => {
            let request = BootstrapRequest::parse(texts(request, OptionNumber::URI_QUERY)?)
                .map_err(|error| refuse(error.code(), error.to_string()))?;
            Ok(Uplink::BootstrapRequest(request))
        }
        // Some clients lose the first segment of the location that they were given.
        (Code::POST, [location]) if tolerant && looks_like_location(location) => {
            update(request, location, strictness)
        }
        (Code::DELETE, [location]) if tolerant && looks_like_location(location) => {
            Ok(Uplink::Deregister(Deregister {
                location: (*location).to_string(),
            }))
        }
        (_, [REGISTRATION] | [REGISTRATION, _] | [BOOTSTRAP]) => Err(refuse(
            ResponseCode::MethodNotAllowed,
            format!("{} is not an operation of this path", request.code),
        )),
        _ => Err(refuse(
            ResponseCode::NotFound,
            "an LwM2M Server answers on /rd, a Bootstrap-Server on /bs",
        )),
    }
}

/// Registration ids are 26 characters; nothing else at the root is taken for one.
fn looks_like_location(segment: &str) -> bool {
    segment.len() == LOCATION_LENGTH && segment.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn register_or_update(request: &Request, strictness: Strictness) -> Result<Uplink, Violation> {
    let queries = texts(request, OptionNumber::URI_QUERY)?;
    let names_itself = queries.iter().any(|query| query.starts_with("ep="));
    // Without a name and without a list it is the Update of a client that forgot its location.
    if strictness == Strictness::Lenient && !names_itself && request.payload.is_empty() {
        return update(request, "", strictness);
    }
    Register::parse(
        queries,
        content_format(request),
        &request.payload,
        strictness,
    )
    .map(Uplink::Register)
    .map_err(|error| refuse(error.code(), error.to_string()))
}

fn update(request: &Request, location: &str, strictness: Strictness) -> Result<Uplink, Violation> {
    let queries = texts(request, OptionNumber::URI_QUERY)?;
    Update::parse(
        location,
        queries,
        content_format(request),
        &request.payload,
        strictness,
    )
    .map(Uplink::Update)
    .map_err(|error| refuse(error.code(), error.to_string()))
}

fn add_queries(mut request: Request, queries: &[String]) -> Request {
    for query in queries {
        request
            .options
            .push(OptionNumber::URI_QUERY, query.as_bytes());
    }
    request
}

fn add_links(mut request: Request, payload: Vec<u8>) -> Request {
    if payload.is_empty() {
        return request;
    }
    request.options.push_uint(
        OptionNumber::CONTENT_FORMAT,
        u32::from(ContentFormat::LINK.0),
    );
    request.with_payload(payload)
}

/// `POST /rd?ep=…`; TS 1.0 §8.2.4.
pub(crate) fn encode_register(register: &Register) -> Request {
    let request = Request::new(Code::POST).with_path(REGISTRATION);
    add_links(
        add_queries(request, &register.queries()),
        register.payload(),
    )
}

/// `POST` on the location that the Server gave, whatever it looks like; TS 1.0 §8.2.4.
pub(crate) fn encode_update(location: &[String], update: &Update) -> Request {
    let request = add_location(Request::new(Code::POST), location);
    add_links(add_queries(request, &update.queries()), update.payload())
}

/// `DELETE` on the location; TS 1.0 §8.2.4.
pub(crate) fn encode_deregister(location: &[String]) -> Request {
    add_location(Request::new(Code::DELETE), location)
}

/// `POST /bs?ep=…`; TS 1.0 §8.2.3.
pub(crate) fn encode_bootstrap_request(asked: &BootstrapRequest) -> Request {
    add_queries(
        Request::new(Code::POST).with_path(BOOTSTRAP),
        &asked.queries(),
    )
}

/// `GET` of one block of whatever a URI names (RFC 7252 §6.4, RFC 7959 §2.4).
pub(crate) fn encode_fetch(fetch: &Fetch) -> Request {
    let mut request = Request::new(Code::GET);
    if let Some(host) = &fetch.host {
        request
            .options
            .push(OptionNumber::URI_HOST, host.as_bytes());
    }
    add_queries(add_location(request, &fetch.path), &fetch.queries)
}

fn add_location(mut request: Request, location: &[String]) -> Request {
    for segment in location {
        request
            .options
            .push(OptionNumber::URI_PATH, segment.as_bytes());
    }
    request
}

/// The CoAP request that a downlink operation makes. `root` is the Client's alternate path
/// (TS 1.0 §8.2.2), empty for most; bootstrap operations never use it.
pub(crate) fn encode_operation(operation: &Operation, root: &str) -> Request {
    match operation {
        Operation::Read { path, accept } | Operation::Observe { path, accept } => {
            with_accept(at(Code::GET, root, *path), *accept)
        }
        Operation::CancelObservation { path } => at(Code::GET, root, *path),
        Operation::Discover { path } => {
            with_accept(at(Code::GET, root, *path), Some(ContentFormat::LINK))
        }
        Operation::Write {
            path,
            mode,
            format,
            payload,
        } => {
            let code = match mode {
                WriteMode::Replace => Code::PUT,
                WriteMode::Partial => Code::POST,
            };
            with_body(at(code, root, *path), *format, payload.clone())
        }
        Operation::WriteAttributes { path, attributes } => {
            add_queries(at(Code::PUT, root, *path), &attributes.queries())
        }
        Operation::Execute { path, arguments } => {
            let request = at(Code::POST, root, *path);
            if arguments.is_empty() {
                // Without arguments no Content-Format either: some clients refuse one (quirk 115).
                request
            } else {
                with_body(
                    request,
                    ContentFormat::TEXT,
                    arguments.to_string().into_bytes(),
                )
            }
        }
        Operation::Create {
            object,
            format,
            payload,
        } => with_body(
            at(Code::POST, root, Path::object(*object)),
            *format,
            payload.clone(),
        ),
        Operation::Delete { path } => at(Code::DELETE, root, *path),
        Operation::BootstrapDiscover { path } => {
            with_accept(at(Code::GET, "", *path), Some(ContentFormat::LINK))
        }
        Operation::BootstrapWrite {
            path,
            format,
            payload,
        } => with_body(at(Code::PUT, "", *path), *format, payload.clone()),
        Operation::BootstrapDelete { path } => at(Code::DELETE, "", *path),
        Operation::BootstrapFinish => Request::new(Code::POST).with_path(BOOTSTRAP),
    }
}

fn at(code: Code, root: &str, path: Path) -> Request {
    let mut request = Request::new(code).with_path(root);
    for id in path.ids() {
        request
            .options
            .push(OptionNumber::URI_PATH, id.to_string().as_bytes());
    }
    request
}

fn with_accept(mut request: Request, accept: Option<ContentFormat>) -> Request {
    if let Some(format) = accept {
        request
            .options
            .push_uint(OptionNumber::ACCEPT, u32::from(format.0));
    }
    request
}

fn with_body(mut request: Request, format: ContentFormat, payload: Vec<u8>) -> Request {
    request
        .options
        .push_uint(OptionNumber::CONTENT_FORMAT, u32::from(format.0));
    request.with_payload(payload)
}

/// Reads what a Server or the Bootstrap-Server asks of a Client whose Objects lie under `root`.
pub(crate) fn decode_operation(
    request: &Request,
    interface: Interface,
    root: &str,
) -> Result<Operation, Violation> {
    let segments = segments(request)?;
    match interface {
        Interface::Management => management(request, below(root, &segments)?),
        Interface::Bootstrap => bootstrap(request, &segments),
    }
}

/// The path below the alternate path. Paths without it are accepted too: servers forget it.
fn below(root: &str, segments: &[&str]) -> Result<Path, Violation> {
    let root_length = root
        .split('/')
        .filter(|segment| !segment.is_empty())
        .count();
    let prefixed = segments.len() >= root_length
        && root
            .split('/')
            .filter(|segment| !segment.is_empty())
            .eq(segments[..root_length].iter().copied());
    let rest = if prefixed {
        &segments[root_length..]
    } else {
        segments
    };
    object_path(rest)
}

fn object_path(segments: &[&str]) -> Result<Path, Violation> {
    Path::from_segments(segments.iter().copied())
        .map_err(|error| refuse(ResponseCode::NotFound, error.to_string()))
}

fn accept(request: &Request) -> Option<ContentFormat> {
    request.options.view().accept().map(ContentFormat)
}

fn management(request: &Request, path: Path) -> Result<Operation, Violation> {
    match request.code {
        Code::GET => get(request, path),
        Code::PUT => put(request, path),
        Code::POST => post(request, path),
        Code::DELETE if path.level() == Level::Instance => Ok(Operation::Delete { path }),
        Code::DELETE => Err(method("only an Object Instance can be deleted")),
        _ => Err(method("LwM2M 1.0 knows no such method")),
    }
}

fn method(what: &str) -> Violation {
    refuse(ResponseCode::MethodNotAllowed, what)
}

fn get(request: &Request, path: Path) -> Result<Operation, Violation> {
    let accept = accept(request);
    match path.level() {
        Level::Root => return Err(method("the root cannot be read")),
        Level::ResourceInstance => {
            return Err(method("LwM2M 1.0 does not address Resource Instances"));
        }
        Level::Object | Level::Instance | Level::Resource => {}
    }
    match request.options.view().observe() {
        Some(0) => Ok(Operation::Observe { path, accept }),
        Some(1) => Ok(Operation::CancelObservation { path }),
        // Any other value is no registration (RFC 7641 §2): a plain Read.
        _ if accept == Some(ContentFormat::LINK) => Ok(Operation::Discover { path }),
        _ => Ok(Operation::Read { path, accept }),
    }
}

fn put(request: &Request, path: Path) -> Result<Operation, Violation> {
    let queries = texts(request, OptionNumber::URI_QUERY)?;
    let has_body = !request.payload.is_empty();
    if !queries.is_empty() {
        return write_attributes(path, &queries, has_body);
    }
    if content_format(request).is_none() && !has_body {
        return Err(refuse(
            ResponseCode::BadRequest,
            "neither attributes in the query nor a payload with Content-Format",
        ));
    }
    match path.level() {
        Level::Instance | Level::Resource => write(request, path, WriteMode::Replace),
        _ => Err(method(
            "only an Object Instance or a Resource can be replaced",
        )),
    }
}

fn write_attributes(path: Path, queries: &[&str], has_body: bool) -> Result<Operation, Violation> {
    if has_body {
        let what = "attributes in the query and a payload: which of the two is meant?";
        return Err(refuse(ResponseCode::BadRequest, what));
    }
    let attributes = dunlin_lwm2m::attribute::AttributesChange::parse(queries.iter().copied())
        .map_err(|error| refuse(ResponseCode::BadRequest, error.to_string()))?;
    match path.level() {
        Level::Root => Err(method("the root has no attributes")),
        _ => Ok(Operation::WriteAttributes { path, attributes }),
    }
}

fn write(request: &Request, path: Path, mode: WriteMode) -> Result<Operation, Violation> {
    let format = content_format(request)
        .ok_or_else(|| refuse(ResponseCode::BadRequest, "Content-Format is missing"))?;
    Ok(Operation::Write {
        path,
        mode,
        format,
        payload: request.payload.to_vec(),
    })
}

fn post(request: &Request, path: Path) -> Result<Operation, Violation> {
    match path.level() {
        Level::Object => {
            let format = content_format(request)
                .ok_or_else(|| refuse(ResponseCode::BadRequest, "Content-Format is missing"))?;
            let object = path.object_id().expect("an Object path has an Object");
            Ok(Operation::Create {
                object,
                format,
                payload: request.payload.to_vec(),
            })
        }
        Level::Instance => write(request, path, WriteMode::Partial),
        Level::Resource => execute(request, path),
        Level::Root | Level::ResourceInstance => Err(method(
            "only Objects, Object Instances and Resources can be posted to",
        )),
    }
}

fn execute(request: &Request, path: Path) -> Result<Operation, Violation> {
    match content_format(request) {
        None | Some(ContentFormat::TEXT | ContentFormat::OLD_TEXT) => {}
        Some(_) => {
            let what = "the arguments of an Execute are plain text";
            return Err(refuse(ResponseCode::UnsupportedContentFormat, what));
        }
    }
    let arguments = Arguments::decode(&request.payload)
        .map_err(|error| refuse(ResponseCode::BadRequest, error.to_string()))?;
    Ok(Operation::Execute { path, arguments })
}

fn bootstrap(request: &Request, segments: &[&str]) -> Result<Operation, Violation> {
    if request.code == Code::POST {
        return match segments {
            [BOOTSTRAP] => Ok(Operation::BootstrapFinish),
            _ => Err(method("in a bootstrap run only /bs is posted to")),
        };
    }
    let path = Path::from_segments(segments.iter().copied())
        .map_err(|error| refuse(ResponseCode::BadRequest, error.to_string()))?;
    match (request.code, path.level()) {
        (Code::GET, Level::Root | Level::Object)
            if accept(request) == Some(ContentFormat::LINK) =>
        {
            Ok(Operation::BootstrapDiscover { path })
        }
        (Code::GET, _) if accept(request) != Some(ContentFormat::LINK) => Err(method(
            "LwM2M 1.0 has no Bootstrap-Read: a Discover accepts link format (40)",
        )),
        (Code::PUT, Level::Object | Level::Instance | Level::Resource) => {
            let format = content_format(request)
                .ok_or_else(|| refuse(ResponseCode::BadRequest, "Content-Format is missing"))?;
            Ok(Operation::BootstrapWrite {
                path,
                format,
                payload: request.payload.to_vec(),
            })
        }
        (Code::DELETE, Level::Root | Level::Object | Level::Instance) => {
            Ok(Operation::BootstrapDelete { path })
        }
        (Code::GET | Code::PUT | Code::DELETE, _) => Err(refuse(
            ResponseCode::BadRequest,
            "no such target in a bootstrap run",
        )),
        _ => Err(method("a bootstrap run knows no such method")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use dunlin_lwm2m::attribute::{AttributesChange, Change};

    fn path(text: &str) -> Path {
        text.parse().unwrap()
    }

    #[test]
    fn ts_5_3_2_only_a_bare_update_of_a_registration_id_is_a_refresh() {
        let id = "0002JG00000000000000000000";
        let to = |path: &str| Request::new(Code::POST).with_path(path);
        let bare = to(&format!("/rd/{id}"));
        let location: [u8; LOCATION_LENGTH] = id.as_bytes().try_into().unwrap();
        assert_eq!(decode_refresh(&bare), Some(location));
        let lifetime = bare.clone().with(OptionNumber::URI_QUERY, b"lt=60");
        let links = bare.clone().with_payload(b"</1/0>");
        let deeper = to(&format!("/rd/{id}/1"));
        let mut other = bare.clone();
        other.code = Code::DELETE;
        let odd = [
            lifetime,
            links,
            deeper,
            other,
            to(id),
            to("/rd"),
            to("/rd/5"),
        ];
        for request in odd {
            assert_eq!(decode_refresh(&request), None, "{request:?}");
        }
        // Both ways say the same of it.
        let Ok(Uplink::Update(update)) = decode_uplink(&bare, Strictness::Strict) else {
            panic!("it is an Update");
        };
        assert!(update.is_refresh() && update.location == id);
    }

    fn operations() -> Vec<Operation> {
        let tlv = ContentFormat::TLV;
        vec![
            Operation::Read {
                path: path("/3/0/1"),
                accept: None,
            },
            Operation::Read {
                path: path("/3"),
                accept: Some(tlv),
            },
            Operation::Discover { path: path("/1/0") },
            Operation::Write {
                path: path("/1/0"),
                mode: WriteMode::Partial,
                format: tlv,
                payload: vec![1],
            },
            Operation::Write {
                path: path("/1/0/1"),
                mode: WriteMode::Replace,
                format: ContentFormat::TEXT,
                payload: b"60".to_vec(),
            },
            Operation::WriteAttributes {
                path: path("/3303/0/5700"),
                attributes: AttributesChange {
                    pmin_s: Change::Set(10),
                    gt: Change::Unset,
                    ..AttributesChange::default()
                },
            },
            Operation::Execute {
                path: path("/3/0/4"),
                arguments: Arguments::NONE,
            },
            Operation::Execute {
                path: path("/3/0/4"),
                arguments: Arguments::decode(b"0,2='10.3'").unwrap(),
            },
            Operation::Create {
                object: 2.into(),
                format: tlv,
                payload: vec![],
            },
            Operation::Delete { path: path("/2/7") },
        ]
    }

    #[test]
    fn ts_8_2_5_every_operation_comes_back_as_itself_under_any_root() {
        for operation in operations() {
            for root in ["", "lwm2m", "/a/b"] {
                let request = encode_operation(&operation, root);
                assert_eq!(
                    decode_operation(&request, Interface::Management, root),
                    Ok(operation.clone())
                );
            }
        }
    }

    #[test]
    fn ts_8_2_3_every_bootstrap_operation_comes_back_as_itself() {
        for operation in [
            Operation::BootstrapDiscover { path: Path::ROOT },
            Operation::BootstrapDiscover { path: path("/0") },
            Operation::BootstrapWrite {
                path: path("/0/1"),
                format: ContentFormat::TLV,
                payload: vec![9],
            },
            Operation::BootstrapDelete { path: Path::ROOT },
            Operation::BootstrapDelete { path: path("/1/0") },
            Operation::BootstrapFinish,
        ] {
            let request = encode_operation(&operation, "ignored");
            assert_eq!(
                decode_operation(&request, Interface::Bootstrap, "ignored"),
                Ok(operation)
            );
        }
    }

    #[test]
    fn ts_8_2_6_observe_0_and_1_are_told_from_a_read() {
        let get = || Request::new(Code::GET).with_path("3/0/9");
        let with = |observe: u8| get().with(OptionNumber::OBSERVE, &[observe]);
        let decode = |request| decode_operation(&request, Interface::Management, "").unwrap();
        let at = path("/3/0/9");
        assert_eq!(
            decode(get()),
            Operation::Read {
                path: at,
                accept: None
            }
        );
        let zero = get().with(OptionNumber::OBSERVE, &[]);
        assert_eq!(
            decode(zero),
            Operation::Observe {
                path: at,
                accept: None
            }
        );
        assert_eq!(decode(with(1)), Operation::CancelObservation { path: at });
        assert_eq!(
            decode(with(2)),
            Operation::Read {
                path: at,
                accept: None
            }
        );
    }

    fn refused(request: Request, interface: Interface) -> ResponseCode {
        decode_operation(&request, interface, "").unwrap_err().code
    }

    #[test]
    fn ts_8_5_what_is_no_operation_is_refused_with_the_right_code() {
        use ResponseCode::{BadRequest, MethodNotAllowed, NotFound, UnsupportedContentFormat};
        let at = |code, path: &str| Request::new(code).with_path(path);
        let text = |request: Request| request.with(OptionNumber::CONTENT_FORMAT, &[]);
        for (request, code) in [
            (at(Code::GET, "/"), MethodNotAllowed),
            (at(Code::GET, "/3/0/1/0"), MethodNotAllowed),
            (at(Code::GET, "/3/x"), NotFound),
            (at(Code::GET, "/3/65536"), NotFound),
            (at(Code::GET, "/1/2/3/4/5"), NotFound),
            (at(Code::GET, "/1/2/3/4/5/6/7/8/9"), NotFound),
            (at(Code::PUT, "/3/0/1"), BadRequest),
            (at(Code::PUT, "/3/0/1").with_payload(b"x"), BadRequest),
            (
                text(at(Code::PUT, "/3")).with_payload(b"x"),
                MethodNotAllowed,
            ),
            (
                at(Code::PUT, "/3/0/1").with(OptionNumber::URI_QUERY, b"pmin=x"),
                BadRequest,
            ),
            (
                at(Code::PUT, "/3")
                    .with(OptionNumber::URI_QUERY, b"pmin=1")
                    .with_payload(b"x"),
                BadRequest,
            ),
            (
                at(Code::PUT, "/3").with(OptionNumber::URI_QUERY, &[0xff]),
                BadRequest,
            ),
            (at(Code::POST, "/3"), BadRequest),
            (at(Code::POST, "/"), MethodNotAllowed),
            (at(Code::POST, "/3/0/4").with_payload(b"0='"), BadRequest),
            (
                at(Code::POST, "/3/0/4").with(OptionNumber::CONTENT_FORMAT, &[42]),
                UnsupportedContentFormat,
            ),
            (at(Code::DELETE, "/3"), MethodNotAllowed),
            (at(Code::DELETE, "/3/0/1"), MethodNotAllowed),
            (at(Code::FETCH, "/3"), MethodNotAllowed),
        ] {
            let shown = alloc::format!("{request:?}");
            assert_eq!(refused(request, Interface::Management), code, "{shown}");
        }
        for (request, code) in [
            (at(Code::GET, "/3"), MethodNotAllowed),
            (at(Code::GET, "/3/0/1"), MethodNotAllowed),
            (
                at(Code::GET, "/3/0").with(OptionNumber::ACCEPT, &[40]),
                BadRequest,
            ),
            (at(Code::PUT, "/"), BadRequest),
            (at(Code::PUT, "/0/0"), BadRequest),
            (at(Code::POST, "/3"), MethodNotAllowed),
            (at(Code::DELETE, "/3/0/1"), BadRequest),
        ] {
            let shown = alloc::format!("{request:?}");
            assert_eq!(refused(request, Interface::Bootstrap), code, "{shown}");
        }
    }

    fn uplink(request: &Request) -> Result<Uplink, Violation> {
        decode_uplink(request, Strictness::Lenient)
    }

    fn post(path: &str, queries: &[&str]) -> Request {
        let request = Request::new(Code::POST).with_path(path);
        queries.iter().fold(request, |request, query| {
            request.with(OptionNumber::URI_QUERY, query.as_bytes())
        })
    }

    #[test]
    fn ts_8_2_4_the_registration_interface_is_told_apart_by_method_and_path() {
        let links = |request: Request| {
            request
                .with(OptionNumber::CONTENT_FORMAT, &[40])
                .with_payload(b"</1/0>,</3/0>")
        };
        let register = uplink(&links(post("rd", &["ep=a", "lt=60", "lwm2m=1.0"]))).unwrap();
        let Uplink::Register(register) = register else {
            panic!("{register:?}")
        };
        assert_eq!(register.endpoint.as_str(), "a");
        assert_eq!(
            uplink(&encode_register(&register)),
            Ok(Uplink::Register(register))
        );

        let update = uplink(&post("rd/X", &["lt=90"])).unwrap();
        let Uplink::Update(update) = update else {
            panic!("{update:?}")
        };
        assert_eq!(
            (update.location.as_str(), update.lifetime_s),
            ("X", Some(90))
        );
        let again = encode_update(&["rd".into(), "X".into()], &update);
        assert_eq!(uplink(&again), Ok(Uplink::Update(update)));

        let leave = uplink(&encode_deregister(&["rd".into(), "X".into()])).unwrap();
        assert_eq!(
            leave,
            Uplink::Deregister(Deregister {
                location: "X".into()
            })
        );
        let Ok(Uplink::BootstrapRequest(asked)) = uplink(&post("bs", &["ep=a"])) else {
            panic!()
        };
        assert_eq!(
            uplink(&encode_bootstrap_request(&asked)),
            Ok(Uplink::BootstrapRequest(asked))
        );
    }

    #[test]
    fn quirks_45_and_46_old_spellings_of_update_are_read_unless_strict() {
        let id = "0123456789ABCDEFGHJKMNPQRS";
        let put = Request::new(Code::PUT).with_path("rd/X");
        for (request, location) in [(put, "X"), (post(id, &[]), id), (post("rd", &[]), "")] {
            let Ok(Uplink::Update(update)) = uplink(&request) else {
                panic!("{request:?}")
            };
            assert_eq!(update.location, location);
            assert!(
                decode_uplink(&request, Strictness::Strict).is_err(),
                "{request:?}"
            );
        }
    }

    #[test]
    fn what_is_not_ours_is_not_found() {
        for (request, code) in [
            (post(".well-known/core", &[]), ResponseCode::NotFound),
            (
                Request::new(Code::GET).with_path("rd"),
                ResponseCode::MethodNotAllowed,
            ),
            (post("rd/a/b", &[]), ResponseCode::NotFound),
            (post("rd", &["ep="]), ResponseCode::BadRequest),
        ] {
            assert_eq!(uplink(&request).unwrap_err().code, code, "{request:?}");
        }
    }
}
