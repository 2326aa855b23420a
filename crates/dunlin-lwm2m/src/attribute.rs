//! Attributes: when a value is worth a notification (TS 5.1).
//!
//! A Server sets them with Write-Attributes ([`AttributesChange`]), a Client keeps them per Server
//! and level ([`Attributes`]) and, for an observation, lets the nearer level win
//! ([`Attributes::over`]).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use crate::definition::ResourceDefinition;
use crate::operation::ResponseCode;
use crate::path::Level;

/// The notification attributes set at one level, or in force at a target (TS 5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Attributes {
    /// Minimum Period: silence between two notifications, in seconds.
    pub pmin_s: Option<u32>,
    /// Maximum Period: a notification at least this often, in seconds.
    pub pmax_s: Option<u32>,
    /// Greater Than: a notification when the value crosses this.
    pub gt: Option<f64>,
    /// Less Than: a notification when the value crosses this.
    pub lt: Option<f64>,
    /// Step: a notification when the value is this far from the last one told.
    pub st: Option<f64>,
}

impl Attributes {
    /// None is set.
    pub const NONE: Self = Self {
        pmin_s: None,
        pmax_s: None,
        gt: None,
        lt: None,
        st: None,
    };

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// What is in force where `self` is set and `above` one level up: what is set here wins.
    #[must_use]
    pub fn over(self, above: Self) -> Self {
        Self {
            pmin_s: self.pmin_s.or(above.pmin_s),
            pmax_s: self.pmax_s.or(above.pmax_s),
            gt: self.gt.or(above.gt),
            lt: self.lt.or(above.lt),
            st: self.st.or(above.st),
        }
    }

    /// The Maximum Period that counts: one below the Minimum Period is ignored (TS 5.1.2).
    pub fn pmax_in_force_s(&self) -> Option<u32> {
        self.pmax_s.filter(|pmax| *pmax >= self.pmin_s.unwrap_or(0))
    }

    /// Whether a condition on the value itself is set.
    pub const fn has_threshold(&self) -> bool {
        self.gt.is_some() || self.lt.is_some() || self.st.is_some()
    }

    /// Whether the thresholds can hold together: `lt < gt` and `lt + 2·st < gt` (TS 5.1.2).
    pub fn check(&self) -> Result<(), AttributeError> {
        match (self.lt, self.gt, self.st) {
            (Some(lt), Some(gt), st) if lt + 2.0 * st.unwrap_or(0.0) >= gt => {
                Err(AttributeError::Inconsistent)
            }
            _ => Ok(()),
        }
    }

    /// Each that is set, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, String)> {
        let period = |value: Option<u32>| value.map(|seconds| seconds.to_string());
        let number = |value: Option<f64>| value.map(|number| number.to_string());
        [
            ("pmin", period(self.pmin_s)),
            ("pmax", period(self.pmax_s)),
            ("gt", number(self.gt)),
            ("lt", number(self.lt)),
            ("st", number(self.st)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// Takes one from a link parameter; `false` if it is none, or its value is none.
    pub(crate) fn read_param(&mut self, name: &str, value: &str) -> bool {
        let mut change = AttributesChange::default();
        if change.read(name, Some(value)).is_err() {
            return false;
        }
        *self = change.apply_to(*self);
        true
    }
}

impl fmt::Display for Attributes {
    /// As parameters of a link: `;pmin=10;gt=42.2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|(name, value)| write!(f, ";{name}={value}"))
    }
}

/// What is to become of one attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is no longer set at this level.
    Unset,
    /// It is set to this.
    Set(T),
}

impl<T> Change<T> {
    fn apply_to(self, now: Option<T>) -> Option<T> {
        match self {
            Self::Keep => now,
            Self::Unset => None,
            Self::Set(value) => Some(value),
        }
    }

    const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

/// What a Write-Attributes asks for (TS 5.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AttributesChange {
    /// Minimum Period in seconds.
    pub pmin_s: Change<u32>,
    /// Maximum Period in seconds.
    pub pmax_s: Change<u32>,
    /// Greater Than.
    pub gt: Change<f64>,
    /// Less Than.
    pub lt: Change<f64>,
    /// Step.
    pub st: Change<f64>,
}

/// Names that later versions add, so that a refusal can say which.
const LATER: [(&str, &str); 5] = [
    ("epmin", "1.1"),
    ("epmax", "1.1"),
    ("edge", "1.2"),
    ("con", "1.2"),
    ("hqmax", "1.2"),
];

/// Names that tell and cannot be set.
const READ_ONLY: [&str; 5] = ["dim", "ver", "ssid", "uri", "lwm2m"];

impl AttributesChange {
    /// From the Uri-Query options, one `name=value` or, to unset it, `name` each.
    pub fn parse<'a>(queries: impl IntoIterator<Item = &'a str>) -> Result<Self, AttributeError> {
        let mut change = Self::default();
        for query in queries {
            match query.split_once('=') {
                Some((name, value)) => change.read(name, Some(value))?,
                None => change.read(query, None)?,
            }
        }
        if change == Self::default() {
            return Err(AttributeError::Empty);
        }
        Ok(change)
    }

    /// Whether it may be asked of a target of that level: thresholds belong to Resources alone
    /// (TS 5.1.2).
    pub const fn check_level(&self, level: Level) -> Result<(), AttributeError> {
        match level {
            Level::Root | Level::ResourceInstance => Err(AttributeError::Level),
            Level::Object | Level::Instance if self.has_threshold() => {
                Err(AttributeError::ThresholdAboveResource)
            }
            Level::Object | Level::Instance | Level::Resource => Ok(()),
        }
    }

    /// Whether it may be asked of that Resource: it must be readable, and for thresholds numeric
    /// (TS 5.1.2, 5.4.4).
    pub fn check_resource(&self, resource: &ResourceDefinition) -> Result<(), AttributeError> {
        if !resource.operations.read {
            return Err(AttributeError::NotReadable);
        }
        if self.has_threshold() && !resource.value_type.is_numeric() {
            return Err(AttributeError::NotNumeric);
        }
        Ok(())
    }

    /// Whether a condition on the value itself is to change.
    pub const fn has_threshold(&self) -> bool {
        !(self.gt.is_keep() && self.lt.is_keep() && self.st.is_keep())
    }

    /// What is set at the level afterwards.
    #[must_use]
    pub fn apply_to(self, now: Attributes) -> Attributes {
        Attributes {
            pmin_s: self.pmin_s.apply_to(now.pmin_s),
            pmax_s: self.pmax_s.apply_to(now.pmax_s),
            gt: self.gt.apply_to(now.gt),
            lt: self.lt.apply_to(now.lt),
            st: self.st.apply_to(now.st),
        }
    }

    /// The Uri-Query options that say this.
    pub fn queries(&self) -> Vec<String> {
        fn push<T: ToString>(queries: &mut Vec<String>, name: &str, change: Change<T>) {
            match change {
                Change::Keep => {}
                Change::Unset => queries.push(name.into()),
                Change::Set(value) => queries.push(alloc::format!("{name}={}", value.to_string())),
            }
        }
        let mut queries = Vec::new();
        push(&mut queries, "pmin", self.pmin_s);
        push(&mut queries, "pmax", self.pmax_s);
        push(&mut queries, "gt", self.gt);
        push(&mut queries, "lt", self.lt);
        push(&mut queries, "st", self.st);
        queries
    }

    fn read(&mut self, name: &str, value: Option<&str>) -> Result<(), AttributeError> {
        match name {
            "pmin" => put(&mut self.pmin_s, "pmin", value, parse_period),
            "pmax" => put(&mut self.pmax_s, "pmax", value, parse_period),
            "gt" => put(&mut self.gt, "gt", value, parse_number),
            "lt" => put(&mut self.lt, "lt", value, parse_number),
            // Samples of TS 8.2.5 print `stp`.
            "st" | "stp" => put(&mut self.st, "st", value, parse_step),
            _ => Err(unknown(name)),
        }
    }
}

fn put<T>(
    change: &mut Change<T>,
    name: &'static str,
    value: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<(), AttributeError> {
    if !change.is_keep() {
        return Err(AttributeError::Duplicate { name });
    }
    *change = match value {
        None => Change::Unset,
        Some(text) => Change::Set(parse(text).ok_or(AttributeError::NotANumber { name })?),
    };
    Ok(())
}

fn unknown(name: &str) -> AttributeError {
    if let Some((name, version)) = LATER.into_iter().find(|(later, _)| *later == name) {
        return AttributeError::Later { name, version };
    }
    match READ_ONLY.into_iter().find(|read_only| *read_only == name) {
        Some(name) => AttributeError::ReadOnly { name },
        None => AttributeError::Unknown,
    }
}

/// Whole seconds. A fraction of zero is read, because `pmin=10.0` has been seen.
fn parse_period(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte == b'0') {
        return None;
    }
    whole.parse().ok()
}

/// A decimal number with sign and fraction; exponents are read and never written (TS Annex C).
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number: f64 = text.parse().ok().filter(|_| plain)?;
    number.is_finite().then_some(number)
}

fn parse_step(text: &str) -> Option<f64> {
    parse_number(text).filter(|step| *step >= 0.0)
}

/// Why a Write-Attributes is refused; [`AttributeError::code`] is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// Nothing is set or unset.
    #[error("no attribute is given")]
    Empty,
    /// No such attribute.
    #[error("there is no such attribute; 1.0 has pmin, pmax, gt, lt and st")]
    Unknown,
    /// An attribute of a later version.
    #[error("the attribute {name} exists from LwM2M {version} on")]
    Later {
        /// Which.
        name: &'static str,
        /// The version that brought it.
        version: &'static str,
    },
    /// An attribute that cannot be written.
    #[error("the attribute {name} cannot be written")]
    ReadOnly {
        /// Which.
        name: &'static str,
    },
    /// The same attribute twice.
    #[error("the attribute {name} is given twice")]
    Duplicate {
        /// Which.
        name: &'static str,
    },
    /// A value that the attribute cannot have.
    #[error("the value of {name} must be a number that it can have")]
    NotANumber {
        /// Of which.
        name: &'static str,
    },
    /// `gt`, `lt` or `st` on an Object or Object Instance.
    #[error("gt, lt and st can be set on a resource only")]
    ThresholdAboveResource,
    /// A target that can have no attributes.
    #[error("attributes can be set on an object, an object instance or a resource")]
    Level,
    /// Thresholds that contradict each other.
    #[error("lt plus twice st must be smaller than gt")]
    Inconsistent,
    /// Thresholds on what is no number.
    #[error("gt, lt and st need a resource that holds numbers")]
    NotNumeric,
    /// A Resource that cannot be read, and so not be observed.
    #[error("attributes need a resource that can be read")]
    NotReadable,
}

impl AttributeError {
    /// What a Client answers (TS 8.5).
    pub const fn code(&self) -> ResponseCode {
        match self {
            Self::NotReadable => ResponseCode::MethodNotAllowed,
            Self::Empty
            | Self::Unknown
            | Self::Later { .. }
            | Self::ReadOnly { .. }
            | Self::Duplicate { .. }
            | Self::NotANumber { .. }
            | Self::ThresholdAboveResource
            | Self::Level
            | Self::Inconsistent
            | Self::NotNumeric => ResponseCode::BadRequest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<AttributesChange, AttributeError> {
        AttributesChange::parse(query.split('&').filter(|part| !part.is_empty()))
    }

    #[test]
    fn ts_5_4_4_attributes_are_set_and_unset() {
        for query in [
            "pmin=10&pmax=60",
            "gt=-42.2&lt=0.5&st=1",
            "pmin",
            "pmin=0&st",
        ] {
            assert_eq!(parse(query).unwrap().queries().join("&"), query);
        }
        let now = Attributes {
            pmin_s: Some(10),
            gt: Some(1.0),
            ..Attributes::NONE
        };
        assert_eq!(
            parse("pmin&pmax=60").unwrap().apply_to(now),
            Attributes {
                pmax_s: Some(60),
                gt: Some(1.0),
                ..Attributes::NONE
            }
        );
        // Spellings that have been seen.
        assert_eq!(parse("st=1.000000").unwrap().st, Change::Set(1.0));
        assert_eq!(parse("stp=2").unwrap().st, Change::Set(2.0));
        assert_eq!(parse("pmin=10.0").unwrap().pmin_s, Change::Set(10));
    }

    #[test]
    fn ts_5_4_4_what_is_malformed_is_refused() {
        use AttributeError as E;
        for (query, error) in [
            ("", E::Empty),
            ("pmin=", E::NotANumber { name: "pmin" }),
            ("pmin=-1", E::NotANumber { name: "pmin" }),
            ("pmin=1.5", E::NotANumber { name: "pmin" }),
            ("pmax=4294967296", E::NotANumber { name: "pmax" }),
            ("gt=x", E::NotANumber { name: "gt" }),
            ("gt=inf", E::NotANumber { name: "gt" }),
            ("lt=NaN", E::NotANumber { name: "lt" }),
            ("lt=1e999", E::NotANumber { name: "lt" }),
            ("st=-1", E::NotANumber { name: "st" }),
            ("pmin=1&pmin=2", E::Duplicate { name: "pmin" }),
            ("pmin=1&pmin", E::Duplicate { name: "pmin" }),
            ("dim=3", E::ReadOnly { name: "dim" }),
            ("ver=1.1", E::ReadOnly { name: "ver" }),
            (
                "epmin=1",
                E::Later {
                    name: "epmin",
                    version: "1.1",
                },
            ),
            (
                "con=1",
                E::Later {
                    name: "con",
                    version: "1.2",
                },
            ),
            ("color=1", E::Unknown),
        ] {
            assert_eq!(parse(query), Err(error), "{query}");
        }
    }

    #[test]
    fn ts_5_1_2_thresholds_belong_to_resources_and_must_agree() {
        let thresholds = parse("gt=1").unwrap();
        assert_eq!(
            thresholds.check_level(Level::Instance),
            Err(AttributeError::ThresholdAboveResource)
        );
        assert_eq!(thresholds.check_level(Level::Resource), Ok(()));
        assert_eq!(parse("pmin=1").unwrap().check_level(Level::Object), Ok(()));
        assert_eq!(
            parse("pmin=1").unwrap().check_level(Level::Root),
            Err(AttributeError::Level)
        );
        for (lt, gt, st, holds) in [
            (Some(20.0), Some(85.0), Some(10.0), true),
            (Some(20.0), Some(40.0), Some(10.0), false),
            (Some(5.0), Some(5.0), None, false),
            (Some(9.0), None, Some(100.0), true),
            (None, Some(9.0), Some(100.0), true),
        ] {
            let attributes = Attributes {
                lt,
                gt,
                st,
                ..Attributes::NONE
            };
            assert_eq!(attributes.check().is_ok(), holds, "{attributes:?}");
        }
    }

    #[test]
    fn ts_5_4_4_what_cannot_be_read_or_compared_has_no_such_attributes() {
        let registry = crate::Registry::bundled();
        let device = registry.latest(crate::ObjectId::DEVICE).unwrap();
        let check = |query, id: u16| {
            parse(query)
                .unwrap()
                .check_resource(device.resource(id).unwrap())
        };
        assert_eq!(check("gt=50", 9), Ok(()));
        assert_eq!(check("pmin=1", 0), Ok(()));
        assert_eq!(check("gt=50", 0), Err(AttributeError::NotNumeric));
        assert_eq!(check("pmin=1", 4), Err(AttributeError::NotReadable));
        assert_eq!(
            AttributeError::NotReadable.code(),
            ResponseCode::MethodNotAllowed
        );
    }

    #[test]
    fn ts_5_1_2_the_nearer_level_wins() {
        let object = Attributes {
            pmin_s: Some(10),
            pmax_s: Some(100),
            ..Attributes::NONE
        };
        let instance = Attributes {
            pmax_s: Some(60),
            ..Attributes::NONE
        };
        let resource = Attributes {
            gt: Some(50.0),
            lt: Some(42.2),
            ..Attributes::NONE
        };
        let in_force = resource.over(instance.over(object));
        assert_eq!(in_force.to_string(), ";pmin=10;pmax=60;gt=50;lt=42.2");
    }

    #[test]
    fn ts_5_1_2_a_pmax_below_pmin_is_ignored() {
        let with = |pmin_s, pmax_s| Attributes {
            pmin_s,
            pmax_s,
            ..Attributes::NONE
        };
        assert_eq!(with(Some(10), Some(9)).pmax_in_force_s(), None);
        assert_eq!(with(Some(10), Some(10)).pmax_in_force_s(), Some(10));
        assert_eq!(with(None, Some(0)).pmax_in_force_s(), Some(0));
    }
}
