//! From the parts of an HTTP request to types, with problems that say which part is at fault.
//!
//! axum's own extractors answer with plain texts; these answer with [`Problem`]s, and refuse a query parameter that a
//! route does not know, because a misspelt `timeout_s` that is ignored is worse than an error.

use std::str::FromStr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use data_encoding::BASE64URL_NOPAD;
use dunlin_lwm2m::ContentFormat;
use dunlin_lwm2m::EndpointName;
use dunlin_lwm2m::Path;
use serde_json::Value as Json;

use crate::backend::OperateSettings;
use crate::error::{Code, Problem};

/// The longest that `timeout_s` may ask for: 30 days, longer than any sensible lifetime.
pub(crate) const TIMEOUT_S_MAX: u64 = 30 * 86_400;

/// Things on a page unless `limit` says otherwise.
const PAGE: usize = 100;

/// The most that `limit` may ask for: about a megabyte of JSON.
const PAGE_MAX: usize = 1000;

/// Query parameters of one request; none of ours has more than a dozen.
const PARAMS_MAX: usize = 64;

/// The Client and the path that a route speaks of: `{ep}`, and `{o}`, `{i}`, `{r}` as far as the route has them.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) endpoint: EndpointName,
    pub(crate) path: Path,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Target, Problem> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| {
                Problem::new(
                    Code::EndpointInvalid,
                    "The percent-encoded path is not UTF-8.",
                )
            })?;
        let mut endpoint = None;
        let mut ids = Vec::with_capacity(3);
        for (name, text) in &params {
            if name == "ep" {
                endpoint = Some(parse_endpoint(text)?);
            } else {
                ids.push(parse_id(text)?);
            }
        }
        let endpoint = endpoint.expect("every route with a target has {ep}");
        let path = Path::from_ids(&ids).expect("a route has at most four ids");
        Ok(Target { endpoint, path })
    }
}

/// One segment of an LwM2M path: plain digits, and not 65535, which stands for nothing.
fn parse_id(text: &str) -> Result<u16, Problem> {
    let plain =
        !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    match text.parse::<u16>() {
        Ok(id) if plain && canonical && id != u16::MAX => Ok(id),
        _ => Err(Problem::new(
            Code::PathInvalid,
            format!(
                "\"{}\" is not an id of an object, instance or resource.",
                excerpt(text)
            ),
        )),
    }
}

/// An endpoint name as it stands in a path: decoded already, or `~` and base64url.
pub(crate) fn parse_endpoint(text: &str) -> Result<EndpointName, Problem> {
    let refuse = |detail: String| Problem::new(Code::EndpointInvalid, detail);
    let decoded;
    let name = match text.strip_prefix('~') {
        None => text,
        Some(encoded) => {
            let bytes = BASE64URL_NOPAD
                .decode(encoded.trim_end_matches('=').as_bytes())
                .map_err(|_| refuse("What follows ~ is not base64url.".into()))?;
            decoded = String::from_utf8(bytes)
                .map_err(|_| refuse("What follows ~ is not UTF-8 in base64url.".into()))?;
            decoded.as_str()
        }
    };
    EndpointName::new(name).map_err(|error| refuse(format!("\"{}\": {error}.", excerpt(name))))
}

/// An endpoint name or an id as one segment of a path: percent-encoded, or `~` and base64url where proxies would take it
/// apart.
pub fn segment(text: &str) -> String {
    if text.contains('/') || text.starts_with('~') || text.bytes().all(|byte| byte == b'.') {
        return format!("~{}", BASE64URL_NOPAD.encode(text.as_bytes()));
    }
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The beginning of a text that someone sent, fit for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut short: String = text
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().count() > CHARS_MAX {
        short.push('…');
    }
    short
}

/// The query parameters: each is taken out by name, and [`Params::finish`] refuses what is left.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params, Problem> {
        Params::parse(parts.uri.query().unwrap_or(""))
    }
}

impl Params {
    pub(crate) fn parse(query: &str) -> Result<Params, Problem> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .take(PARAMS_MAX + 1)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if pairs.len() > PARAMS_MAX {
            let detail = format!("There are more than {PARAMS_MAX} query parameters.");
            return Err(Problem::new(Code::QueryInvalid, detail));
        }
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(fault(name, format!("\"{}\" stands twice.", excerpt(name))));
            }
        }
        Ok(Params { pairs })
    }

    /// The value of this name, as text.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(other, _)| other == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// The value of this name, parsed; `expected` says what it should be.
    pub(crate) fn take_parsed<T: FromStr>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(fault(
                name,
                format!("\"{}\" is not {expected}.", excerpt(&text)),
            )),
        }
    }

    /// The value of this name as a truth.
    pub(crate) fn take_bool(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("true" | "1" | "") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(text) => Err(fault(
                name,
                format!("\"{}\" is neither true nor false.", excerpt(text)),
            )),
        }
    }

    /// `limit`: how many things on a page.
    pub(crate) fn take_limit(&mut self) -> Result<usize, Problem> {
        let expected = "a number from 1 to 1000";
        let limit = self.take_parsed("limit", expected)?.unwrap_or(PAGE);
        if limit == 0 || limit > PAGE_MAX {
            return Err(fault("limit", format!("{limit} is not {expected}.")));
        }
        Ok(limit)
    }

    /// `format`: the name of a content format, or its number.
    pub(crate) fn take_format(&mut self) -> Result<Option<ContentFormat>, Problem> {
        let Some(text) = self.take("format") else {
            return Ok(None);
        };
        let format =
            ContentFormat::from_name(&text).or_else(|| text.parse().ok().map(ContentFormat));
        format.map(Some).ok_or_else(|| {
            fault(
                "format",
                format!("\"{}\" is not a content format.", excerpt(&text)),
            )
        })
    }

    /// `timeout_s` and `wait`.
    pub(crate) fn take_settings(&mut self) -> Result<OperateSettings, Problem> {
        let expected = "a number of seconds from 1 to 2592000";
        let seconds: Option<u64> = self.take_parsed("timeout_s", expected)?;
        if seconds.is_some_and(|seconds| seconds == 0 || seconds > TIMEOUT_S_MAX) {
            return Err(fault("timeout_s", format!("timeout_s must be {expected}.")));
        }
        let wait = self.take_bool("wait")?.unwrap_or(true);
        Ok(OperateSettings {
            timeout: seconds.map(Duration::from_secs),
            wait,
        })
    }

    /// All that is left, in order.
    pub(crate) fn into_rest(self) -> Vec<(String, String)> {
        self.pairs
    }

    /// Refuses a parameter that nobody has taken.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => Err(fault(
                name,
                format!("This route has no parameter \"{}\".", excerpt(name)),
            )),
        }
    }
}

/// A problem with one query parameter.
pub(crate) fn fault(name: &str, detail: String) -> Problem {
    Problem::new(Code::QueryInvalid, detail).at_field(excerpt(name))
}

/// The body, whatever it is; a body over the route's limit is a problem.
#[derive(Debug)]
pub(crate) struct Body(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body, Problem> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Body(bytes)),
            Err(rejection) if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::new(
                    Code::BodyTooLarge,
                    "The body is larger than this route takes.",
                ))
            }
            Err(_) => Err(Problem::new(
                Code::BodyInvalid,
                "The body ended before it was complete.",
            )),
        }
    }
}

impl Body {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Json, Problem> {
        if self.0.is_empty() {
            return Err(Problem::new(Code::JsonInvalid, "The body is empty.").at_place(1, 1));
        }
        serde_json::from_slice(&self.0).map_err(|error| {
            let mut detail = error.to_string();
            // serde_json appends the place, which has members of its own.
            if let Some(at) = detail.rfind(" at line ") {
                detail.truncate(at);
            }
            Problem::new(Code::JsonInvalid, format!("{detail}."))
                .at_place(error.line() as u64, error.column() as u64)
        })
    }

    /// The body as JSON; an empty one is an empty object.
    pub(crate) fn json_or_empty(&self) -> Result<Json, Problem> {
        if self.0.is_empty() {
            Ok(Json::Object(serde_json::Map::new()))
        } else {
            self.json()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_plain_or_as_base64url() {
        assert_eq!(parse_endpoint("urn:imei:1").unwrap().as_str(), "urn:imei:1");
        assert_eq!(parse_endpoint("~Li4").unwrap().as_str(), "..");
        assert_eq!(parse_endpoint("~YS9i").unwrap().as_str(), "a/b");
        assert_eq!(parse_endpoint("~YS9iYw==").unwrap().as_str(), "a/bc");
        for text in ["", "~", "~%", "~_w", &"x".repeat(253)] {
            assert_eq!(
                parse_endpoint(text).unwrap_err().code,
                Code::EndpointInvalid,
                "{text}"
            );
        }
    }

    #[test]
    fn ids_are_plain_numbers() {
        assert_eq!(parse_id("0").unwrap(), 0);
        assert_eq!(parse_id("65534").unwrap(), 65534);
        for text in [
            "",
            "x",
            "-1",
            "+1",
            "01",
            "65535",
            "65536",
            "1 ",
            "99999999999",
        ] {
            assert_eq!(
                parse_id(text).unwrap_err().code,
                Code::PathInvalid,
                "{text}"
            );
        }
    }

    #[test]
    fn settings_have_limits_and_unknown_parameters_are_refused() {
        let mut params = Params::parse("timeout_s=5&wait=0").unwrap();
        assert_eq!(
            params.take_settings().unwrap(),
            OperateSettings {
                timeout: Some(Duration::from_secs(5)),
                wait: false
            }
        );
        assert!(params.finish().is_ok());
        for query in [
            "timeout_s=0",
            "timeout_s=x",
            "timeout_s=2592001",
            "timeout_s=",
            "wait=maybe",
        ] {
            let problem = Params::parse(query).unwrap().take_settings().unwrap_err();
            assert_eq!(problem.code, Code::QueryInvalid, "{query}");
            assert!(problem.field().is_some());
        }
        let problem = Params::parse("timeuot_s=5").unwrap().finish().unwrap_err();
        assert_eq!(problem.field(), Some("timeuot_s"));
        assert!(Params::parse("a=1&a=2").is_err());
        assert!(Params::parse(&"a&".repeat(65)).is_err());
    }

    #[test]
    fn formats_have_names_and_numbers() {
        let format = |query: &str| Params::parse(query).unwrap().take_format();
        assert_eq!(format("format=tlv"), Ok(Some(ContentFormat::TLV)));
        assert_eq!(format("format=11543"), Ok(Some(ContentFormat::JSON)));
        assert_eq!(format(""), Ok(None));
        assert!(format("format=xml").is_err());
    }

    #[test]
    fn faults_of_json_have_a_place() {
        let problem = Body(Bytes::from_static(b"{\n \"value\": tru }"))
            .json()
            .unwrap_err();
        assert_eq!(problem.code, Code::JsonInvalid);
        assert_eq!(problem.particulars.as_ref().unwrap().place, Some((2, 14)));
        assert!(!problem.detail.contains("line"));
        assert_eq!(
            Body(Bytes::new()).json().unwrap_err().code,
            Code::JsonInvalid
        );
        assert_eq!(
            Body(Bytes::new()).json_or_empty().unwrap(),
            serde_json::json!({})
        );
    }
}
