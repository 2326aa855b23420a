//! The nouns of LwM2M as records.

use std::collections::BTreeMap;

use dunlin_lwm2m::attribute::{AttributesChange, Change};
use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::{Arguments, Binding, ResponseCode, SmsNumber, WriteMode};
use dunlin_lwm2m::{
    ContentFormat, Deviations, EndpointName, Instance, LwM2mVersion, Node, Object, ObjectId,
    ObjectInstanceId, ObjectLink, Path, Resource, ResourceId, ResourceInstanceId, ResourceValue,
    Value,
};
use dunlin_transport::{Address, CertificateIdentity, Identity, Token, WallTime};
use minicbor::data::Type;
use minicbor::decode::Error;

use super::{Bytes, Item, Read, Reader, Writer, Written as _, length, numbered, structure};

/// A value that is written as another one.
macro_rules! through {
    ($type:ty as $other:ty: $to:expr, $from:expr) => {
        impl Item for $type {
            fn write(&self, w: &mut Writer) {
                let to: fn(&$type) -> $other = $to;
                to(self).write(w);
            }

            fn read(r: &mut Reader<'_>) -> Read<Self> {
                let from: fn($other) -> Option<$type> = $from;
                let nothing = || Error::message(concat!("no ", stringify!($type)));
                from(<$other>::read(r)?).ok_or_else(nothing)
            }
        }
    };
}
pub(super) use through;

/// A value that is written as text or bytes that it holds or makes on the stack: for what every
/// registration has, so that its record is written without a detour over the heap.
macro_rules! straight {
    ($type:ty as $other:ty: $to:expr, $from:expr) => {
        impl Item for $type {
            fn write(&self, w: &mut Writer) {
                let to: fn(&$type, &mut Writer) = $to;
                to(self, w);
            }

            fn read(r: &mut Reader<'_>) -> Read<Self> {
                let from: fn($other) -> Option<$type> = $from;
                let nothing = || Error::message(concat!("no ", stringify!($type)));
                from(<$other>::read(r)?).ok_or_else(nothing)
            }
        }
    };
}
pub(super) use straight;

/// The longest text that is made on the stack: an IPv6 address with its longest scope and port has
/// 67 characters.
const SHORT_TEXT_MAX: usize = 80;

/// Text on the stack.
struct ShortText {
    bytes: [u8; SHORT_TEXT_MAX],
    length: usize,
}

impl ShortText {
    fn of(value: &impl std::fmt::Display) -> Self {
        let mut text = Self {
            bytes: [0; SHORT_TEXT_MAX],
            length: 0,
        };
        std::fmt::write(&mut text, format_args!("{value}")).expect("short enough");
        text
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("whole texts were put together")
    }
}

impl std::fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end);
        place
            .ok_or(std::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

through!(ObjectId as u16: |id| id.0, |id| Some(ObjectId(id)));
through!(ObjectInstanceId as u16: |id| id.0, |id| Some(ObjectInstanceId(id)));
through!(ResourceId as u16: |id| id.0, |id| Some(ResourceId(id)));
through!(ResourceInstanceId as u16: |id| id.0, |id| Some(ResourceInstanceId(id)));
through!(ContentFormat as u16: |format| format.0, |format| Some(ContentFormat(format)));
through!(Deviations as u64: |set| set.to_bits(), |bits| Some(Deviations::from_bits(bits)));
straight!(EndpointName as String: |name, w| w.str(name.as_str()).done(), |name| EndpointName::new(&name).ok());
through!(SmsNumber as String: |number| number.as_str().to_owned(), |text| SmsNumber::new(&text));
straight!(LwM2mVersion as String: |version, w| w.str(ShortText::of(version).as_str()).done(), |text| text.parse().ok());
straight!(Binding as String: |binding, w| w.str(binding.as_str()).done(), |text| Binding::parse(&text));
straight!(ObjectLinks as Bytes: |links, w| w.bytes(links.encode()).done(), |bytes| ObjectLinks::decode(&bytes.0).ok());
through!(Arguments as String: ToString::to_string, |text| text.parse().ok());
through!(ResponseCode as u8: |code| code.to_byte(), ResponseCode::from_byte);
through!(Path as Vec<u16>: |path| path.ids().to_vec(), |ids| Path::from_ids(&ids));
straight!(Token as Bytes: |token, w| w.bytes(token.as_bytes()).done(), |bytes| Token::new(&bytes.0));
through!(WallTime as u64: |time| time.0, |ms| Some(WallTime(ms)));
straight!(std::net::IpAddr as String: |address, w| w.str(ShortText::of(address).as_str()).done(), |text| text.parse().ok());

numbered!(WriteMode { 0 => Replace, 1 => Partial });

structure!(AttributesChange {
    pmin_s,
    pmax_s,
    gt,
    lt,
    st
});

impl<T: Item + Copy> Item for Change<T> {
    /// Kept: undefined. Unset: null. Set: the value.
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Keep => w.undefined().done(),
            Self::Unset => w.null().done(),
            Self::Set(value) => value.write(w),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        Ok(match r.datatype()? {
            Type::Undefined => {
                r.undefined()?;
                Self::Keep
            }
            Type::Null => {
                r.null()?;
                Self::Unset
            }
            _ => Self::Set(T::read(r)?),
        })
    }
}

impl Item for Address {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Udp(socket) => {
                w.array(2).done();
                w.u8(0).done();
                w.str(ShortText::of(socket).as_str()).done();
            }
            Self::Sms(number) => (1u8, number.to_string()).write(w),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        match <(u8, String)>::read(r)? {
            (0, text) => {
                let nothing = |_| Error::message("no socket address");
                text.parse().map(Self::Udp).map_err(nothing)
            }
            (1, number) => Ok(Self::Sms(number.into())),
            _ => Err(Error::message("no bearer")),
        }
    }
}

impl Item for Identity {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::None => {
                w.array(1).done();
                w.u8(0).done();
            }
            Self::PreSharedKey(identity) => (1u8, Bytes(identity.to_vec())).write(w),
            Self::RawPublicKey(digest) => (2u8, Bytes(digest.to_vec())).write(w),
            Self::Certificate(shown) => {
                w.array(4).done();
                w.u8(3).done();
                shown.common_name.write(w);
                shown.alternative_names.write(w);
                w.bytes(&shown.fingerprint).done();
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 1) => Self::None,
            (1, 2) => Self::PreSharedKey(Bytes::read(r)?.0.into()),
            (2, 2) => {
                let digest = Bytes::read(r)?.0.try_into();
                Self::RawPublicKey(digest.map_err(|_| Error::message("no SHA-256"))?)
            }
            (3, 4) => Self::Certificate(Box::new(CertificateIdentity {
                common_name: Item::read(r)?,
                alternative_names: Item::read(r)?,
                fingerprint: {
                    let digest = Bytes::read(r)?.0.try_into();
                    digest.map_err(|_| Error::message("no SHA-256"))?
                },
            })),
            _ => return Err(Error::message("no identity")),
        })
    }
}

impl Item for Value {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::String(text) => (0u8, text.clone()).write(w),
            Self::Integer(number) => (1u8, *number).write(w),
            Self::Unsigned(number) => (2u8, *number).write(w),
            Self::Float(number) => (3u8, *number).write(w),
            Self::Boolean(truth) => (4u8, *truth).write(w),
            Self::Opaque(bytes) => (5u8, Bytes(bytes.clone())).write(w),
            Self::Time(seconds) => (6u8, *seconds).write(w),
            Self::ObjectLink(link) => (7u8, vec![link.object.0, link.instance.0]).write(w),
            Self::CoreLink(text) => (8u8, text.clone()).write(w),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        if length(r)? != 2 {
            return Err(Error::message("no value"));
        }
        Ok(match r.u8()? {
            0 => Self::String(Item::read(r)?),
            1 => Self::Integer(Item::read(r)?),
            2 => Self::Unsigned(Item::read(r)?),
            3 => Self::Float(Item::read(r)?),
            4 => Self::Boolean(Item::read(r)?),
            5 => Self::Opaque(Bytes::read(r)?.0),
            6 => Self::Time(Item::read(r)?),
            7 => match Vec::<u16>::read(r)?[..] {
                [object, instance] => Self::ObjectLink(ObjectLink {
                    object: ObjectId(object),
                    instance: ObjectInstanceId(instance),
                }),
                _ => return Err(Error::message("no object link")),
            },
            8 => Self::CoreLink(Item::read(r)?),
            _ => return Err(Error::message("a value of no known type")),
        })
    }
}

impl Item for ResourceValue {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Single(value) => value.write(w),
            Self::Multiple(values) => {
                w.map(values.len() as u64).done();
                for (id, value) in values {
                    id.write(w);
                    value.write(w);
                }
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        if r.datatype()? == Type::Array {
            return Value::read(r).map(Self::Single);
        }
        let entries = r
            .map()?
            .ok_or_else(|| Error::message("a map of unknown length"))?;
        let values: Read<BTreeMap<_, _>> = (0..entries)
            .map(|_| Ok((ResourceInstanceId::read(r)?, Value::read(r)?)))
            .collect();
        values.map(Self::Multiple)
    }
}

structure!(Resource { id, value });

impl Item for Instance {
    fn write(&self, w: &mut Writer) {
        (self.id, self.resources().to_vec()).write(w);
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let (id, resources) = <(ObjectInstanceId, Vec<Resource>)>::read(r)?;
        let mut instance = Self::new(id);
        instance.extend(resources);
        Ok(instance)
    }
}

impl Item for Object {
    fn write(&self, w: &mut Writer) {
        (self.id, self.instances().to_vec()).write(w);
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let (id, instances) = <(ObjectId, Vec<Instance>)>::read(r)?;
        let mut object = Self::new(id);
        object.extend(instances);
        Ok(object)
    }
}

impl Item for Node {
    fn write(&self, w: &mut Writer) {
        w.array(2).done();
        match self {
            Self::Object(object) => {
                w.u8(0).done();
                object.write(w);
            }
            Self::Instance(instance) => {
                w.u8(1).done();
                instance.write(w);
            }
            Self::Resource(resource) => {
                w.u8(2).done();
                resource.write(w);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        if length(r)? != 2 {
            return Err(Error::message("no node"));
        }
        Ok(match r.u8()? {
            0 => Self::Object(Item::read(r)?),
            1 => Self::Instance(Item::read(r)?),
            2 => Self::Resource(Item::read(r)?),
            _ => return Err(Error::message("a node of no known level")),
        })
    }
}
