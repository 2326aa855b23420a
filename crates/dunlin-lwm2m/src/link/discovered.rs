//! The answer to Discover and Bootstrap-Discover: what exists, with its attributes (TS 5.4.2,
//! 5.2.7.3).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{LINKS_BYTES_MAX, LINKS_MAX, Link, LinkError, Links, Param};
use crate::attribute::Attributes;
use crate::deviation::{Deviation, Deviations};
use crate::id::ShortServerId;
use crate::path::Path;
use crate::version::{LwM2mVersion, ObjectVersion};

/// What a Client has below the target of a Discover.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Discovered {
    /// The version of the enabler; Bootstrap-Discover only.
    pub version: Option<LwM2mVersion>,
    /// What exists, in the order of the answer.
    pub links: Vec<DiscoveredLink>,
    /// What was tolerated in reading.
    pub deviations: Deviations,
}

/// One thing that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct DiscoveredLink {
    /// Where, without the alternate path.
    pub path: Path,
    /// `dim`: how many Resource Instances a multiple Resource has.
    pub dimension: Option<u16>,
    /// `ver`: the version of an Object.
    pub version: Option<ObjectVersion>,
    /// `ssid`: the Server that an instance of Object 0 or 1 belongs to.
    pub short_server_id: Option<ShortServerId>,
    /// `uri`: the address of that Server (1.1).
    pub uri: Option<String>,
    /// The notification attributes.
    pub attributes: Attributes,
}

impl DiscoveredLink {
    /// A link without anything further.
    pub const fn new(path: Path) -> Self {
        Self {
            path,
            dimension: None,
            version: None,
            short_server_id: None,
            uri: None,
            attributes: Attributes::NONE,
        }
    }
}

impl Discovered {
    /// Reads the answer; `root` is the alternate path of the Client, empty if it has none. Links
    /// are understood with it and without it.
    pub fn parse(payload: &[u8], root: &str) -> Result<Self, LinkError> {
        if payload.len() > LINKS_BYTES_MAX {
            return Err(LinkError::TooLong {
                bytes: payload.len(),
            });
        }
        let text = String::from_utf8_lossy(payload);
        let mut discovered = Self::default();
        if matches!(text, alloc::borrow::Cow::Owned(_)) {
            discovered.deviations.insert(Deviation::LinksNotText);
        }
        let mut links = Links::new(&text);
        for link in links.by_ref() {
            if discovered.links.len() == LINKS_MAX {
                return Err(LinkError::TooMany);
            }
            match link {
                Ok(link) => discovered.read_link(link, root),
                Err(()) => discovered.deviations.insert(Deviation::LinkSkipped),
            }
        }
        if links.whitespace {
            discovered.deviations.insert(Deviation::LinkWhitespace);
        }
        Ok(discovered)
    }

    /// The payload, with the Objects below `root`; Bootstrap-Discover has no root (TS 8.2.2).
    pub fn write(&self, root: &str) -> String {
        use fmt::Write as _;
        let mut text = String::new();
        let mut comma = "";
        if let Some(version) = self.version {
            let _ = write!(text, "</>;lwm2m={version}");
            comma = ",";
        }
        for link in &self.links {
            let _ = write!(text, "{comma}<{root}{}>", link.path);
            let _ = write!(text, "{}", LinkParams(link));
            comma = ",";
        }
        text
    }

    /// The payload of Bootstrap-Discover as 1.0 itself prints it: the version first and without a
    /// target, which is no link. Some Bootstrap-Servers expect it, others refuse it.
    pub fn write_with_bare_version(&self) -> String {
        let mut bare = self.clone();
        let head = bare
            .version
            .take()
            .map(|version| alloc::format!("lwm2m=\"{version}\""));
        let links = bare.write("");
        match head {
            Some(head) if links.is_empty() => head,
            Some(head) => alloc::format!("{head},{links}"),
            None => links,
        }
    }

    fn read_link(&mut self, link: Link<'_>, root: &str) {
        let Some(target) = link.target.map(str::trim) else {
            // `lwm2m="1.0"` without a target, as 1.0 prints it.
            self.read_version(link);
            return;
        };
        let inside = target.trim_start_matches('/');
        let below = inside
            .strip_prefix(root.trim_start_matches('/'))
            .filter(|below| root.is_empty() || below.is_empty() || below.starts_with('/'))
            .unwrap_or(inside);
        match below.parse::<Path>() {
            Ok(Path::ROOT) => self.read_version(link),
            Ok(path) => {
                if target.ends_with('/') {
                    self.deviations.insert(Deviation::LinkTrailingSlash);
                }
                let link = read_params(path, link, &mut self.deviations);
                self.links.push(link);
            }
            Err(_) => self.deviations.insert(Deviation::LinkSkipped),
        }
    }

    fn read_version(&mut self, link: Link<'_>) {
        let stated = link
            .params()
            .find(|param| param.name == "lwm2m")
            .and_then(|param| param.value);
        if let Some(Ok(version)) = stated.map(|value| value.parse()) {
            self.version = Some(version);
        }
    }
}

fn read_params(path: Path, link: Link<'_>, deviations: &mut Deviations) -> DiscoveredLink {
    let mut read = DiscoveredLink::new(path);
    for Param { name, value, .. } in link.params() {
        let Some(value) = value else { continue };
        match name {
            "dim" => read.dimension = value.parse().ok(),
            "ver" => match value.parse() {
                Ok(version) => read.version = Some(version),
                Err(_) => deviations.insert(Deviation::ObjectVersionInvalid),
            },
            "ssid" => {
                read.short_server_id = value.parse().ok().and_then(ShortServerId::new);
            }
            "uri" => read.uri = Some(value.into_owned()),
            // Attributes we do not know mean nothing to us (TS 5.4.2).
            _ => {
                read.attributes.read_param(name, &value);
            }
        }
    }
    read
}

struct LinkParams<'a>(&'a DiscoveredLink);

impl fmt::Display for LinkParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = self.0;
        if let Some(dimension) = link.dimension {
            write!(f, ";dim={dimension}")?;
        }
        if let Some(version) = link.version {
            write!(f, ";ver={version}")?;
        }
        if let Some(id) = link.short_server_id {
            write!(f, ";ssid={id}")?;
        }
        if let Some(uri) = &link.uri {
            f.write_str(";uri=\"")?;
            for char in uri.chars() {
                if matches!(char, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{char}")?;
            }
            f.write_str("\"")?;
        }
        write!(f, "{}", link.attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Discovered {
        Discovered::parse(text.as_bytes(), "").unwrap()
    }

    #[test]
    fn ts_5_4_2_samples_are_read_and_written() {
        for text in [
            "</3>;pmin=10,</3/0>,</3/0/1>,</3/0/16>",
            "</3/0>;pmax=60,</3/0/1>,</3/0/6>;dim=8,</3/0/7>;dim=8;gt=50;lt=42.2,</3/0/16>",
            "</3/0/7>;dim=8;pmin=10;pmax=60;gt=50;lt=42.2",
            "",
        ] {
            assert_eq!(parse(text).write(""), text);
        }
        let answer = parse("</3/0/7>;dim=8;pmin=10;gt=50");
        assert_eq!(answer.links[0].dimension, Some(8));
        assert_eq!(
            answer.links[0].attributes,
            Attributes {
                pmin_s: Some(10),
                gt: Some(50.0),
                ..Attributes::NONE
            }
        );
    }

    #[test]
    fn ts_5_2_7_3_the_bare_version_of_1_0_and_the_later_one_are_read() {
        for head in [
            "lwm2m=\"1.0\"",
            "lwm2m=1.0",
            "</>;lwm2m=1.0",
            "</>;lwm2m=\"1.0\"",
        ] {
            let answer = parse(&alloc::format!("{head},</0/0>;ssid=101,</0/1/>,</5>"));
            assert_eq!(answer.version, Some(LwM2mVersion::V1_0), "{head}");
            assert_eq!(
                answer.write(""),
                "</>;lwm2m=1.0,</0/0>;ssid=101,</0/1>,</5>",
                "{head}"
            );
        }
    }

    #[test]
    fn ts_5_2_7_3_the_bare_version_is_written_on_demand() {
        let text = "lwm2m=\"1.0\",</0/0>;ssid=101,</5>";
        assert_eq!(parse(text).write_with_bare_version(), text);
        assert_eq!(
            parse("lwm2m=\"1.0\"").write_with_bare_version(),
            "lwm2m=\"1.0\""
        );
        assert_eq!(parse("</5>").write_with_bare_version(), "</5>");
    }

    #[test]
    fn ts_8_2_2_the_alternate_path_is_taken_off_and_put_on() {
        let answer = Discovered::parse(b"</lwm2m/3/0>,</3/0/1>,</lwm2mx/3>", "/lwm2m").unwrap();
        assert_eq!(answer.links.len(), 2);
        assert!(answer.deviations.contains(Deviation::LinkSkipped));
        assert_eq!(answer.write("/lwm2m"), "</lwm2m/3/0>,</lwm2m/3/0/1>");
    }

    #[test]
    fn unknown_and_damaged_parameters_are_passed_over() {
        let answer =
            parse("</3/0/9>;color=red;dim=x;ver=one;gt=abc;lt=3;epmin=4;obs,<x>,</0/0>;ssid=0");
        assert_eq!(answer.write(""), "</3/0/9>;lt=3,</0/0>");
        let uri = parse("</0/0>;uri=\"coaps://a\\\"b:5684\"");
        assert_eq!(uri.links[0].uri.as_deref(), Some("coaps://a\"b:5684"));
        assert_eq!(parse(&uri.write("")).links, uri.links);
    }
}
