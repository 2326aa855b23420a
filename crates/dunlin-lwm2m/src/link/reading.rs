//! Reading of object lists from link format, as tolerantly as devices in the field need it.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::objects::{self, ParsedLinks, check_root};
use super::{LINKS_BYTES_MAX, LINKS_MAX, Link, LinkError, Links, collect_formats};
use crate::content_format::ContentFormat;
use crate::deviation::{Deviation, Deviations};
use crate::id::{MAX_ID, ObjectId};
use crate::path::{Path, parse_id};
use crate::version::ObjectVersion;

/// See [`super::ObjectLinks::parse`].
pub(super) fn read(payload: &[u8]) -> Result<ParsedLinks, LinkError> {
    if payload.len() > LINKS_BYTES_MAX {
        return Err(LinkError::TooLong {
            bytes: payload.len(),
        });
    }
    let text = String::from_utf8_lossy(payload);
    let mut reading = Reading::default();
    if matches!(text, Cow::Owned(_)) {
        reading.deviations.insert(Deviation::LinksNotText);
    }
    reading.find_root(&text);
    reading.read(&text)?;
    reading.finish()
}

/// A list while it is read from link format.
#[derive(Default)]
struct Reading {
    root: Option<String>,
    root_stated: bool,
    formats: Vec<ContentFormat>,
    entries: Vec<(u16, Option<u16>)>,
    versions: Vec<(u16, ObjectVersion)>,
    deviations: Deviations,
}

impl Reading {
    /// Finds the link of type `oma.lwm2m`, wherever it stands in the list.
    fn find_root(&mut self, text: &str) {
        if !text.contains("oma.lwm2m") {
            return;
        }
        let root = Links::new(text).flatten().find_map(|link| {
            let names_us = |types: Cow<'_, str>| types.split_whitespace().any(|t| t == "oma.lwm2m");
            let is_root = link
                .params()
                .any(|param| param.name == "rt" && param.value.is_some_and(names_us));
            link.target.filter(|_| is_root)
        });
        match root.map(check_root) {
            Some(Ok(root)) => {
                self.root = Some(root);
                self.root_stated = true;
            }
            Some(Err(_)) => self.deviations.insert(Deviation::LinkSkipped),
            None => {}
        }
    }

    fn read(&mut self, text: &str) -> Result<(), LinkError> {
        let mut links = Links::new(text);
        for (count, link) in links.by_ref().enumerate() {
            if count == LINKS_MAX {
                return Err(LinkError::TooMany);
            }
            match link {
                Ok(link) => self.read_link(link),
                Err(()) => self.deviations.insert(Deviation::LinkSkipped),
            }
        }
        if links.whitespace {
            self.deviations.insert(Deviation::LinkWhitespace);
        }
        Ok(())
    }

    fn read_link(&mut self, link: Link<'_>) {
        let Some(target) = link.target else {
            self.deviations.insert(Deviation::LinkSkipped);
            return;
        };
        let target = target.trim();
        let Some(below) = self.below_root(target) else {
            self.deviations.insert(Deviation::LinkSkipped);
            return;
        };
        if !target.starts_with('/') {
            self.deviations.insert(Deviation::LinkWithoutSlash);
        }
        if below.len() > 1 && below.ends_with('/') {
            self.deviations.insert(Deviation::LinkTrailingSlash);
        }
        match below.parse::<Path>() {
            Ok(Path::ROOT) => self.read_root_link(link),
            Ok(path) => self.read_object_link(path, link),
            Err(_) => self.deviations.insert(Deviation::LinkSkipped),
        }
    }

    /// What follows the alternate path. Where none was stated, the first link with a prefix that
    /// is no number gives it.
    fn below_root<'a>(&mut self, target: &'a str) -> Option<&'a str> {
        let path = target.strip_prefix('/').unwrap_or(target);
        if let Some(root) = &self.root
            && let Some(inner) = root.strip_prefix('/')
        {
            if let Some(below) = path.strip_prefix(inner)
                && (below.is_empty() || below.starts_with('/'))
            {
                return Some(below);
            }
            // Some list their Objects without the path they have declared.
            let first = path.split('/').next().unwrap_or("");
            return parse_id(first).map(|_| path);
        }
        if self.root.is_some() {
            return Some(path);
        }
        let prefix_end = prefix_length(path);
        if prefix_end == 0 {
            return Some(path);
        }
        if prefix_end == path.len() || !self.entries.is_empty() {
            return None;
        }
        self.root = Some(check_root(&path[..prefix_end]).ok()?);
        self.deviations.insert(Deviation::RootInferred);
        Some(&path[prefix_end..])
    }

    fn read_root_link(&mut self, link: Link<'_>) {
        let mut seen = !self.formats.is_empty();
        for param in link.params().filter(|param| param.name == "ct") {
            let Some(value) = param.value else { continue };
            if seen || !param.is_quoted && value.contains(' ') {
                self.deviations.insert(Deviation::ContentFormatsSpelling);
            }
            seen = true;
            collect_formats(&value, &mut self.formats);
        }
    }

    fn read_object_link(&mut self, path: Path, link: Link<'_>) {
        let object = path.object_id().expect("the root was told apart").0;
        let instance = path.instance_id().map(|instance| instance.0);
        if object == ObjectId::SECURITY.0 {
            self.deviations.insert(Deviation::SecurityObjectListed);
            return;
        }
        if instance == Some(MAX_ID) {
            self.deviations.insert(Deviation::InstanceReserved);
            return;
        }
        if path.resource_id().is_some() {
            self.deviations.insert(Deviation::LinkToResource);
        }
        for param in link.params().filter(|param| param.name == "ver") {
            match param.value.as_deref().map(str::parse) {
                Some(Ok(version)) if instance.is_none() => self.versions.push((object, version)),
                Some(Ok(_)) => self.deviations.insert(Deviation::ObjectVersionOnInstance),
                Some(Err(_)) | None => self.deviations.insert(Deviation::ObjectVersionInvalid),
            }
        }
        self.entries.push((object, instance));
    }

    fn finish(mut self) -> Result<ParsedLinks, LinkError> {
        if self.entries.is_empty() {
            return Err(LinkError::Empty);
        }
        let listed = |id: ObjectId| self.entries.iter().any(|(object, _)| *object == id.0);
        if !listed(ObjectId::SERVER) || !listed(ObjectId::DEVICE) {
            self.deviations.insert(Deviation::MandatoryObjectMissing);
        }
        self.entries.sort_unstable();
        self.entries.dedup();
        // The last version that was stated for an Object counts.
        self.versions.sort_by_key(|(object, _)| *object);
        let root = self.root.unwrap_or_default();
        let links = objects::encode(&root, self.formats, &self.entries, &self.versions);
        Ok(ParsedLinks {
            links,
            root_stated: self.root_stated,
            deviations: self.deviations,
        })
    }
}

/// The length of the leading segments that are no numbers.
fn prefix_length(path: &str) -> usize {
    let mut end = 0;
    for segment in path.split('/') {
        if segment.is_empty() || parse_id(segment).is_some() {
            break;
        }
        end += segment.len() + 1;
    }
    end.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::super::ObjectLinks;
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> ParsedLinks {
        ObjectLinks::parse(text.as_bytes()).unwrap()
    }

    fn written(text: &str) -> String {
        parse(text).links.to_string()
    }

    #[test]
    fn ts_5_3_1_samples_are_read_without_deviation() {
        for text in [
            "</1>,</2>,</3>,</4>,</5>",
            "</1/0>,</1/1>,</2/0>,</2/1>,</2/2>,</2/3>,</2/4>,</3/0>,</4/0>,</5>",
            "</>;rt=\"oma.lwm2m\";ct=11543,</1/0>,</3/0>",
            "</>;rt=\"oma.lwm2m\";ct=\"11542 11543\",</1/0>,</3/0>",
            "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/1/1>,</lwm2m/3/0>",
            "</1/0>,</3/0>,</44>;ver=2.2,</44/0>,</65534/65534>",
        ] {
            let parsed = parse(text);
            assert_eq!(parsed.deviations, Deviations::NONE, "{text}");
            assert_eq!(parsed.links.to_string(), text);
        }
        // A root link without a hint says nothing that a list without it does not say.
        assert_eq!(
            written("</>;rt=\"oma.lwm2m\",</1/0>,</3/0>"),
            "</1/0>,</3/0>"
        );
    }

    #[test]
    fn ts_5_3_1_equal_contents_are_equal_bytes() {
        let one = parse("</3/0>,</1/0>,</44/0>,</44>;ver=\"1.1\",</1/0>").links;
        let two = parse("</1>,</1/0>,</3/0>,</44>;ver=1.1,</44/0>").links;
        assert_eq!(one, two);
        assert_eq!(one.encode(), two.encode());
        assert_ne!(one, parse("</1/0>,</3/0>,</44/0>").links);
    }

    #[test]
    fn an_instance_costs_about_three_bytes() {
        let links = parse(
            "</1/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</3303/0>,</3304/0>,</3311/0>,</3342/0>",
        );
        assert!(
            links.links.encode().len() <= 33,
            "{}",
            links.links.encode().len()
        );
    }

    #[test]
    fn quirks_33_to_39_what_devices_send_is_understood_and_noted() {
        use Deviation as D;
        let good = "</1/0>,</3/0>";
        for (text, deviation, expected) in [
            ("</1/0> , \n</3/0>", D::LinkWhitespace, good),
            ("</1/0/>,</3/0>", D::LinkTrailingSlash, good),
            ("<1/0>,</3/0>", D::LinkWithoutSlash, good),
            ("</1/0>,</3/0/1>,</3/0/6/1>", D::LinkToResource, good),
            ("</0/0>,</1/0>,</3/0>", D::SecurityObjectListed, good),
            ("</1/0>,</3/0>,</5/65535>", D::InstanceReserved, good),
            ("</1/0>;ver=1.0,</3/0>", D::ObjectVersionOnInstance, good),
            ("</1/0>,</3>;ver=,</3/0>", D::ObjectVersionInvalid, good),
            ("</1/0>,</3/0>,</x", D::LinkSkipped, good),
            ("</1/0>,</3/0>,<nothing>", D::LinkSkipped, good),
            ("</1/0>,</3/0>,</3/0/0/0/0>", D::LinkSkipped, good),
            ("</1/0>,</3/0>,hello", D::LinkSkipped, good),
            ("</1/0>,</3/0>,</9\u{fffd}>", D::LinkSkipped, good),
            ("</1/0>", D::MandatoryObjectMissing, "</1/0>"),
            (
                "</lwm2m/1/0>,</lwm2m/3/0>",
                D::RootInferred,
                "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3/0>",
            ),
            (
                "</>;ct=110 112,</1/0>,</3/0>",
                D::ContentFormatsSpelling,
                "</>;rt=\"oma.lwm2m\";ct=\"110 112\",</1/0>,</3/0>",
            ),
            (
                "</>;ct=110;ct=\"112\",</1/0>,</3/0>",
                D::ContentFormatsSpelling,
                "</>;rt=\"oma.lwm2m\";ct=\"110 112\",</1/0>,</3/0>",
            ),
        ] {
            let parsed = parse(text);
            assert_eq!(parsed.deviations, deviation.into(), "{text}");
            assert_eq!(parsed.links.to_string(), expected, "{text}");
        }
        let parsed = ObjectLinks::parse(b"</1/0>,</3/0>,<\xff\xfe>").unwrap();
        assert!(parsed.deviations.contains(D::LinksNotText));
    }

    #[test]
    fn ts_8_2_2_the_alternate_path_is_found_wherever_it_stands() {
        let last = parse("</lwm2m/1/0>,</lwm2m/3/0>,</lwm2m>;rt=\"oma.lwm2m\";ct=11543");
        assert_eq!(last.links.root(), "/lwm2m");
        assert!(last.root_stated);
        assert!(last.links.contains(&Path::from([3, 0])));
        // Declared and not used: the Objects are understood all the same.
        assert_eq!(
            parse("</lwm2m>;rt=oma.lwm2m,</1/0>,</3/0>").links.root(),
            "/lwm2m"
        );
        assert!(!parse("</1/0>,</3/0>").root_stated);
        assert_eq!(
            parse("</1/0>,</3/0>")
                .links
                .with_root("/a/b/")
                .unwrap()
                .root(),
            "/a/b"
        );
        for root in ["/3", "/a/3", "/a>b", "/a b", &"/x".repeat(40)] {
            assert_eq!(
                ObjectLinks::builder().root(root).err(),
                Some(LinkError::Root),
                "{root}"
            );
        }
    }

    #[test]
    fn what_has_no_object_or_no_end_is_refused() {
        for text in ["", ",,,", "</>;rt=\"oma.lwm2m\"", "</0/0>", "hello", "<"] {
            assert_eq!(
                ObjectLinks::parse(text.as_bytes()),
                Err(LinkError::Empty),
                "{text}"
            );
        }
        let many = "</1/0>,".repeat(LINKS_MAX + 1);
        assert_eq!(ObjectLinks::parse(many.as_bytes()), Err(LinkError::TooMany));
        let long = alloc::vec![b' '; LINKS_BYTES_MAX + 1];
        assert!(matches!(
            ObjectLinks::parse(&long),
            Err(LinkError::TooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn hostile_lists_are_bounded_and_what_is_read_is_written(
            text in proptest::collection::vec(
                prop::sample::select(b"<>/,;=\" \\013465verctoma.lwm2m\xff".to_vec()), 0..200)
        ) {
            crate::fuzz::link(&text);
        }
    }
}
