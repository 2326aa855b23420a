//! Smartcard mode (TS 1.0 §5.2.3.2, Annex G): accounts and Objects that the device reads from a
//! card. The driver gives the content of the card's file EF(LwM2M_Bootstrap); here it is read,
//! becomes Objects as a whole or not at all, and is asked for again at every Register and Update
//! of a Server that came from it: a card that has changed is taken anew, and what came from one
//! that is gone goes with it.
//!
//! ```text
//! file     = number of Objects (2)  size of what follows (2)  Object*
//! Object   = Object ID (2)  version (0, or major minor)  length (2)  instances in TLV
//! ```

mod card;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use dunlin_lwm2m::{ContentFormat, Node, ObjectId, ObjectVersion, Path, ShortServerId};
use dunlin_transport::Instant;

use crate::account::{SECURITY_SHORT_SERVER_ID, is_bootstrap, short_server_id};
use crate::client::Client;
use crate::consistency;
use crate::draft::Draft;
use crate::event::{Event, Need, NeedId, Output};
use crate::tree::Tree;

pub use card::{Card, CardError, read_card};

/// The largest file that a card has (TS 1.0 §G.3.4).
pub const SMARTCARD_BYTES_MAX: usize = 32 * 1024;

/// A card that has not been read after this time is taken for gone.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the content of a card is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SmartcardError {
    /// It is longer than a card's file can be.
    #[error("the file has {0} bytes, and a card's has {SMARTCARD_BYTES_MAX} at most")]
    TooLong(usize),
    /// It ends where more should follow, or says other lengths than it has.
    #[error("the file is not laid out as TS 1.0 G.3.4 says, at byte {0}")]
    Layout(usize),
    /// It does not make sense as a configuration.
    #[error("{0}")]
    Inconsistent(String),
}

/// An Object on a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CardObject<'a> {
    pub(crate) id: ObjectId,
    pub(crate) version: ObjectVersion,
    /// Object Instances in TLV.
    pub(crate) instances: &'a [u8],
}

/// Reads the file. What follows the Objects is padding and passed over: files of cards have a
/// fixed size.
pub(crate) fn parse(file: &[u8]) -> Result<Vec<CardObject<'_>>, SmartcardError> {
    if file.len() > SMARTCARD_BYTES_MAX {
        return Err(SmartcardError::TooLong(file.len()));
    }
    let mut reader = Reader { file, at: 0 };
    let count = reader.number()?;
    let size = usize::from(reader.number()?);
    let end = reader.at + size;
    if end > file.len() {
        return Err(SmartcardError::Layout(2));
    }
    reader.file = &file[..end];
    // Every Object takes at least five bytes, so that the file bounds the memory.
    let mut objects = Vec::new();
    for _ in 0..count {
        let id = ObjectId(reader.number()?);
        let version = match reader.byte()? {
            0 => ObjectVersion::V1_0,
            major => ObjectVersion {
                major,
                minor: reader.byte()?,
            },
        };
        let length = usize::from(reader.number()?);
        let instances = reader.take(length)?;
        objects.push(CardObject {
            id,
            version,
            instances,
        });
    }
    match reader.at == end {
        true => Ok(objects),
        false => Err(SmartcardError::Layout(reader.at)),
    }
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], SmartcardError> {
        let end = self.at.saturating_add(length);
        let bytes = self.file.get(self.at..end);
        let bytes = bytes.ok_or(SmartcardError::Layout(self.at))?;
        self.at = end;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, SmartcardError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u16, SmartcardError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

/// The card that the Objects came from in part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Smartcard {
    /// Its content, as it was taken.
    pub(crate) content: Option<Vec<u8>>,
    /// Servers that came from it.
    servers: Vec<ShortServerId>,
    /// When it was last found unchanged.
    verified_at: Option<Instant>,
    /// It is being read, until then.
    asked: Option<(NeedId, Instant)>,
}

impl Smartcard {
    /// Whether a registration has to wait until the card has been looked at.
    pub(crate) fn holds_back(&self, server: ShortServerId, now: Instant) -> bool {
        self.servers.contains(&server) && self.verified_at != Some(now)
    }

    /// Whether the card is being read for this Server, which waits for that alone.
    pub(crate) fn is_read_for(&self, server: ShortServerId) -> bool {
        self.asked.is_some() && self.servers.contains(&server)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.asked.map(|(_, until)| until)
    }
}

impl Client {
    /// What the device's smartcard holds now: the content of its file EF(LwM2M_Bootstrap), `None`
    /// without a card. Before [`Client::start`], and after [`Client::restore`]; later the Client
    /// asks by itself ([`Need::Smartcard`]). What is kept of an unchanged card is left as it is.
    ///
    /// # Errors
    ///
    /// The content cannot be used; then there is nothing of a card, neither of this one nor of
    /// one of before.
    pub fn insert_smartcard(
        &mut self,
        now: crate::Now,
        content: Option<&[u8]>,
    ) -> Result<(), SmartcardError> {
        self.now = now;
        let taken = self.take_card(content);
        self.proceed(now);
        taken
    }

    fn take_card(&mut self, content: Option<&[u8]>) -> Result<(), SmartcardError> {
        self.card.asked = None;
        self.card.verified_at = Some(self.now.instant);
        if self.card.content.as_deref() == content {
            self.card.servers = content.map_or(Vec::new(), |card| servers(&self.tree, card));
            return Ok(());
        }
        let old = self.card.content.take();
        self.card.servers.clear();
        let old = old.as_deref();
        let drafted = content.map(|new| draft(&self.tree, old, Some(new)));
        if let Some(Ok(draft)) = drafted {
            self.card.content = content.map(<[u8]>::to_vec);
            self.adopt(draft);
            self.card.servers = content.map_or(Vec::new(), |card| servers(&self.tree, card));
            self.tell(Event::SmartcardTaken);
            return Ok(());
        }
        // Removing alone always makes sense.
        if let (Some(_), Ok(draft)) = (old, draft(&self.tree, old, None)) {
            self.adopt(draft);
            self.tell(Event::SmartcardGone);
        }
        drafted.map_or(Ok(()), |drafted| drafted.map(drop))
    }

    /// The card is asked for before a Register or Update of one of its Servers (TS 1.0 §5.2.3.2).
    pub(crate) fn ask_card(&mut self) {
        if self.card.asked.is_some() {
            return;
        }
        let need = NeedId(self.next_need);
        self.next_need += 1;
        self.card.asked = Some((need, self.now.instant + READ_TIMEOUT));
        self.outputs.push_back(Output::Need(need, Need::Smartcard));
    }

    pub(crate) fn card_answered(&mut self, need: NeedId, content: Option<&[u8]>) {
        if self.card.asked.is_some_and(|(asked, _)| asked == need)
            && let Err(error) = self.take_card(content)
        {
            self.tell(Event::SmartcardRefused(error));
        }
    }

    /// A card that nobody reads is gone.
    pub(crate) fn follow_card(&mut self) {
        let over = |until: Instant| until <= self.now.instant;
        if self.card.asked.is_some_and(|(_, until)| over(until)) {
            // Nothing comes in, so nothing can be wrong with it.
            let _ = self.take_card(None);
        }
    }
}

/// What changes when the card `old` is replaced by `new`.
fn draft(tree: &Tree, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<Draft, SmartcardError> {
    let mut draft = Draft::default();
    for object in old.map_or(Ok(Vec::new()), parse)? {
        for instance in decode(tree, &object).into_iter().flatten() {
            draft.forget(object.id, instance.id);
        }
    }
    for object in new.map_or(Ok(Vec::new()), parse)? {
        let at = Path::object(object.id);
        // What this Client does not have, a card for many devices may hold all the same.
        let Some(instances) = decode(tree, &object) else {
            continue;
        };
        let mut node = dunlin_lwm2m::Object::new(object.id);
        node.extend(instances);
        draft
            .write(tree, at, Node::Object(node))
            .map_err(|refusal| {
                SmartcardError::Inconsistent(format!("/{}: {}", object.id, refusal.what))
            })?;
    }
    draft.unbootstrap(tree);
    if new.is_some() {
        consistency::check(tree, &draft).map_err(SmartcardError::Inconsistent)?;
    }
    Ok(draft)
}

/// The instances of an Object that this Client has, in a version that it knows.
fn decode(tree: &Tree, object: &CardObject<'_>) -> Option<Vec<dunlin_lwm2m::Instance>> {
    let slot = tree.slot(object.id)?;
    if slot.definition.version.major != object.version.major {
        return None;
    }
    let path = Path::object(object.id);
    let tlv = Some(ContentFormat::TLV);
    let decoded =
        dunlin_lwm2m::format::decode(tlv, path, object.instances, &*slot.definition).ok()?;
    match decoded.node {
        Node::Object(object) => Some(object.into_instances()),
        Node::Instance(_) | Node::Resource(_) => None,
    }
}

/// The Servers that a card has accounts for.
fn servers(tree: &Tree, card: &[u8]) -> Vec<ShortServerId> {
    let objects = parse(card).unwrap_or_default().into_iter();
    let securities = objects.filter(|object| object.id == ObjectId::SECURITY);
    securities
        .filter_map(|object| decode(tree, &object))
        .flatten()
        .filter(|one| !is_bootstrap(one))
        .filter_map(|one| short_server_id(&one, SECURITY_SHORT_SERVER_ID))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn file(objects: &[&[u8]]) -> Vec<u8> {
        let body: Vec<u8> = objects.concat();
        let mut file = (objects.len() as u16).to_be_bytes().to_vec();
        file.extend((body.len() as u16).to_be_bytes());
        file.extend(body);
        file
    }

    #[test]
    fn ts_g_3_4_objects_with_and_without_version_are_read_and_padding_is_passed_over() {
        let mut whole = file(&[&[0, 0, 0, 0, 2, 8, 9], &[1, 2, 2, 5, 0, 0]]);
        whole.extend([0xff; 30]);
        let objects = parse(&whole).unwrap();
        assert_eq!(objects.len(), 2);
        assert_eq!(
            (objects[0].id, objects[0].instances),
            (ObjectId(0), &[8, 9][..])
        );
        assert_eq!(objects[0].version, ObjectVersion::V1_0);
        assert_eq!(objects[1].id, ObjectId(258));
        assert_eq!(objects[1].version, ObjectVersion { major: 2, minor: 5 });
        assert_eq!(parse(&[0, 0, 0, 0]), Ok(vec![]));
    }

    #[test]
    fn ts_g_3_4_lengths_that_do_not_fit_are_refused() {
        let whole = file(&[&[0, 0, 0, 0, 2, 8, 9]]);
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "{end}");
        }
        for (at, value) in [(1, 2), (1, 0), (3, 6), (3, 8), (8, 3), (8, 1)] {
            let mut wrong = whole.clone();
            wrong[at] = value;
            wrong.push(0);
            assert!(parse(&wrong).is_err(), "byte {at} is {value}");
        }
        let endless = vec![0; SMARTCARD_BYTES_MAX + 1];
        assert_eq!(parse(&endless), Err(SmartcardError::TooLong(endless.len())));
    }

    proptest! {
        #[test]
        fn hostile_cards_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            crate::fuzz::smartcard(&bytes);
            // Most of what chance makes ends at the first lengths: these fit.
            let mut file = vec![0, 1, 0, 0, 0, 0, 0, 0, 0];
            file.extend(&bytes);
            file[2..4].copy_from_slice(&(bytes.len() as u16 + 5).to_be_bytes());
            file[7..9].copy_from_slice(&(bytes.len() as u16).to_be_bytes());
            crate::fuzz::smartcard(&file);
        }
    }
}
