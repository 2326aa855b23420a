//! Typed values: what a Resource, or one instance of it, holds (TS Annex C).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::id::{MAX_ID, ObjectId, ObjectInstanceId};

/// One value with its data type. [`Value::Unsigned`] and [`Value::CoreLink`] are types of LwM2M
/// 1.1 that definitions of Objects already name.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// UTF-8 text.
    String(String),
    /// A signed number of 8 to 64 bits.
    Integer(i64),
    /// An unsigned number of 8 to 64 bits (1.1).
    Unsigned(u64),
    /// A number of 32 or 64 bits in IEEE 754.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// Bytes that only the application understands.
    Opaque(Vec<u8>),
    /// Seconds since 1970-01-01 00:00 UTC.
    Time(i64),
    /// A reference to an Object Instance.
    ObjectLink(ObjectLink),
    /// Links in CoRE link format (1.1).
    CoreLink(String),
}

impl Value {
    /// Reads the text form of a value (TS Annex C), as people type it: `true` is a boolean, too,
    /// and Opaque is Base64 in any spelling. `None` if the text is no value of that type.
    pub fn parse(text: &str, value_type: ValueType) -> Option<Self> {
        crate::format::value_from_text(text, value_type)
    }

    /// The type this value has.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::String(_) => ValueType::String,
            Self::Integer(_) => ValueType::Integer,
            Self::Unsigned(_) => ValueType::Unsigned,
            Self::Float(_) => ValueType::Float,
            Self::Boolean(_) => ValueType::Boolean,
            Self::Opaque(_) => ValueType::Opaque,
            Self::Time(_) => ValueType::Time,
            Self::ObjectLink(_) => ValueType::ObjectLink,
            Self::CoreLink(_) => ValueType::CoreLink,
        }
    }

    /// The number in it, as thresholds and charts compare it; `None` for what is not numeric.
    /// Integers beyond 2^53 lose their last digits here, nowhere else.
    pub const fn as_number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) | Self::Time(number) => Some(*number as f64),
            Self::Unsigned(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::String(_)
            | Self::Boolean(_)
            | Self::Opaque(_)
            | Self::ObjectLink(_)
            | Self::CoreLink(_) => None,
        }
    }

    /// The signed number in it, exactly; `None` where it is no integer or does not fit.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) | Self::Time(number) => Some(*number),
            Self::Unsigned(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The text in it; `None` for other types.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::CoreLink(text) => Some(text),
            _ => None,
        }
    }
}

macro_rules! values_from {
    ($($rust:ty => $variant:ident),+) => {
        $(impl From<$rust> for Value {
            fn from(value: $rust) -> Self {
                Self::$variant(value.into())
            }
        })+
    };
}

// Time and Unsigned look like Integer in Rust and are named in full.
values_from! {
    bool => Boolean, i32 => Integer, i64 => Integer, f32 => Float, f64 => Float, &str => String,
    String => String, Vec<u8> => Opaque, ObjectLink => ObjectLink
}

impl fmt::Display for Value {
    /// For people: text as it is, bytes in hexadecimal, the rest as TS Annex C writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) | Self::CoreLink(text) => f.write_str(text),
            Self::Integer(number) | Self::Time(number) => write!(f, "{number}"),
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::Opaque(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::ObjectLink(link) => write!(f, "{link}"),
        }
    }
}

/// A reference to an Object Instance: `66:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectLink {
    /// The Object.
    pub object: ObjectId,
    /// Its instance.
    pub instance: ObjectInstanceId,
}

impl ObjectLink {
    /// The link to nothing, 65535:65535 (TS Annex C).
    pub const NULL: Self = Self {
        object: ObjectId(MAX_ID),
        instance: ObjectInstanceId(MAX_ID),
    };

    /// Reads `66:0`. One sample of the standard prints the null link in hexadecimal, so
    /// `FFFF:FFFF` is read as well.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("FFFF:FFFF") {
            return Some(Self::NULL);
        }
        let (object, instance) = text.split_once(':')?;
        Some(Self {
            object: ObjectId(crate::path::parse_id(object)?),
            instance: ObjectInstanceId(crate::path::parse_id(instance)?),
        })
    }
}

impl fmt::Display for ObjectLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.object, self.instance)
    }
}

/// The data type that a definition gives to a Resource (TS Annex C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// [`Value::String`]
    String,
    /// [`Value::Integer`]
    Integer,
    /// [`Value::Unsigned`]
    Unsigned,
    /// [`Value::Float`]
    Float,
    /// [`Value::Boolean`]
    Boolean,
    /// [`Value::Opaque`]
    Opaque,
    /// [`Value::Time`]
    Time,
    /// [`Value::ObjectLink`]
    ObjectLink,
    /// [`Value::CoreLink`]
    CoreLink,
    /// No value at all: the Resource is executed.
    None,
}

impl ValueType {
    /// Whether thresholds (`gt`, `lt`, `st`) mean something for it (TS 5.1.2).
    pub const fn is_numeric(self) -> bool {
        matches!(
            self,
            Self::Integer | Self::Unsigned | Self::Float | Self::Time
        )
    }

    /// The short name used in REST and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Opaque => "opaque",
            Self::Time => "time",
            Self::ObjectLink => "objlnk",
            Self::CoreLink => "corelnk",
            Self::None => "none",
        }
    }

    /// All types, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::String,
        Self::Integer,
        Self::Unsigned,
        Self::Float,
        Self::Boolean,
        Self::Opaque,
        Self::Time,
        Self::ObjectLink,
        Self::CoreLink,
        Self::None,
    ];

    /// The type of that short name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|value_type| value_type.name() == name)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ts_annex_c_links_are_two_numbers() {
        let link = ObjectLink {
            object: ObjectId(66),
            instance: ObjectInstanceId(0),
        };
        assert_eq!(ObjectLink::parse("66:0"), Some(link));
        assert_eq!(link.to_string(), "66:0");
        assert_eq!(ObjectLink::NULL.to_string(), "65535:65535");
        for text in ["ffff:FFFF", "65535:65535"] {
            assert_eq!(ObjectLink::parse(text), Some(ObjectLink::NULL));
        }
        for text in ["", "66", "66:", "66:0:1", "66:-1", "66:65536", " 66:0"] {
            assert_eq!(ObjectLink::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_type_has_one_name() {
        for value_type in ValueType::ALL {
            assert_eq!(ValueType::from_name(value_type.name()), Some(value_type));
        }
        assert_eq!(ValueType::from_name("text"), None);
    }

    #[test]
    fn values_are_read_as_people_type_them() {
        for (text, value_type, value) in [
            ("60", ValueType::Integer, Some(Value::Integer(60))),
            ("60", ValueType::Float, Some(Value::Float(60.0))),
            ("true", ValueType::Boolean, Some(Value::Boolean(true))),
            (
                "10:2",
                ValueType::ObjectLink,
                ObjectLink::parse("10:2").map(Value::ObjectLink),
            ),
            (
                "AQI=",
                ValueType::Opaque,
                Some(Value::Opaque([1, 2].to_vec())),
            ),
            ("six", ValueType::Integer, None),
            ("", ValueType::Integer, None),
            ("x", ValueType::None, None),
        ] {
            assert_eq!(Value::parse(text, value_type), value, "{text}");
        }
    }

    #[test]
    fn integers_keep_all_their_digits() {
        assert_eq!(Value::Integer(i64::MAX).as_integer(), Some(i64::MAX));
        assert_eq!(Value::Unsigned(u64::MAX).as_integer(), None);
        assert_eq!(
            Value::Unsigned(u64::MAX).to_string(),
            "18446744073709551615"
        );
        assert_eq!(Value::Opaque([0, 255].to_vec()).to_string(), "00ff");
    }
}
