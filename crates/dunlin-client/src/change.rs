//! What survives a restart: the values of the Objects, and the attributes Servers have written.
//!
//! Registrations and observations do not: after a restart the Client registers anew, which tells
//! every Server to set up its observations again (TS 1.0 §5.3.1).

use alloc::vec::Vec;

use dunlin_lwm2m::attribute::Attributes;
use dunlin_lwm2m::{ContentFormat, Instance, Node, Object, ObjectId, Path, ShortServerId, format};
use dunlin_transport::dtls::ResumptionState;
use minicbor::{Decoder, Encoder};

use crate::attributes::AttributeBook;
use crate::connecting::Resumable;
use crate::tree::Tree;

/// The first item of a state; a later layout has another number.
const VERSION: u8 = 4;

/// Why a state cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Cut short, damaged, or something else.
    #[error("the kept state is damaged; remove it to begin from the factory's")]
    Damaged,
    /// Of a later version of this program.
    #[error("the kept state is of a later version ({version}); this one reads version {VERSION}")]
    Later {
        /// Which.
        version: u8,
    },
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// Objects in TLV.
    objects: Vec<(ObjectId, Vec<u8>)>,
    attributes: Vec<(ShortServerId, Path, Attributes)>,
    /// When the Bootstrap-Server Account is to be removed, in milliseconds since 1970 (`/0/x/12`).
    pub(crate) account_ends_ms: Option<u64>,
    /// The smartcard's content that Objects came from.
    pub(crate) card: Option<Vec<u8>>,
    /// What sessions are resumed with, as secret as keys; the Bootstrap-Server's is under no number.
    pub(crate) sessions: Vec<(Option<ShortServerId>, Resumable)>,
}

impl Snapshot {
    pub(crate) fn take(tree: &Tree, attributes: &AttributeBook) -> Self {
        let objects = tree.slots().filter_map(|slot| {
            let mut object = Object::new(slot.definition.id);
            object.extend(slot.instances.values().cloned());
            let path = Path::object(object.id);
            let id = object.id;
            let bytes = format::encode(ContentFormat::TLV, path, &Node::Object(object)).ok()?;
            Some((id, bytes))
        });
        Self {
            objects: objects.collect(),
            attributes: attributes.iter().collect(),
            account_ends_ms: None,
            card: None,
            sessions: Vec::new(),
        }
    }

    /// Puts the values back, Object by Object. What the program does not know any more is left out.
    pub(crate) fn apply(self, tree: &mut Tree, attributes: &mut AttributeBook) {
        for (id, bytes) in self.objects {
            let Some(slot) = tree.slot_mut(id) else {
                continue;
            };
            let tlv = Some(ContentFormat::TLV);
            let decoded = format::decode(tlv, Path::object(id), &bytes, &*slot.definition);
            let Ok(Node::Object(object)) = decoded.map(|decoded| decoded.node) else {
                continue;
            };
            let kept: Vec<Instance> = object.into_instances();
            slot.instances = kept
                .into_iter()
                .map(|instance| (instance.id, instance))
                .collect();
        }
        for (server, path, kept) in self.attributes {
            attributes.restore(server, path, kept);
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        self.encode_into(&mut encoder)
            .expect("a vector takes everything");
        encoder.into_writer()
    }

    fn encode_into(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
        e.array(6)?.u8(VERSION)?;
        e.array(self.objects.len() as u64)?;
        for (id, bytes) in &self.objects {
            e.array(2)?.u16(id.0)?.bytes(bytes)?;
        }
        e.array(self.attributes.len() as u64)?;
        for (server, path, kept) in &self.attributes {
            e.array(7)?.u16(server.value())?;
            e.array(path.ids().len() as u64)?;
            for id in path.ids() {
                e.u16(*id)?;
            }
            e.encode(kept.pmin_s)?.encode(kept.pmax_s)?;
            e.encode(kept.gt)?.encode(kept.lt)?.encode(kept.st)?;
        }
        e.encode(self.account_ends_ms)?;
        match &self.card {
            Some(card) => e.bytes(card)?,
            None => e.null()?,
        };
        e.array(self.sessions.len() as u64)?;
        for (server, session) in &self.sessions {
            e.array(3)?.encode(server.map(ShortServerId::value))?;
            e.bytes(&session.account)?;
            e.bytes(session.state.as_secret().expose())?;
        }
        Ok(())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut decoder = Decoder::new(bytes);
        let damaged = |_| StateError::Damaged;
        decoder.array().map_err(damaged)?;
        let version = decoder.u8().map_err(damaged)?;
        if version > VERSION {
            return Err(StateError::Later { version });
        }
        Self::decode_rest(&mut decoder, version).map_err(damaged)
    }

    fn decode_rest(d: &mut Decoder<'_>, version: u8) -> Result<Self, minicbor::decode::Error> {
        let length = |d: &mut Decoder<'_>| {
            d.array()?
                .ok_or_else(|| minicbor::decode::Error::message("of unknown length"))
        };
        let mut snapshot = Self::default();
        for _ in 0..length(d)? {
            length(d)?;
            snapshot
                .objects
                .push((ObjectId(d.u16()?), d.bytes()?.to_vec()));
        }
        for _ in 0..length(d)? {
            length(d)?;
            let server = ShortServerId::new(d.u16()?)
                .ok_or_else(|| minicbor::decode::Error::message("no Short Server ID"))?;
            let ids = (0..length(d)?)
                .map(|_| d.u16())
                .collect::<Result<Vec<u16>, _>>()?;
            let path =
                Path::from_ids(&ids).ok_or_else(|| minicbor::decode::Error::message("no path"))?;
            let kept = Attributes {
                pmin_s: d.decode()?,
                pmax_s: d.decode()?,
                gt: d.decode()?,
                lt: d.decode()?,
                st: d.decode()?,
            };
            snapshot.attributes.push((server, path, kept));
        }
        // Version 1 knew no bootstrap.
        if version > 1 {
            snapshot.account_ends_ms = d.decode()?;
        }
        // Version 2 knew no smartcard.
        if version > 2 {
            snapshot.card = match d.datatype()? {
                minicbor::data::Type::Null => {
                    d.null()?;
                    None
                }
                _ => Some(d.bytes()?.to_vec()),
            };
        }
        // Version 3 knew no sessions.
        if version > 3 {
            for _ in 0..length(d)? {
                length(d)?;
                let server: Option<u16> = d.decode()?;
                let account = d.bytes()?.try_into();
                let account = account.map_err(|_| minicbor::decode::Error::message("no digest"))?;
                let state = ResumptionState::from_secret(d.bytes()?.into());
                let session = Resumable { account, state };
                let server = match server {
                    None => None,
                    // A Server that nothing can be of is nobody's.
                    Some(id) => match ShortServerId::new(id) {
                        None => continue,
                        known => known,
                    },
                };
                snapshot.sessions.push((server, session));
            }
        }
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was() {
        let snapshot = Snapshot {
            objects: alloc::vec![(ObjectId(1), alloc::vec![1, 2, 3])],
            attributes: alloc::vec![(
                ShortServerId::new(7).unwrap(),
                "/3/0/9".parse().unwrap(),
                Attributes {
                    pmin_s: Some(3),
                    gt: Some(-1.5),
                    ..Attributes::NONE
                },
            )],
            account_ends_ms: Some(1_767_225_600_000),
            card: Some(alloc::vec![0, 0, 0, 0]),
            sessions: [ShortServerId::new(7), None]
                .map(|server| {
                    let state = ResumptionState::from_secret(b"a secret"[..].into());
                    let account = [3; 32];
                    (server, Resumable { account, state })
                })
                .into(),
        };
        assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
    }

    #[test]
    fn a_state_of_version_1_is_read() {
        let old = [0x83, 1, 0x81, 0x82, 1, 0x41, 7, 0x80];
        let snapshot = Snapshot::decode(&old).unwrap();
        assert_eq!(snapshot.objects, [(ObjectId(1), alloc::vec![7])]);
        assert_eq!(snapshot.account_ends_ms, None);
    }

    #[test]
    fn a_state_that_is_none_is_refused() {
        assert_eq!(Snapshot::decode(b""), Err(StateError::Damaged));
        assert_eq!(Snapshot::decode(b"hello"), Err(StateError::Damaged));
        let mut encoder = Encoder::new(Vec::new());
        encoder.array(4).unwrap().u8(9).unwrap();
        let later = encoder.into_writer();
        assert_eq!(
            Snapshot::decode(&later),
            Err(StateError::Later { version: 9 })
        );
        let whole = Snapshot::default().encode();
        for end in 0..whole.len() {
            assert_eq!(Snapshot::decode(&whole[..end]), Err(StateError::Damaged));
        }
    }
}
