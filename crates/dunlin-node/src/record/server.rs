//! The durable facts of the Server machine as records.

use dunlin_lwm2m::{ContentFormat, Node};
use dunlin_server::change::{
    AcceptRule, Departed, Departure, FormatMemory, NotificationKey, Observation, Registration,
    Request,
};
use dunlin_server::command::{CancelBy, Command, RequestState};
use dunlin_server::{RegistrationId, RequestId};
use minicbor::data::Type;
use minicbor::decode::Error;

use super::lwm2m::straight;
use super::{Bytes, Item, Read, Reader, Writer, Written as _, length, numbered, structure};

straight!(RegistrationId as Bytes: |id, w| w.bytes(&id.to_bits().to_be_bytes()).done(), |bytes| {
    Some(RegistrationId::from_bits(u128::from_be_bytes(bytes.0.try_into().ok()?)))
});
straight!(RequestId as Bytes: |id, w| w.bytes(&id.to_bits().to_be_bytes()).done(), |bytes| {
    Some(RequestId::from_bits(u128::from_be_bytes(bytes.0.try_into().ok()?)))
});

numbered!(Departure { 0 => Deregistered, 1 => Expired, 2 => Forgotten });
numbered!(CancelBy { 0 => Observe, 1 => Reset });
numbered!(RequestState { 0 => Queued, 1 => Waiting, 2 => Sent });

structure!(Registration {
    endpoint,
    id,
    registered_at,
    updated_at,
    expires_at,
    contact_at,
    interval_s,
    lifetime_s,
    version,
    binding,
    sms_number,
    links,
    address,
    local,
    identity,
    parameters,
    deviations,
    formats,
});
structure!(FormatMemory {
    old_numbers,
    read,
    write
});
structure!(Departed {
    endpoint,
    id,
    at,
    reason
});
structure!(Observation {
    endpoint,
    path,
    token,
    established,
    renew,
    format,
    made_at,
    last
});
structure!(NotificationKey {
    sequence,
    digest,
    at
});
structure!(Request {
    id,
    endpoint,
    command,
    timeout,
    format,
    made_at,
    expires_at,
    state,
    attempts,
});

impl Item for AcceptRule {
    /// A number is asked for; false: nothing is asked for.
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Ask(format) => format.write(w),
            Self::Leave => w.bool(false).done(),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        if r.datatype()? == Type::Bool {
            r.bool()?;
            return Ok(Self::Leave);
        }
        ContentFormat::read(r).map(Self::Ask)
    }
}

impl Item for Command {
    fn write(&self, w: &mut Writer) {
        let begin = |w: &mut Writer, items, number| {
            w.array(items).done();
            w.u8(number).done();
        };
        match self {
            Self::Read { path } => {
                begin(w, 2, 0);
                path.write(w);
            }
            Self::Discover { path } => {
                begin(w, 2, 1);
                path.write(w);
            }
            Self::Write { path, mode, node } => {
                begin(w, 4, 2);
                path.write(w);
                mode.write(w);
                node.write(w);
            }
            Self::WriteAttributes { path, attributes } => {
                begin(w, 3, 3);
                path.write(w);
                attributes.write(w);
            }
            Self::Execute { path, arguments } => {
                begin(w, 3, 4);
                path.write(w);
                arguments.write(w);
            }
            Self::Create {
                object,
                instance,
                resources,
            } => {
                begin(w, 4, 5);
                object.write(w);
                instance.write(w);
                resources.write(w);
            }
            Self::Delete { path } => {
                begin(w, 2, 6);
                path.write(w);
            }
            Self::Observe { path, renew } => {
                begin(w, 3, 7);
                path.write(w);
                renew.write(w);
            }
            Self::Cancel { path, by } => {
                begin(w, 3, 8);
                path.write(w);
                by.write(w);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 2) => Self::Read {
                path: Item::read(r)?,
            },
            (1, 2) => Self::Discover {
                path: Item::read(r)?,
            },
            (2, 4) => Self::Write {
                path: Item::read(r)?,
                mode: Item::read(r)?,
                node: Node::read(r)?,
            },
            (3, 3) => Self::WriteAttributes {
                path: Item::read(r)?,
                attributes: Item::read(r)?,
            },
            (4, 3) => Self::Execute {
                path: Item::read(r)?,
                arguments: Item::read(r)?,
            },
            (5, 4) => Self::Create {
                object: Item::read(r)?,
                instance: Item::read(r)?,
                resources: Item::read(r)?,
            },
            (6, 2) => Self::Delete {
                path: Item::read(r)?,
            },
            (7, 3) => Self::Observe {
                path: Item::read(r)?,
                renew: Item::read(r)?,
            },
            (8, 3) => Self::Cancel {
                path: Item::read(r)?,
                by: Item::read(r)?,
            },
            _ => return Err(Error::message("no command")),
        })
    }
}
