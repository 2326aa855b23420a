//! Object definition files: the XML that the OMA registry and vendors publish (TS Annex J, K).
//!
//! One pass over the events of the XML; each text element is taken when it ends, by its name and
//! the element around it. A broken file is refused with line, column and what is wrong, because
//! people write these files by hand. Files come from strangers, too: there are no entities but the
//! five of XML, so nothing can multiply, and size, depth and number of Resources are bounded.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use quick_xml::events::{BytesStart, Event};
use thiserror::Error;

use super::{ObjectDefinition, Operations, ResourceDefinition};
use crate::id::{ObjectId, ResourceId};
use crate::value::ValueType;
use crate::version::{LwM2mVersion, ObjectVersion};

/// Larger files are refused; the largest of the public registry has 34 kB.
pub const DDF_BYTES_MAX: usize = 1_000_000;

/// More Resources in one Object are refused; the largest Object of the public registry has 100.
pub const DDF_RESOURCES_MAX: usize = 4_096;

/// The format is five elements deep; what is deeper is something else.
const DEPTH_MAX: usize = 8;

/// More Objects in one file are refused; the format is meant for one.
const OBJECTS_MAX: usize = 64;

/// Why a definition file was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct DdfError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: DdfProblem,
}

impl fmt::Display for DdfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.problem
        )
    }
}

/// What can be wrong with a definition file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DdfProblem {
    /// More than [`DDF_BYTES_MAX`].
    #[error("the file has {bytes} bytes, {DDF_BYTES_MAX} are the most")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// Not XML.
    #[error("this is not XML: {message}")]
    NotXml {
        /// What the reader says.
        message: String,
    },
    /// A document type, with which entities are defined.
    #[error("a document type is not allowed in an object definition")]
    DocumentType,
    /// An entity that XML itself does not have.
    #[error("the entity &{name}; is not known")]
    Entity {
        /// Its name.
        name: String,
    },
    /// Elements in elements in elements.
    #[error("the elements are nested too deeply for an object definition")]
    TooDeep,
    /// Another kind of file.
    #[error("the file begins with <{found}> where an object definition has <LWM2M>")]
    NotADefinition {
        /// The element it begins with.
        found: String,
    },
    /// No Object in it.
    #[error("the file defines no object")]
    NoObject,
    /// More than one can want.
    #[error("the file defines more objects or resources than are read")]
    TooMany,
    /// An element that must be there.
    #[error("<{element}> is missing in this <{inside}>")]
    Missing {
        /// Which.
        element: &'static str,
        /// In which.
        inside: &'static str,
    },
    /// A text that the element cannot have.
    #[error("<{element}> cannot be \"{found}\"; it is {expected}")]
    Value {
        /// Which element.
        element: &'static str,
        /// What stands there, shortened.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// Two Resources of one number.
    #[error("the resource {id} is defined twice")]
    Duplicate {
        /// Which.
        id: u16,
    },
}

/// Reads a definition file. A byte order mark and bytes that are not UTF-8 are tolerated.
pub fn parse_ddf(bytes: &[u8]) -> Result<Vec<ObjectDefinition>, DdfError> {
    if bytes.len() > DDF_BYTES_MAX {
        let problem = DdfProblem::TooLong { bytes: bytes.len() };
        return Err(DdfError {
            line: 1,
            column: 1,
            problem,
        });
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut reading = Reading::default();
    reading.read(text).map_err(|problem| {
        let (line, column) = place(text, reading.at);
        DdfError {
            line,
            column,
            problem,
        }
    })?;
    Ok(reading.objects)
}

/// Line and column of a byte, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let mut end = at.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// A file while it is read.
#[derive(Default)]
struct Reading {
    /// The byte that an error is about.
    at: usize,
    stack: Vec<Open>,
    text: String,
    object: Option<Fields>,
    item: Option<Fields>,
    resources: Vec<ResourceDefinition>,
    objects: Vec<ObjectDefinition>,
}

struct Open {
    name: String,
    at: usize,
}

/// The texts of one Object or Resource by their elements, with the place of each.
#[derive(Default)]
struct Fields {
    at: usize,
    id: String,
    texts: Vec<(&'static str, String, usize)>,
}

/// Elements that are read; all others are passed over.
const ELEMENTS: [&str; 14] = [
    "Name",
    "Description1",
    "ObjectID",
    "ObjectURN",
    "LWM2MVersion",
    "ObjectVersion",
    "MultipleInstances",
    "Mandatory",
    "Operations",
    "Type",
    "RangeEnumeration",
    "Units",
    "Description",
    "Description2",
];

impl Reading {
    fn read(&mut self, text: &str) -> Result<(), DdfProblem> {
        let mut reader = quick_xml::Reader::from_str(text);
        loop {
            self.at = reader.buffer_position() as usize;
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(error) => {
                    self.at = reader.error_position() as usize;
                    return Err(DdfProblem::NotXml {
                        message: error.to_string(),
                    });
                }
            };
            match event {
                Event::Start(start) => self.open(&start)?,
                Event::Empty(start) => {
                    self.open(&start)?;
                    self.close()?;
                }
                Event::End(_) => self.close()?,
                Event::Text(text) => self.text.push_str(&text),
                Event::CData(text) => self.text.push_str(&text),
                Event::GeneralRef(reference) => self.text.push(resolve(&reference)?),
                Event::DocType(_) => return Err(DdfProblem::DocumentType),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        if let Some(open) = self.stack.last() {
            let message = alloc::format!("<{}> is not closed", open.name);
            return Err(DdfProblem::NotXml { message });
        }
        if self.objects.is_empty() {
            Err(DdfProblem::NoObject)
        } else {
            Ok(())
        }
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), DdfProblem> {
        let name = start.name().0;
        if self.stack.is_empty() && name != "LWM2M" {
            return Err(DdfProblem::NotADefinition {
                found: shorten(name),
            });
        }
        if self.stack.len() == DEPTH_MAX {
            return Err(DdfProblem::TooDeep);
        }
        self.text.clear();
        match name {
            "Object" if self.object.is_none() => {
                self.object = Some(Fields {
                    at: self.at,
                    ..Fields::default()
                });
            }
            "Item" if self.object.is_some() && self.item.is_none() => {
                let mut fields = Fields {
                    at: self.at,
                    ..Fields::default()
                };
                let id = start
                    .try_get_attribute("ID")
                    .map_err(|error| DdfProblem::NotXml {
                        message: error.to_string(),
                    })?;
                if let Some(id) = id {
                    fields.id = id.value.trim().into();
                }
                self.item = Some(fields);
            }
            _ => {}
        }
        self.stack.push(Open {
            name: shorten(name),
            at: self.at,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), DdfProblem> {
        let Some(open) = self.stack.pop() else {
            return Err(DdfProblem::NotXml {
                message: "an element ends that did not begin".into(),
            });
        };
        let text = core::mem::take(&mut self.text);
        match open.name.as_str() {
            "Item" => self.close_item(),
            "Object" => self.close_object(),
            name => {
                if let Some(element) = ELEMENTS.into_iter().find(|element| *element == name)
                    && let Some(fields) = self.item.as_mut().or(self.object.as_mut())
                {
                    fields.texts.push((element, text, open.at));
                }
                Ok(())
            }
        }
    }

    fn close_item(&mut self) -> Result<(), DdfProblem> {
        let Some(fields) = self.item.take() else {
            return Ok(());
        };
        let end = core::mem::replace(&mut self.at, fields.at);
        if self.resources.len() == DDF_RESOURCES_MAX {
            return Err(DdfProblem::TooMany);
        }
        let id = parse_id(&fields.id, "Item ID")?;
        let mut take = Take {
            fields,
            at: &mut self.at,
            inside: "Item",
        };
        let operations = take.one_of("Operations", Some(Operations::NONE), OPERATIONS, |text| {
            Operations::parse(text)
        })?;
        let value_type = take.one_of("Type", Some(ValueType::None), TYPES, parse_type)?;
        let resource = ResourceDefinition {
            id: ResourceId(id),
            name: take.line("Name")?,
            operations,
            multiple: take.one_of("MultipleInstances", None, MULTIPLE, parse_multiple)?,
            mandatory: take.one_of("Mandatory", None, MANDATORY, parse_mandatory)?,
            // Some definitions give a type to what is executed; it has no value (TS Annex D).
            value_type: if operations == Operations::E {
                ValueType::None
            } else {
                value_type
            },
            range_text: lines(&take.text("RangeEnumeration")),
            units: line(&take.text("Units")),
            description: lines(&take.text("Description")),
        };
        self.resources.push(resource);
        self.at = end;
        Ok(())
    }

    fn close_object(&mut self) -> Result<(), DdfProblem> {
        let Some(fields) = self.object.take() else {
            return Ok(());
        };
        let end = core::mem::replace(&mut self.at, fields.at);
        if self.objects.len() == OBJECTS_MAX {
            return Err(DdfProblem::TooMany);
        }
        let mut resources = core::mem::take(&mut self.resources);
        resources.sort_by_key(|resource| resource.id);
        if let Some(twins) = resources.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(DdfProblem::Duplicate { id: twins[0].id.0 });
        }
        let mut take = Take {
            fields,
            at: &mut self.at,
            inside: "Object",
        };
        let id = take.text("ObjectID");
        if id.trim().is_empty() {
            return Err(DdfProblem::Missing {
                element: "ObjectID",
                inside: "Object",
            });
        }
        let object = ObjectDefinition {
            id: ObjectId(parse_id(id.trim(), "ObjectID")?),
            version: take.version("ObjectVersion", ObjectVersion::V1_0)?,
            lwm2m_version: take.version("LWM2MVersion", LwM2mVersion::V1_0)?,
            name: take.line("Name")?,
            description: lines(&take.text("Description1")),
            multiple: take.one_of("MultipleInstances", None, MULTIPLE, parse_multiple)?,
            mandatory: take.one_of("Mandatory", None, MANDATORY, parse_mandatory)?,
            resources: Cow::Owned(resources),
        };
        self.objects.push(object);
        self.at = end;
        Ok(())
    }
}

const OPERATIONS: &str = "R, W, RW, E or nothing";
const TYPES: &str =
    "String, Integer, Float, Boolean, Opaque, Time, Objlnk, Unsigned Integer, Corelnk or nothing";
const MULTIPLE: &str = "Single or Multiple";
const MANDATORY: &str = "Mandatory or Optional";

/// Takes texts out of [`Fields`], and moves the place of an error to the one that is taken.
struct Take<'a> {
    fields: Fields,
    at: &'a mut usize,
    inside: &'static str,
}

impl Take<'_> {
    /// The text of an element; empty if it is not there.
    fn text(&mut self, element: &'static str) -> String {
        let found = self
            .fields
            .texts
            .iter_mut()
            .find(|(name, ..)| *name == element);
        match found {
            Some((_, text, at)) => {
                *self.at = *at;
                core::mem::take(text)
            }
            None => {
                *self.at = self.fields.at;
                String::new()
            }
        }
    }

    /// A text that must be there, on one line.
    fn line(&mut self, element: &'static str) -> Result<Cow<'static, str>, DdfProblem> {
        let text = line(&self.text(element));
        if text.is_empty() {
            return Err(DdfProblem::Missing {
                element,
                inside: self.inside,
            });
        }
        Ok(text)
    }

    fn one_of<T>(
        &mut self,
        element: &'static str,
        otherwise: Option<T>,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, DdfProblem> {
        let text = self.text(element);
        match (text.trim(), otherwise) {
            ("", Some(otherwise)) => Ok(otherwise),
            ("", None) => Err(DdfProblem::Missing {
                element,
                inside: self.inside,
            }),
            (text, _) => parse(text).ok_or_else(|| DdfProblem::Value {
                element,
                found: shorten(text),
                expected,
            }),
        }
    }

    fn version<T: core::str::FromStr>(
        &mut self,
        element: &'static str,
        otherwise: T,
    ) -> Result<T, DdfProblem> {
        self.one_of(
            element,
            Some(otherwise),
            "two numbers with a dot, such as 1.0",
            |text| text.parse().ok(),
        )
    }
}

fn parse_id(text: &str, element: &'static str) -> Result<u16, DdfProblem> {
    crate::path::parse_id(text).ok_or_else(|| DdfProblem::Value {
        element,
        found: shorten(text),
        expected: "a number from 0 to 65535",
    })
}

fn parse_type(text: &str) -> Option<ValueType> {
    Some(match text.to_ascii_lowercase().as_str() {
        "string" => ValueType::String,
        "integer" => ValueType::Integer,
        "unsigned integer" | "unsigned" => ValueType::Unsigned,
        "float" => ValueType::Float,
        "boolean" => ValueType::Boolean,
        "opaque" => ValueType::Opaque,
        "time" => ValueType::Time,
        "objlnk" => ValueType::ObjectLink,
        "corelnk" => ValueType::CoreLink,
        "none" => ValueType::None,
        _ => return None,
    })
}

fn parse_multiple(text: &str) -> Option<bool> {
    match text {
        "Multiple" => Some(true),
        "Single" => Some(false),
        _ => None,
    }
}

fn parse_mandatory(text: &str) -> Option<bool> {
    match text {
        "Mandatory" => Some(true),
        "Optional" => Some(false),
        _ => None,
    }
}

/// One of the five entities of XML, or a character by its number.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, DdfProblem> {
    let name: &str = reference;
    let unknown = || DdfProblem::Entity {
        name: shorten(name),
    };
    match name {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => reference
            .resolve_char_ref()
            .ok()
            .flatten()
            .ok_or_else(unknown),
    }
}

/// All on one line, with single blanks: names in the registry have double ones.
fn line(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Line by line, without the indentation of the file and without empty ones.
fn lines(text: &str) -> Cow<'static, str> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Cow::Owned(lines.join("\n"))
}

/// What a stranger wrote, short enough for a message.
fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "<?xml version=\"1.0\"?>
<LWM2M><Object ObjectType=\"MODefinition\">
  <Name>Test  Object</Name><Description1><![CDATA[A & B]]></Description1>
  <ObjectID>32001</ObjectID><ObjectURN>urn:oma:lwm2m:x:32001:1.1</ObjectURN>
  <LWM2MVersion>1.0</LWM2MVersion><ObjectVersion>1.1</ObjectVersion>
  <MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory>
  <Resources>
    <Item ID=\"2\"><Name>Go</Name><Operations>E</Operations><MultipleInstances>Single</MultipleInstances>
      <Mandatory>Optional</Mandatory><Type></Type><RangeEnumeration/><Units/><Description/></Item>
    <Item ID=\"1\"><Name>Level</Name><Operations>RW</Operations><MultipleInstances>Multiple</MultipleInstances>
      <Mandatory>Mandatory</Mandatory><Type>Integer</Type><RangeEnumeration>0..100</RangeEnumeration>
      <Units>%</Units><Description>&lt;how&#62; full</Description></Item>
  </Resources><Description2></Description2>
</Object></LWM2M>";

    #[test]
    fn ts_annex_j_a_definition_is_read() {
        let objects = parse_ddf(GOOD.as_bytes()).unwrap();
        let [object] = &objects[..] else {
            panic!("one object")
        };
        assert_eq!(object.id, ObjectId(32001));
        assert_eq!(object.version, ObjectVersion { major: 1, minor: 1 });
        assert_eq!(
            (object.name.as_ref(), object.description.as_ref()),
            ("Test Object", "A & B")
        );
        assert!(object.multiple && !object.mandatory);
        let ids: Vec<u16> = object
            .resources
            .iter()
            .map(|resource| resource.id.0)
            .collect();
        assert_eq!(ids, [1, 2]);
        let level = object.resource(1).unwrap();
        assert_eq!(level.operations, Operations::RW);
        assert_eq!(level.value_type, ValueType::Integer);
        assert_eq!(level.description, "<how> full");
        assert_eq!(
            (level.units.as_ref(), level.range_text.as_ref()),
            ("%", "0..100")
        );
        assert!(level.multiple && level.mandatory);
        assert_eq!(object.resource(2).unwrap().value_type, ValueType::None);
        assert_eq!(object.urn(), "urn:oma:lwm2m:x:32001:1.1");
    }

    #[test]
    fn a_byte_order_mark_and_foreign_bytes_are_tolerated() {
        let marked = alloc::format!("\u{feff}{GOOD}");
        assert_eq!(parse_ddf(marked.as_bytes()), parse_ddf(GOOD.as_bytes()));
        let mut foreign = GOOD.replace("A & B", "10 XC").into_bytes();
        let at = foreign.windows(2).position(|two| two == b"XC").unwrap();
        foreign[at] = 0xb0;
        assert_eq!(parse_ddf(&foreign).unwrap()[0].description, "10 \u{fffd}C");
    }

    fn refused(from: &str, to: &str) -> DdfError {
        assert!(GOOD.contains(from));
        parse_ddf(GOOD.replacen(from, to, 1).as_bytes()).unwrap_err()
    }

    #[test]
    fn a_broken_file_is_refused_with_place_and_reason() {
        use DdfProblem as P;
        let value = |element, found: &str, expected| P::Value {
            element,
            found: found.into(),
            expected,
        };
        for (from, to, line, column, problem) in [
            (
                "<Type>Integer</Type>",
                "<Type>Int</Type>",
                11,
                39,
                value("Type", "Int", TYPES),
            ),
            (
                ">RW<",
                ">RX<",
                10,
                36,
                value("Operations", "RX", OPERATIONS),
            ),
            (
                "<ObjectID>32001</ObjectID>",
                "",
                2,
                8,
                P::Missing {
                    element: "ObjectID",
                    inside: "Object",
                },
            ),
            (
                "32001",
                "70000",
                4,
                3,
                value("ObjectID", "70000", "a number from 0 to 65535"),
            ),
            (
                "<Name>Level</Name>",
                "",
                10,
                5,
                P::Missing {
                    element: "Name",
                    inside: "Item",
                },
            ),
            ("ID=\"1\"", "ID=\"2\"", 2, 8, P::Duplicate { id: 2 }),
            (
                "ID=\"1\"",
                "",
                10,
                5,
                value("Item ID", "", "a number from 0 to 65535"),
            ),
            (
                "<ObjectVersion>1.1",
                "<ObjectVersion>1",
                5,
                35,
                value("ObjectVersion", "1", "two numbers with a dot, such as 1.0"),
            ),
            ("&lt;", "&how;", 12, 36, P::Entity { name: "how".into() }),
            (
                "<LWM2M>",
                "<!DOCTYPE x [<!ENTITY a \"aa\">]><LWM2M>",
                2,
                1,
                P::DocumentType,
            ),
        ] {
            assert_eq!(
                refused(from, to),
                DdfError {
                    line,
                    column,
                    problem
                },
                "{from} -> {to}"
            );
        }
        assert!(matches!(
            refused("</Resources>", "").problem,
            P::NotXml { .. }
        ));
        assert!(matches!(
            refused("</Object></LWM2M>", "").problem,
            P::NotXml { .. }
        ));
        assert!(matches!(
            refused("LWM2M", "DDFList").problem,
            P::NotADefinition { .. }
        ));
        assert_eq!(
            parse_ddf(b"<LWM2M></LWM2M>").unwrap_err().problem,
            P::NoObject
        );
        assert_eq!(parse_ddf(b"").unwrap_err().problem, P::NoObject);
        let deep = "<LWM2M>".repeat(9);
        assert_eq!(parse_ddf(deep.as_bytes()).unwrap_err().problem, P::TooDeep);
        assert_eq!(
            refused("ID=\"1\"", "").to_string(),
            "line 10, column 5: <Item ID> cannot be \"\"; it is a number from 0 to 65535"
        );
    }

    proptest! {
        #[test]
        fn hostile_files_end_in_a_definition_or_a_place(
            at in 0..GOOD.len(), cut in 0..40usize, put in proptest::collection::vec(any::<u8>(), 0..20)
        ) {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes.splice(at..(at + cut).min(GOOD.len()), put);
            if let Err(error) = parse_ddf(&bytes) {
                prop_assert!(error.line >= 1 && error.column >= 1);
            }
        }
    }
}
