//! The object list of a registration: which Objects and instances a Client has (TS 5.3.1).
//!
//! A Server keeps one list per Client, so an [`ObjectLinks`] *is* its compact encoding: about
//! three bytes per Object Instance, behind one shared pointer, compared and hashed as bytes. A
//! million meters of one model share theirs by interning. It is canonical: two lists of the same
//! content are the same bytes, whatever the order and spelling in which they were sent.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{LINKS_BYTES_MAX, LINKS_MAX, LinkError, reading};
use crate::content_format::ContentFormat;
use crate::deviation::Deviations;
use crate::id::{ObjectId, ObjectInstanceId};
use crate::path::{Path, parse_id};
use crate::version::ObjectVersion;

/// An alternate path longer than this is refused: it is repeated in every request.
pub const ROOT_BYTES_MAX: usize = 64;

/// More content formats than this are not kept; all of LwM2M has seven.
pub const FORMATS_MAX: usize = 7;

/// The Objects and instances of a Client, its alternate path and the formats it hints at.
// Layout: one byte `0000 ffff`, f = number of formats * 2 + has a root; root as length and bytes;
// formats as two bytes each; then per Object, ascending: LEB128 of (distance to the smallest
// possible id) * 2 + has a version, the version as two bytes, LEB128 of the number of instances,
// LEB128 of the distance of each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectLinks(Arc<[u8]>);

/// One Object of a list.
#[derive(Clone, Copy)]
pub struct ObjectEntry<'a> {
    /// Which.
    pub id: ObjectId,
    /// The version the Client stated; without one it follows from the enabler
    /// ([`crate::LwM2mVersion::default_object_version`]).
    pub version: Option<ObjectVersion>,
    count: usize,
    rest: &'a [u8],
}

/// What was read from the payload of a Register or Update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedLinks {
    /// The list.
    pub links: ObjectLinks,
    /// Whether the payload said where the Objects are. An Update that does not keeps the
    /// alternate path of the registration ([`ObjectLinks::with_root`]).
    pub root_stated: bool,
    /// What was tolerated.
    pub deviations: Deviations,
}

impl ObjectLinks {
    /// Begins an empty list.
    pub fn builder() -> ObjectLinksBuilder {
        ObjectLinksBuilder::default()
    }

    /// Reads the payload of a Register or Update. Fails only where nothing usable is in it.
    pub fn parse(payload: &[u8]) -> Result<ParsedLinks, LinkError> {
        reading::read(payload)
    }

    /// As it is stored, and as it is kept in memory.
    pub fn encode(&self) -> &[u8] {
        &self.0
    }

    /// What [`Self::encode`] gave. Only canonical bytes are accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, LinkError> {
        if bytes.len() > LINKS_BYTES_MAX || !is_canonical(bytes) {
            return Err(LinkError::Damaged);
        }
        Ok(Self(Arc::from(bytes)))
    }

    /// The alternate path with its first slash and without a last one, such as `/lwm2m`; empty if
    /// the Objects are at the root.
    pub fn root(&self) -> &str {
        let root = match self.0[0] & 1 {
            0 => &[],
            _ => &self.0[2..2 + self.0[1] as usize],
        };
        core::str::from_utf8(root).expect("the root was text when it was encoded")
    }

    /// The content formats that the Client says it has for all Objects.
    pub fn formats(&self) -> impl Iterator<Item = ContentFormat> + '_ {
        let start = self.after_root();
        self.0[start..start + self.format_count() * 2]
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| ContentFormat(u16::from_be_bytes(*bytes)))
    }

    /// The Objects in the order of their ids.
    pub fn objects(&self) -> impl Iterator<Item = ObjectEntry<'_>> {
        let mut rest = &self.0[self.after_root() + self.format_count() * 2..];
        let mut next = 0;
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (entry, after) = take_entry(rest, next).expect("the list was checked when made");
            rest = after;
            next = u32::from(entry.id.0) + 1;
            Some(entry)
        })
    }

    /// The Object of that id.
    pub fn object(&self, id: ObjectId) -> Option<ObjectEntry<'_>> {
        self.objects().find(|entry| entry.id == id)
    }

    /// Whether the list has what `path` names: the Object, and the instance if it names one.
    pub fn contains(&self, path: &Path) -> bool {
        let Some(object) = path.object_id() else {
            return true;
        };
        self.object(object).is_some_and(|entry| {
            path.instance_id()
                .is_none_or(|instance| entry.instances().any(|id| id == instance))
        })
    }

    /// The same list below another alternate path.
    pub fn with_root(&self, root: &str) -> Result<Self, LinkError> {
        let mut builder = self.to_builder();
        builder.root = check_root(root)?;
        Ok(builder.build())
    }

    /// The same list, to be changed.
    pub fn to_builder(&self) -> ObjectLinksBuilder {
        ObjectLinksBuilder {
            root: self.root().into(),
            formats: self.formats().collect(),
            objects: self
                .objects()
                .map(|entry| (entry.id, (entry.version, entry.instances().collect())))
                .collect(),
        }
    }

    fn format_count(&self) -> usize {
        (self.0[0] >> 1) as usize
    }

    fn after_root(&self) -> usize {
        if self.0[0] & 1 == 0 {
            1
        } else {
            2 + self.0[1] as usize
        }
    }
}

impl<'a> ObjectEntry<'a> {
    /// The instances in the order of their ids.
    pub fn instances(&self) -> impl Iterator<Item = ObjectInstanceId> + use<'a> {
        let mut rest = self.rest;
        let mut next = 0;
        (0..self.count).map(move |_| {
            let (id, after) = take_id(rest, next).expect("the list was checked when made");
            rest = after;
            next = u32::from(id) + 1;
            ObjectInstanceId(id)
        })
    }

    /// How many instances it has.
    pub const fn instance_count(&self) -> usize {
        self.count
    }
}

impl fmt::Debug for ObjectEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.id)?;
        if let Some(version) = self.version {
            write!(f, " {version}")?;
        }
        f.debug_list()
            .entries(self.instances().map(|id| id.0))
            .finish()
    }
}

impl fmt::Display for ObjectLinks {
    /// The payload of a Register (TS 5.3.1): the root link where it says something, then each
    /// Object by itself if it has a version or no instances, then its instances.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root();
        let mut comma = "";
        if !root.is_empty() || self.format_count() > 0 {
            let shown = if root.is_empty() { "/" } else { root };
            write!(f, "<{shown}>;rt=\"oma.lwm2m\"")?;
            write_formats(f, self.formats())?;
            comma = ",";
        }
        for entry in self.objects() {
            if entry.version.is_some() || entry.count == 0 {
                write!(f, "{comma}<{root}/{}>", entry.id)?;
                comma = ",";
            }
            if let Some(version) = entry.version {
                write!(f, ";ver={version}")?;
            }
            for instance in entry.instances() {
                write!(f, "{comma}<{root}/{}/{instance}>", entry.id)?;
                comma = ",";
            }
        }
        Ok(())
    }
}

fn write_formats(
    f: &mut fmt::Formatter<'_>,
    formats: impl Iterator<Item = ContentFormat>,
) -> fmt::Result {
    let numbers: Vec<String> = formats.map(|format| format.0.to_string()).collect();
    match numbers.as_slice() {
        [] => Ok(()),
        [one] => write!(f, ";ct={one}"),
        more => write!(f, ";ct=\"{}\"", more.join(" ")),
    }
}

impl fmt::Debug for ObjectLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A list in the making.
#[derive(Debug, Clone, Default)]
pub struct ObjectLinksBuilder {
    root: String,
    formats: Vec<ContentFormat>,
    objects: BTreeMap<ObjectId, (Option<ObjectVersion>, BTreeSet<ObjectInstanceId>)>,
}

impl ObjectLinksBuilder {
    /// Where the Objects are, if not at the root; without numbers between its slashes (TS 8.2.2).
    pub fn root(mut self, root: &str) -> Result<Self, LinkError> {
        self.root = check_root(root)?;
        Ok(self)
    }

    /// A format that the Client has for all Objects; beyond [`FORMATS_MAX`] they are left out.
    #[must_use]
    pub fn format(mut self, format: ContentFormat) -> Self {
        if self.formats.len() < FORMATS_MAX && !self.formats.contains(&format) {
            self.formats.push(format);
        }
        self
    }

    /// An Object, with or without instances.
    #[must_use]
    pub fn object(mut self, id: impl Into<ObjectId>) -> Self {
        self.objects.entry(id.into()).or_default();
        self
    }

    /// The version of an Object, which is put in if it is not there.
    #[must_use]
    pub fn version(mut self, id: impl Into<ObjectId>, version: ObjectVersion) -> Self {
        self.objects.entry(id.into()).or_default().0 = Some(version);
        self
    }

    /// An instance, with its Object.
    #[must_use]
    pub fn instance(
        mut self,
        object: impl Into<ObjectId>,
        instance: impl Into<ObjectInstanceId>,
    ) -> Self {
        self.objects
            .entry(object.into())
            .or_default()
            .1
            .insert(instance.into());
        self
    }

    /// The list. What it holds beyond [`LINKS_MAX`] links is left out, so that every list made can
    /// be decoded again.
    pub fn build(self) -> ObjectLinks {
        let mut entries = Vec::new();
        let mut versions = Vec::new();
        for (id, (version, instances)) in self.objects {
            entries.push((id.0, None));
            entries.extend(instances.iter().map(|instance| (id.0, Some(instance.0))));
            versions.extend(version.map(|version| (id.0, version)));
        }
        encode(&self.root, self.formats, &entries, &versions)
    }
}

/// Encodes what is sorted: Objects with and without instances, each once, and versions of Objects
/// among them, of which the last one counts.
pub(super) fn encode(
    root: &str,
    mut formats: Vec<ContentFormat>,
    entries: &[(u16, Option<u16>)],
    versions: &[(u16, ObjectVersion)],
) -> ObjectLinks {
    let mut bytes = Vec::with_capacity(8 + root.len() + 3 * entries.len());
    formats.sort_unstable();
    formats.dedup();
    formats.truncate(FORMATS_MAX);
    bytes.push((formats.len() as u8) << 1 | u8::from(!root.is_empty()));
    if !root.is_empty() {
        bytes.push(root.len() as u8);
        bytes.extend_from_slice(root.as_bytes());
    }
    formats
        .iter()
        .for_each(|format| bytes.extend_from_slice(&format.0.to_be_bytes()));
    let mut next = 0;
    let mut room = LINKS_MAX;
    for object in entries.chunk_by(|a, b| a.0 == b.0) {
        if room == 0 {
            break;
        }
        let id = object[0].0;
        let after = versions.partition_point(|(object, _)| *object <= id);
        let version = versions[..after].last().filter(|(object, _)| *object == id);
        put_number(
            &mut bytes,
            (u32::from(id) - next) << 1 | u32::from(version.is_some()),
        );
        next = u32::from(id) + 1;
        bytes.extend(
            version
                .iter()
                .flat_map(|(_, version)| [version.major, version.minor]),
        );
        let instances = object.iter().filter_map(|(_, instance)| *instance);
        let count = instances.clone().count().min(room);
        room -= count.max(1);
        put_number(&mut bytes, count as u32);
        let mut next = 0;
        for instance in instances.take(count) {
            put_number(&mut bytes, u32::from(instance) - next);
            next = u32::from(instance) + 1;
        }
    }
    ObjectLinks(Arc::from(bytes))
}

// The largest list has LINKS_MAX Objects of 3 + 2 + 1 bytes with one instance of 3 bytes each.
const _: () = assert!(LINKS_MAX * 9 + 2 + ROOT_BYTES_MAX + FORMATS_MAX * 2 <= LINKS_BYTES_MAX);

/// Brings an alternate path into its one form, or refuses it.
pub(super) fn check_root(root: &str) -> Result<String, LinkError> {
    let mut checked = String::new();
    for segment in root.split('/').filter(|segment| !segment.is_empty()) {
        let odd = |c: char| c.is_control() || "<>,;\" ".contains(c);
        if parse_id(segment).is_some() || segment.contains(odd) {
            return Err(LinkError::Root);
        }
        checked.push('/');
        checked.push_str(segment);
    }
    if checked.len() > ROOT_BYTES_MAX {
        Err(LinkError::Root)
    } else {
        Ok(checked)
    }
}

/// Whether the bytes are a list in its one form.
fn is_canonical(bytes: &[u8]) -> bool {
    let Some((&head, mut rest)) = bytes.split_first() else {
        return false;
    };
    if head >> 4 != 0 {
        return false;
    }
    if head & 1 == 1 {
        let Some((&length, after)) = rest.split_first() else {
            return false;
        };
        let Some((root, after)) = after.split_at_checked(length as usize) else {
            return false;
        };
        let is_root = core::str::from_utf8(root)
            .is_ok_and(|text| !text.is_empty() && check_root(text).is_ok_and(|root| root == text));
        if !is_root {
            return false;
        }
        rest = after;
    }
    let Some((formats, mut rest)) = rest.split_at_checked((head >> 1) as usize * 2) else {
        return false;
    };
    if !formats.as_chunks::<2>().0.is_sorted_by(|a, b| a < b) {
        return false;
    }
    let (mut next, mut links) = (0, 0);
    while !rest.is_empty() {
        let Some((entry, after)) = take_entry(rest, next) else {
            return false;
        };
        next = u32::from(entry.id.0) + 1;
        rest = after;
        links += entry.count.max(1);
    }
    links <= LINKS_MAX
}

/// Reads one Object whose id is at least `next`, and passes over its instances.
fn take_entry(bytes: &[u8], next: u32) -> Option<(ObjectEntry<'_>, &[u8])> {
    let (number, rest) = take_number(bytes)?;
    let id = u16::try_from(next.checked_add(number >> 1)?).ok()?;
    let (version, rest) = match number & 1 {
        0 => (None, rest),
        _ => {
            let ([major, minor], rest) = rest.split_first_chunk::<2>()?;
            (
                Some(ObjectVersion {
                    major: *major,
                    minor: *minor,
                }),
                rest,
            )
        }
    };
    let (count, rest) = take_number(rest)?;
    let mut after = rest;
    let mut next = 0;
    for _ in 0..count {
        let (instance, behind) = take_id(after, next)?;
        next = u32::from(instance) + 1;
        after = behind;
    }
    Some((
        ObjectEntry {
            id: ObjectId(id),
            version,
            count: count as usize,
            rest,
        },
        after,
    ))
}

fn take_id(bytes: &[u8], next: u32) -> Option<(u16, &[u8])> {
    let (distance, rest) = take_number(bytes)?;
    Some((u16::try_from(next.checked_add(distance)?).ok()?, rest))
}

fn put_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// LEB128 of at most three bytes, in its shortest form only.
fn take_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().take(3).enumerate() {
        number |= u32::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let shortest = index == 0 || byte != 0;
            return shortest.then_some((number, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> ParsedLinks {
        ObjectLinks::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_the_list_has_is_found() {
        let links = parse("</1/0>,</3/0>,</5>,</9>;ver=1.1,</9/3>,</9/7>").links;
        assert!(links.contains(&Path::from([9, 7])));
        assert!(links.contains(&Path::from([9, 7, 1])));
        assert!(links.contains(&Path::from([5])));
        assert!(!links.contains(&Path::from([5, 0])));
        assert!(!links.contains(&Path::from([8])));
        let nine = links.object(ObjectId(9)).unwrap();
        assert_eq!(nine.version, Some(ObjectVersion { major: 1, minor: 1 }));
        assert_eq!(nine.instances().map(|id| id.0).collect::<Vec<_>>(), [3, 7]);
        assert_eq!(links.to_builder().build(), links);
    }

    #[test]
    fn damaged_bytes_are_not_decoded() {
        let good =
            parse("</lwm2m>;rt=\"oma.lwm2m\";ct=\"60 110\",</lwm2m/1/0>,</lwm2m/3>;ver=1.1").links;
        assert_eq!(ObjectLinks::decode(good.encode()), Ok(good.clone()));
        for bytes in [
            &[][..],    // nothing
            &[0x10],    // a layout of another time
            &[0x01],    // a root without length
            &[0x01, 0], // an empty root
            &[0x01, 2, b'/', b'3'],
            &[0x02, 0],                      // half a format
            &[0, 2],                         // an Object without number of instances
            &[0, 2, 2, 0],                   // too few instances
            &[0, 0x82, 0x00, 0],             // a number that is longer than it need be
            &[0, 0xfe, 0xff, 0x07, 0, 0, 0], // an Object after the last
        ] {
            assert_eq!(
                ObjectLinks::decode(bytes),
                Err(LinkError::Damaged),
                "{bytes:x?}"
            );
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_decode_to_what_encodes_alike(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(links) = ObjectLinks::decode(&bytes) {
                let again = links.to_builder().build();
                prop_assert_eq!(again.encode(), &bytes[..]);
            }
        }
    }
}
