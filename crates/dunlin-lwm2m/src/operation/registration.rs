//! Register, Update and De-register (TS 5.3), read from their parameters as tolerantly as the
//! Server wants ([`Strictness`]) and written as the standard says.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use super::response::ResponseCode;
use crate::content_format::ContentFormat;
use crate::deviation::{Deviation, Deviations};
use crate::id::{EndpointName, EndpointNameError};
use crate::link::{LinkError, ObjectLinks, ParsedLinks};
use crate::version::LwM2mVersion;

/// The lifetime of a Register that states none: the default of the drafts, which many devices
/// rely on.
pub const LIFETIME_S_DEFAULT: u32 = 86_400;

/// More unknown parameters than this are not kept. Operators' profiles add two or three.
pub const PARAMETERS_MAX: usize = 16;

/// Unknown parameters are kept up to this many bytes of names and values together, so that no
/// Client can fill the registrations of a Server.
pub const PARAMETER_BYTES_MAX: usize = 1_024;

/// The longest MSISDN (E.164 has 15 digits; some operators use more for machines).
pub const SMS_NUMBER_DIGITS_MAX: usize = 20;

/// A binding mode longer than this is none in any version.
pub const BINDING_BYTES_MAX: usize = 16;

/// What becomes of a request that is understood and yet not what the standard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// It is accepted, and the deviation is noted.
    #[default]
    Lenient,
    /// It is refused with the code of TS 8.5.
    Strict,
}

/// How and when a Client can be reached, the six modes of 1.0 (TS 5.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Binding {
    /// UDP, any time; what is meant where nothing is said.
    #[default]
    U,
    /// UDP, when the Client is online.
    UQ,
    /// SMS, any time.
    S,
    /// SMS, when the Client is online.
    SQ,
    /// UDP or SMS, any time.
    US,
    /// UDP when the Client is online, SMS any time.
    UQS,
}

impl Binding {
    /// All modes.
    pub const ALL: [Self; 6] = [Self::U, Self::UQ, Self::S, Self::SQ, Self::US, Self::UQS];

    /// As it stands in `b=` and in `/1/x/7`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::U => "U",
            Self::UQ => "UQ",
            Self::S => "S",
            Self::SQ => "SQ",
            Self::US => "US",
            Self::UQS => "UQS",
        }
    }

    /// Reads one of the six modes, exactly.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|binding| binding.as_str() == text)
    }

    /// Reads what devices send instead: lower case, letters in another order, a Q on both
    /// bearers, nothing at all, bearers of later versions beside one of ours.
    pub fn parse_tolerant(text: &str) -> Option<Self> {
        if text.len() > BINDING_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return None;
        }
        let has = |letter: char| text.contains([letter, letter.to_ascii_lowercase()]);
        Some(match (has('U'), has('S'), has('Q')) {
            (true, true, true) => Self::UQS,
            (true, true, false) => Self::US,
            (true, false, true) => Self::UQ,
            (true, false, false) => Self::U,
            (false, true, true) => Self::SQ,
            (false, true, false) => Self::S,
            // Nothing, or queue mode on the default bearer.
            (false, false, true) if text.len() == 1 => Self::UQ,
            (false, false, false) if text.is_empty() => Self::U,
            (false, false, _) => return None,
        })
    }

    /// Whether requests go over UDP.
    pub const fn has_udp(self) -> bool {
        matches!(self, Self::U | Self::UQ | Self::US | Self::UQS)
    }

    /// Whether requests go by SMS.
    pub const fn has_sms(self) -> bool {
        matches!(self, Self::S | Self::SQ | Self::US | Self::UQS)
    }

    /// Whether the Client sleeps, and requests wait for it (TS 8.3).
    pub const fn queues(self) -> bool {
        matches!(self, Self::UQ | Self::SQ | Self::UQS)
    }

    /// The same with queue mode.
    #[must_use]
    pub const fn with_queue(self) -> Self {
        match self {
            Self::U | Self::UQ => Self::UQ,
            Self::S | Self::SQ => Self::SQ,
            Self::US | Self::UQS => Self::UQS,
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number of a Client for SMS: an MSISDN, digits without a plus sign (TS 5.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SmsNumber(String);

impl SmsNumber {
    /// Takes 1 to [`SMS_NUMBER_DIGITS_MAX`] digits.
    pub fn new(digits: &str) -> Option<Self> {
        let fits = (1..=SMS_NUMBER_DIGITS_MAX).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| Self(digits.into()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SmsNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Client is there, and what it has (TS 5.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Who.
    pub endpoint: EndpointName,
    /// How long the registration holds without an Update, in seconds.
    pub lifetime_s: u32,
    /// Which enabler it speaks. Whether we do is for the Server to say (4.12).
    pub version: LwM2mVersion,
    /// How it is reached.
    pub binding: Binding,
    /// Its number for SMS.
    pub sms_number: Option<SmsNumber>,
    /// Its Objects and instances.
    pub links: ObjectLinks,
    /// Parameters that 1.0 does not know, in their order.
    pub parameters: Vec<(String, String)>,
    /// What was tolerated.
    pub deviations: Deviations,
}

/// A Client is still there; what is `None` has not changed (TS 5.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// The registration: the last segment of the location we gave, empty if the Client wrote to
    /// the registration interface itself.
    pub location: String,
    /// The new lifetime in seconds.
    pub lifetime_s: Option<u32>,
    /// The new binding.
    pub binding: Option<Binding>,
    /// The new number for SMS.
    pub sms_number: Option<SmsNumber>,
    /// The complete new list of Objects and instances.
    pub links: Option<ObjectLinks>,
    /// Whether that list says where the Objects are; if not, see [`Update::links_after`].
    pub root_stated: bool,
    /// Parameters that 1.0 does not know, in their order.
    pub parameters: Vec<(String, String)>,
    /// What was tolerated.
    pub deviations: Deviations,
}

/// A Client is leaving (TS 5.3.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deregister {
    /// The registration: the last segment of the location we gave.
    pub location: String,
}

impl Register {
    /// From the Uri-Query options, one `key=value` each, and the payload.
    pub fn parse<'a>(
        queries: impl IntoIterator<Item = &'a str>,
        format: Option<ContentFormat>,
        payload: &[u8],
        strictness: Strictness,
    ) -> Result<Self, RegistrationError> {
        let mut read = Parameters::read(queries, strictness)?;
        let endpoint = read
            .endpoint
            .ok_or(RegistrationError::Missing { key: "ep" })?;
        let endpoint = EndpointName::new(endpoint)?;
        let lifetime_s = match read.lifetime_s {
            Some(lifetime_s) => lifetime_s,
            None => {
                read.tolerate(
                    Deviation::LifetimeMissing,
                    RegistrationError::Missing { key: "lt" },
                )?;
                LIFETIME_S_DEFAULT
            }
        };
        let version = match read.version {
            Some(version) => version,
            None => {
                let missing = RegistrationError::Missing { key: "lwm2m" };
                read.tolerate(Deviation::VersionMissing, missing)?;
                LwM2mVersion::V1_0
            }
        };
        let parsed = read.read_links(format, payload)?;
        let binding = read.binding.unwrap_or_default();
        Ok(Self {
            endpoint,
            lifetime_s,
            version,
            binding: if read.queue {
                binding.with_queue()
            } else {
                binding
            },
            sms_number: read.sms_number,
            links: parsed.links,
            parameters: read.kept,
            deviations: read.deviations,
        })
    }

    /// The Uri-Query options that say this.
    pub fn queries(&self) -> Vec<String> {
        let mut queries = Vec::with_capacity(5 + self.parameters.len());
        queries.push(alloc::format!("ep={}", self.endpoint));
        queries.push(alloc::format!("lt={}", self.lifetime_s));
        queries.push(alloc::format!("lwm2m={}", self.version));
        queries.push(alloc::format!("b={}", self.binding));
        queries.extend(
            self.sms_number
                .iter()
                .map(|number| alloc::format!("sms={number}")),
        );
        queries.extend(self.parameters.iter().map(query));
        queries
    }

    /// The payload, in link format.
    pub fn payload(&self) -> Vec<u8> {
        self.links.to_string().into_bytes()
    }
}

impl Update {
    /// From the last segment of the path, the Uri-Query options, and the payload if there is one.
    pub fn parse<'a>(
        location: &str,
        queries: impl IntoIterator<Item = &'a str>,
        format: Option<ContentFormat>,
        payload: &[u8],
        strictness: Strictness,
    ) -> Result<Self, RegistrationError> {
        let mut read = Parameters::read(queries, strictness)?;
        for (key, given) in [
            ("ep", read.endpoint.is_some()),
            ("lwm2m", read.version.is_some()),
        ] {
            if given {
                read.tolerate(
                    Deviation::UpdateParameter,
                    RegistrationError::Unknown { key: key.into() },
                )?;
            }
        }
        let parsed = match payload {
            [] => None,
            payload => Some(read.read_links(format, payload)?),
        };
        let binding = match (read.binding, read.queue) {
            (Some(binding), true) => Some(binding.with_queue()),
            (binding, _) => binding,
        };
        Ok(Self {
            location: location.into(),
            lifetime_s: read.lifetime_s,
            binding,
            sms_number: read.sms_number,
            root_stated: parsed.as_ref().is_some_and(|parsed| parsed.root_stated),
            links: parsed.map(|parsed| parsed.links),
            parameters: read.kept,
            deviations: read.deviations,
        })
    }

    /// Whether nothing is told but that the Client is there.
    pub fn is_refresh(&self) -> bool {
        self.lifetime_s.is_none()
            && self.binding.is_none()
            && self.sms_number.is_none()
            && self.links.is_none()
            && self.parameters.is_empty()
    }

    /// The list after this Update, if it brings one, given the list before: an alternate path
    /// that is not stated anew stays.
    pub fn links_after(&self, before: &ObjectLinks) -> Option<ObjectLinks> {
        let links = self.links.as_ref()?;
        if self.root_stated || !links.root().is_empty() || before.root().is_empty() {
            return Some(links.clone());
        }
        Some(
            links
                .with_root(before.root())
                .expect("a root that was accepted is accepted"),
        )
    }

    /// The Uri-Query options that say this.
    pub fn queries(&self) -> Vec<String> {
        let mut queries = Vec::new();
        queries.extend(
            self.lifetime_s
                .iter()
                .map(|seconds| alloc::format!("lt={seconds}")),
        );
        queries.extend(
            self.binding
                .iter()
                .map(|binding| alloc::format!("b={binding}")),
        );
        queries.extend(
            self.sms_number
                .iter()
                .map(|number| alloc::format!("sms={number}")),
        );
        queries.extend(self.parameters.iter().map(query));
        queries
    }

    /// The payload, in link format; empty if the list has not changed.
    pub fn payload(&self) -> Vec<u8> {
        self.links
            .as_ref()
            .map(|links| links.to_string().into_bytes())
            .unwrap_or_default()
    }
}

pub(super) fn query((key, value): &(String, String)) -> String {
    if value.is_empty() {
        key.clone()
    } else {
        alloc::format!("{key}={value}")
    }
}

/// The parameters of a request on the registration interface, as far as they are read.
#[derive(Default)]
pub(super) struct Parameters<'a> {
    endpoint: Option<&'a str>,
    lifetime_s: Option<u32>,
    version: Option<LwM2mVersion>,
    binding: Option<Binding>,
    queue: bool,
    sms_number: Option<SmsNumber>,
    pub(super) kept: Vec<(String, String)>,
    kept_bytes: usize,
    pub(super) deviations: Deviations,
    strictness: Strictness,
}

impl<'a> Parameters<'a> {
    fn read(
        queries: impl IntoIterator<Item = &'a str>,
        strictness: Strictness,
    ) -> Result<Self, RegistrationError> {
        let mut read = Self {
            strictness,
            ..Self::default()
        };
        let mut seen = [false; 5];
        for query in queries {
            let (key, value) = query.split_once('=').unwrap_or((query, ""));
            let known = ["ep", "lt", "lwm2m", "b", "sms"]
                .iter()
                .position(|name| *name == key);
            if let Some(index) = known
                && core::mem::replace(&mut seen[index], true)
            {
                // Two names are two Clients: that is never a matter of spelling.
                if key == "ep" {
                    return Err(RegistrationError::Twice { key: "ep" });
                }
                let key = ["ep", "lt", "lwm2m", "b", "sms"][index];
                read.tolerate(Deviation::ParameterTwice, RegistrationError::Twice { key })?;
            }
            read.read_one(key, value)?;
        }
        Ok(read)
    }

    fn read_one(&mut self, key: &str, value: &'a str) -> Result<(), RegistrationError> {
        match key {
            "ep" => self.endpoint = Some(value),
            "lt" => self.lifetime_s = Some(self.read_lifetime(value)?),
            "lwm2m" => self.version = Some(self.read_version(value)?),
            "b" => self.binding = Some(self.read_binding(value)?),
            "sms" => self.sms_number = self.read_sms_number(value)?,
            // Queue mode as 1.1 asks for it; a Client that says it means it.
            "Q" | "q" if self.strictness == Strictness::Lenient => {
                self.deviations.insert(Deviation::QueueParameter);
                self.queue = !value.eq_ignore_ascii_case("false") && value != "0";
            }
            _ => {
                if !self.keep(key, value, self.strictness) {
                    return Err(RegistrationError::Unknown { key: shorten(key) });
                }
            }
        }
        Ok(())
    }

    /// Keeps a parameter that we do not know; `false` if that is not wanted.
    pub(super) fn keep(&mut self, key: &str, value: &str, strictness: Strictness) -> bool {
        if strictness == Strictness::Strict {
            return false;
        }
        let bytes = self.kept_bytes + key.len() + value.len();
        if self.kept.len() == PARAMETERS_MAX || bytes > PARAMETER_BYTES_MAX {
            self.deviations.insert(Deviation::ParametersDropped);
        } else {
            self.kept_bytes = bytes;
            self.kept.push((key.into(), value.into()));
            self.deviations.insert(Deviation::ParameterUnknown);
        }
        true
    }

    fn tolerate(
        &mut self,
        deviation: Deviation,
        otherwise: RegistrationError,
    ) -> Result<(), RegistrationError> {
        match self.strictness {
            Strictness::Lenient => {
                self.deviations.insert(deviation);
                Ok(())
            }
            Strictness::Strict => Err(otherwise),
        }
    }

    fn read_lifetime(&mut self, text: &str) -> Result<u32, RegistrationError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(seconds) if digits && seconds > 0 => Ok(u32::try_from(seconds).unwrap_or(u32::MAX)),
            // Longer than 2^64 seconds is as good as the longest we have.
            Err(_) if digits => Ok(u32::MAX),
            Ok(_) | Err(_) => {
                self.tolerate(Deviation::LifetimeInvalid, RegistrationError::Lifetime)?;
                Ok(LIFETIME_S_DEFAULT)
            }
        }
    }

    fn read_version(&mut self, text: &str) -> Result<LwM2mVersion, RegistrationError> {
        if let Ok(version) = text.parse() {
            return Ok(version);
        }
        let two = text.rsplit_once('.').map(|(two, _)| two.parse());
        match two {
            Some(Ok(version)) => {
                self.tolerate(Deviation::VersionWithPatch, RegistrationError::Version)?;
                Ok(version)
            }
            Some(Err(_)) | None => Err(RegistrationError::Version),
        }
    }

    fn read_binding(&mut self, text: &str) -> Result<Binding, RegistrationError> {
        if let Some(binding) = Binding::parse(text) {
            return Ok(binding);
        }
        self.tolerate(Deviation::BindingSpelling, RegistrationError::Binding)?;
        Binding::parse_tolerant(text).ok_or(RegistrationError::Binding)
    }

    /// A number that is none (`sms=null` has been seen) is no reason to refuse a Client.
    fn read_sms_number(&mut self, text: &str) -> Result<Option<SmsNumber>, RegistrationError> {
        if let Some(number) = SmsNumber::new(text) {
            return Ok(Some(number));
        }
        self.tolerate(Deviation::SmsNumberSpelling, RegistrationError::SmsNumber)?;
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        Ok(SmsNumber::new(&digits))
    }

    fn read_links(
        &mut self,
        format: Option<ContentFormat>,
        payload: &[u8],
    ) -> Result<ParsedLinks, RegistrationError> {
        if format != Some(ContentFormat::LINK) {
            self.tolerate(Deviation::LinksFormat, RegistrationError::LinksFormat)?;
        }
        let parsed = ObjectLinks::parse(payload)?;
        self.deviations.extend(parsed.deviations);
        Ok(parsed)
    }
}

/// What a peer sent, short enough for a message.
fn shorten(text: &str) -> String {
    text.chars().take(32).collect()
}

/// Why a Register or Update is refused; the answer is 4.00 (TS 8.5).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// A parameter that must be there is not.
    #[error("the parameter {key} is missing")]
    Missing {
        /// Which.
        key: &'static str,
    },
    /// A parameter that 1.0 does not know, or that does not belong into an Update.
    #[error("the parameter {key} is not one of this operation")]
    Unknown {
        /// Which.
        key: String,
    },
    /// A parameter is there twice.
    #[error("the parameter {key} is given twice")]
    Twice {
        /// Which.
        key: &'static str,
    },
    /// `ep` is no name.
    #[error(transparent)]
    Endpoint(#[from] EndpointNameError),
    /// `lt` is no positive number.
    #[error("the lifetime (lt) must be a positive number of seconds")]
    Lifetime,
    /// `lwm2m` is no version.
    #[error("the version (lwm2m) must be two numbers with a dot")]
    Version,
    /// `b` is none of the six modes.
    #[error("the binding (b) must be one of U, UQ, S, SQ, US, UQS")]
    Binding,
    /// `sms` is no number.
    #[error("the SMS number (sms) must be 1 to {SMS_NUMBER_DIGITS_MAX} digits")]
    SmsNumber,
    /// The payload is not said to be links.
    #[error("the payload must have the content format of links (40)")]
    LinksFormat,
    /// The payload cannot be used.
    #[error(transparent)]
    Links(#[from] LinkError),
}

impl RegistrationError {
    /// What to answer.
    pub const fn code(&self) -> ResponseCode {
        ResponseCode::BadRequest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: &[u8] = b"</1/0>,</3/0>";

    fn register(query: &str, strictness: Strictness) -> Result<Register, RegistrationError> {
        let queries = query.split('&').filter(|part| !part.is_empty());
        Register::parse(queries, Some(ContentFormat::LINK), LINKS, strictness)
    }

    fn update(query: &str, payload: &[u8]) -> Result<Update, RegistrationError> {
        let queries = query.split('&').filter(|part| !part.is_empty());
        Update::parse(
            "5a3f",
            queries,
            Some(ContentFormat::LINK),
            payload,
            Strictness::Lenient,
        )
    }

    #[test]
    fn ts_5_3_1_a_register_is_read_as_it_is_written() {
        for query in [
            "ep=example-client&lt=86400&lwm2m=1.0&b=U",
            "ep=a=b&lt=1&lwm2m=1.0&b=UQS&sms=491701234567",
        ] {
            let read = register(query, Strictness::Strict).unwrap();
            assert_eq!(read.queries().join("&"), query);
            assert_eq!(read.payload(), LINKS);
            assert_eq!(read.deviations, Deviations::NONE);
        }
        assert_eq!(
            register("ep=a&lt=60&lwm2m=1.0", Strictness::Strict)
                .unwrap()
                .binding,
            Binding::U
        );
    }

    #[test]
    fn ts_8_5_a_strict_server_refuses_what_a_lenient_one_notes() {
        use Deviation as D;
        use RegistrationError as E;
        for (query, deviation, error) in [
            (
                "ep=a&lwm2m=1.0",
                D::LifetimeMissing,
                E::Missing { key: "lt" },
            ),
            ("ep=a&lt=60", D::VersionMissing, E::Missing { key: "lwm2m" }),
            ("ep=a&lt=0&lwm2m=1.0", D::LifetimeInvalid, E::Lifetime),
            ("ep=a&lt=-1&lwm2m=1.0", D::LifetimeInvalid, E::Lifetime),
            ("ep=a&lt=&lwm2m=1.0", D::LifetimeInvalid, E::Lifetime),
            ("ep=a&lt=60&lwm2m=1.0.2", D::VersionWithPatch, E::Version),
            ("ep=a&lt=60&lwm2m=1.0&b=uq", D::BindingSpelling, E::Binding),
            ("ep=a&lt=60&lwm2m=1.0&b=", D::BindingSpelling, E::Binding),
            (
                "ep=a&lt=60&lwm2m=1.0&sms=null",
                D::SmsNumberSpelling,
                E::SmsNumber,
            ),
            (
                "ep=a&lt=60&lt=61&lwm2m=1.0",
                D::ParameterTwice,
                E::Twice { key: "lt" },
            ),
            (
                "ep=a&lt=60&lwm2m=1.0&et=oma",
                D::ParameterUnknown,
                E::Unknown { key: "et".into() },
            ),
            (
                "ep=a&lt=60&lwm2m=1.0&Q",
                D::QueueParameter,
                E::Unknown { key: "Q".into() },
            ),
        ] {
            let read = register(query, Strictness::Lenient).unwrap();
            assert_eq!(read.deviations, deviation.into(), "{query}");
            let refused = register(query, Strictness::Strict).unwrap_err();
            assert_eq!(refused, error, "{query}");
            assert_eq!(refused.code(), ResponseCode::BadRequest);
        }
    }

    #[test]
    fn ts_8_5_what_cannot_be_understood_is_refused_by_all() {
        use RegistrationError as E;
        for (query, error) in [
            ("lt=60&lwm2m=1.0", E::Missing { key: "ep" }),
            ("ep=&lt=60&lwm2m=1.0", EndpointNameError::Empty.into()),
            ("ep=a&ep=b&lt=60&lwm2m=1.0", E::Twice { key: "ep" }),
            ("ep=a&lt=60&lwm2m=one", E::Version),
            ("ep=a&lt=60&lwm2m=1.0&b=X", E::Binding),
        ] {
            assert_eq!(register(query, Strictness::Lenient), Err(error), "{query}");
        }
        let empty = Register::parse(
            ["ep=a"],
            Some(ContentFormat::LINK),
            b"",
            Strictness::Lenient,
        );
        assert_eq!(empty, Err(LinkError::Empty.into()));
    }

    #[test]
    fn decisions_8_defaults_of_a_register_that_says_little() {
        let read = register("ep=a", Strictness::Lenient).unwrap();
        assert_eq!(read.lifetime_s, LIFETIME_S_DEFAULT);
        assert_eq!(read.version, LwM2mVersion::V1_0);
        let long = register("ep=a&lt=99999999999999999999999", Strictness::Lenient).unwrap();
        assert_eq!(long.lifetime_s, u32::MAX);
        let queued = register("ep=a&b=US&Q=true", Strictness::Lenient).unwrap();
        assert_eq!(queued.binding, Binding::UQS);
        let no_format = Register::parse(["ep=a"], None, LINKS, Strictness::Lenient).unwrap();
        assert!(no_format.deviations.contains(Deviation::LinksFormat));
    }

    #[test]
    fn unknown_parameters_are_kept_and_bounded() {
        let read = register("ep=a&et=oma.meter&d=local&flag", Strictness::Lenient).unwrap();
        assert_eq!(read.parameters[2], ("flag".into(), String::new()));
        assert!(
            read.queries()
                .join("&")
                .ends_with("&et=oma.meter&d=local&flag")
        );
        let many = alloc::format!("ep=a{}", "&x=1".repeat(PARAMETERS_MAX + 1));
        let read = register(&many, Strictness::Lenient).unwrap();
        assert_eq!(read.parameters.len(), PARAMETERS_MAX);
        assert!(read.deviations.contains(Deviation::ParametersDropped));
        let long = alloc::format!("ep=a&x={}", "y".repeat(PARAMETER_BYTES_MAX));
        assert!(
            register(&long, Strictness::Lenient)
                .unwrap()
                .parameters
                .is_empty()
        );
    }

    #[test]
    fn ts_5_3_2_an_update_tells_what_has_changed() {
        let refresh = update("", b"").unwrap();
        assert!(refresh.is_refresh());
        assert!(refresh.payload().is_empty());
        for query in ["lt=6000", "b=UQ", "sms=123", "lt=1&b=S&sms=5"] {
            let read = update(query, b"").unwrap();
            assert!(!read.is_refresh());
            assert_eq!(read.queries().join("&"), query);
        }
        let objects = update("", b"</1/0>,</3/0>,</12/0>").unwrap();
        assert_eq!(objects.payload(), b"</1/0>,</3/0>,</12/0>");
        let repeated = update("ep=a&lwm2m=1.0&lt=5", b"").unwrap();
        assert_eq!(repeated.deviations, Deviation::UpdateParameter.into());
        assert_eq!(
            Update::parse("x", ["ep=a"], None, b"", Strictness::Strict),
            Err(RegistrationError::Unknown { key: "ep".into() })
        );
    }

    #[test]
    fn quirks_41_an_update_without_root_keeps_the_one_before() {
        let before = ObjectLinks::builder()
            .root("/lwm2m")
            .unwrap()
            .instance(3, 0)
            .build();
        let silent = update("", b"</1/0>,</3/0>").unwrap();
        assert_eq!(silent.links_after(&before).unwrap().root(), "/lwm2m");
        let stated = update("", b"</>;rt=\"oma.lwm2m\",</1/0>,</3/0>").unwrap();
        assert_eq!(stated.links_after(&before).unwrap().root(), "");
        assert_eq!(update("lt=5", b"").unwrap().links_after(&before), None);
    }

    #[test]
    fn ts_5_3_1_1_bindings_strict_and_tolerant() {
        for binding in Binding::ALL {
            assert_eq!(Binding::parse(binding.as_str()), Some(binding));
            assert_eq!(Binding::parse_tolerant(binding.as_str()), Some(binding));
        }
        for (text, binding) in [
            ("uqs", Some(Binding::UQS)),
            ("UQSQ", Some(Binding::UQS)),
            ("USQ", Some(Binding::UQS)),
            ("QU", Some(Binding::UQ)),
            ("", Some(Binding::U)),
            ("Q", Some(Binding::UQ)),
            ("UT", Some(Binding::U)),
            ("T", None),
            ("U-S", None),
        ] {
            assert_eq!(Binding::parse(text), None, "{text}");
            assert_eq!(Binding::parse_tolerant(text), binding, "{text}");
        }
        assert!(Binding::UQS.has_udp() && Binding::UQS.has_sms() && Binding::UQS.queues());
        assert!(!Binding::US.queues());
    }
}
