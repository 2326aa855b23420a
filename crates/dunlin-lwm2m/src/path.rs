//! Where something is: `/`, `/3`, `/3/0`, `/3/0/1`, `/3/0/6/1`.
//!
//! Every operation names its target by a [`Path`], without the Client's alternate path, which only
//! the spelling in CoAP adds (TS 8.2.2). LwM2M 1.0 addresses three levels; the fourth, the
//! Resource Instance, is how formats name single values, and a target from 1.1 on.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::id::{ObjectId, ObjectInstanceId, ResourceId, ResourceInstanceId};

/// A place in the tree of a Client; at most four ids deep. Ordered as a tree is walked: a parent
/// before its children.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    // Ids beyond `depth` are zero, so that derived equality and hashing hold.
    ids: [u16; 4],
    depth: u8,
}

/// How deep a [`Path`] reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `/`, everything.
    Root,
    /// `/3`
    Object,
    /// `/3/0`
    Instance,
    /// `/3/0/1`
    Resource,
    /// `/3/0/6/1`
    ResourceInstance,
}

impl Path {
    /// `/`: all Objects.
    pub const ROOT: Self = Self {
        ids: [0; 4],
        depth: 0,
    };

    /// `/object`
    pub const fn object(object: ObjectId) -> Self {
        Self {
            ids: [object.0, 0, 0, 0],
            depth: 1,
        }
    }

    /// `/object/instance`
    pub const fn instance(object: ObjectId, instance: ObjectInstanceId) -> Self {
        Self {
            ids: [object.0, instance.0, 0, 0],
            depth: 2,
        }
    }

    /// `/object/instance/resource`
    pub const fn resource(
        object: ObjectId,
        instance: ObjectInstanceId,
        resource: ResourceId,
    ) -> Self {
        Self {
            ids: [object.0, instance.0, resource.0, 0],
            depth: 3,
        }
    }

    /// `/object/instance/resource/resource instance`
    pub const fn resource_instance(
        object: ObjectId,
        instance: ObjectInstanceId,
        resource: ResourceId,
        resource_instance: ResourceInstanceId,
    ) -> Self {
        Self {
            ids: [object.0, instance.0, resource.0, resource_instance.0],
            depth: 4,
        }
    }

    /// From its ids, the Object first; `None` beyond four.
    pub fn from_ids(ids: &[u16]) -> Option<Self> {
        let mut path = Self::ROOT;
        path.ids.get_mut(..ids.len())?.copy_from_slice(ids);
        path.depth = ids.len() as u8;
        Some(path)
    }

    /// From the segments of a URI path, as Uri-Path options bring them. Each is a decimal number
    /// of 0..=65535; empty segments, which some stacks send for a trailing slash, are passed over.
    pub fn from_segments<'a>(
        segments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PathError> {
        let mut path = Self::ROOT;
        for segment in segments {
            if segment.is_empty() {
                continue;
            }
            if path.depth == 4 {
                return Err(PathError::TooDeep);
            }
            path.ids[path.depth as usize] = parse_id(segment).ok_or(PathError::NotANumber)?;
            path.depth += 1;
        }
        Ok(path)
    }

    /// The ids, the Object first; empty for the root.
    pub fn ids(&self) -> &[u16] {
        &self.ids[..self.depth as usize]
    }

    /// How deep it reaches.
    pub const fn level(&self) -> Level {
        match self.depth {
            0 => Level::Root,
            1 => Level::Object,
            2 => Level::Instance,
            3 => Level::Resource,
            _ => Level::ResourceInstance,
        }
    }

    /// Which Object it names or lies in; `None` for the root.
    pub fn object_id(&self) -> Option<ObjectId> {
        self.ids().first().copied().map(ObjectId)
    }

    /// Which Object Instance it names or lies in.
    pub fn instance_id(&self) -> Option<ObjectInstanceId> {
        self.ids().get(1).copied().map(ObjectInstanceId)
    }

    /// Which Resource it names or lies in.
    pub fn resource_id(&self) -> Option<ResourceId> {
        self.ids().get(2).copied().map(ResourceId)
    }

    /// Which Resource Instance it names.
    pub fn resource_instance_id(&self) -> Option<ResourceInstanceId> {
        self.ids().get(3).copied().map(ResourceInstanceId)
    }

    /// One level up; `None` above the root.
    pub fn parent(&self) -> Option<Self> {
        let mut path = *self;
        path.depth = self.depth.checked_sub(1)?;
        path.ids[path.depth as usize] = 0;
        Some(path)
    }

    /// One level down; `None` below a Resource Instance.
    pub fn child(&self, id: u16) -> Option<Self> {
        let mut path = *self;
        *path.ids.get_mut(self.depth as usize)? = id;
        path.depth += 1;
        Some(path)
    }

    /// Whether `other` is this place or lies below it.
    pub fn contains(&self, other: &Self) -> bool {
        other.ids().starts_with(self.ids())
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.ids().cmp(other.ids())
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

macro_rules! from_ids {
    ($($len:literal)*) => {
        $(impl From<[u16; $len]> for Path {
            fn from(ids: [u16; $len]) -> Self {
                let mut path = Self::ROOT;
                path.ids[..$len].copy_from_slice(&ids);
                path.depth = $len;
                path
            }
        })*
    };
}

from_ids!(1 2 3 4);

impl FromStr for Path {
    type Err = PathError;

    /// Reads `/3/0/1`. A missing first slash and a trailing one are tolerated, since people type
    /// them and devices send them.
    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::from_segments(text.split('/'))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.depth == 0 {
            return f.write_str("/");
        }
        self.ids().iter().try_for_each(|id| write!(f, "/{id}"))
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a decimal id of 0..=65535 in its one form: digits alone, so that neither `+1` nor ` 1` is
/// an id, and no zero before them, since `/3/01` is another URI than `/3/1`.
pub(crate) fn parse_id(text: &str) -> Option<u16> {
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if leading_zero || text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// A segment is not a decimal number of 0 to 65535.
    #[error("a path has numbers from 0 to 65535 between its slashes, such as /3/0/1")]
    NotANumber,
    /// More than four levels.
    #[error("a path has at most four levels: object, instance, resource, resource instance")]
    TooDeep,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ts_8_2_5_paths_read_as_they_are_written() {
        for (text, path) in [
            ("/", Path::ROOT),
            ("/3", Path::from([3])),
            ("/3/0", Path::from([3, 0])),
            ("/65535/65534/1", Path::from([65535, 65534, 1])),
            ("/3/0/6/1", Path::from([3, 0, 6, 1])),
        ] {
            assert_eq!(text.parse(), Ok(path));
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn slashes_too_few_and_too_many_are_tolerated() {
        for text in ["3/0", "/3/0/", "//3//0", "3/0/"] {
            assert_eq!(text.parse(), Ok(Path::from([3, 0])), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_no_path() {
        for text in [
            "/a", "/3/-1", "/3/+1", "/65536", "/3/0 ", "/3/0x1", "/rd", "/3/00",
        ] {
            assert_eq!(text.parse::<Path>(), Err(PathError::NotANumber), "{text}");
        }
        assert_eq!("/1/2/3/4/5".parse::<Path>(), Err(PathError::TooDeep));
        assert_eq!(Path::from_ids(&[1, 2, 3, 4, 5]), None);
    }

    #[test]
    fn parents_children_and_what_lies_below() {
        let resource = Path::from([3, 0, 9]);
        assert_eq!(resource.parent(), Some(Path::from([3, 0])));
        assert_eq!(Path::from([3, 0]).child(9), Some(resource));
        assert_eq!(Path::ROOT.parent(), None);
        assert_eq!(Path::from([3, 0, 6, 1]).child(0), None);
        assert!(Path::ROOT.contains(&resource));
        assert!(resource.contains(&resource));
        assert!(!resource.contains(&Path::from([3, 0])));
        assert!(!Path::from([3]).contains(&Path::from([30, 0])));
        assert_eq!(resource.level(), Level::Resource);
        assert_eq!(resource.resource_id(), Some(ResourceId(9)));
        assert_eq!(resource.resource_instance_id(), None);
    }

    #[test]
    fn a_parent_comes_before_its_children() {
        let mut paths = [
            Path::from([3, 1]),
            Path::from([3, 0, 9]),
            Path::from([3, 0]),
            Path::ROOT,
        ];
        paths.sort();
        assert_eq!(
            paths,
            [
                Path::ROOT,
                Path::from([3, 0]),
                Path::from([3, 0, 9]),
                Path::from([3, 1])
            ]
        );
    }
}
