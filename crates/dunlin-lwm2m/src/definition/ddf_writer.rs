//! A definition as the XML of a definition file, for Servers and registries (TS Annex J).

use alloc::string::String;
use core::fmt::Write as _;

use super::{ObjectDefinition, ResourceDefinition};
use crate::value::ValueType;

impl ObjectDefinition {
    /// The definition file of this Object. Read by [`parse_ddf`](super::parse_ddf) it is this Object again.
    pub fn to_ddf(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LWM2M>\n");
        out.push_str("  <Object ObjectType=\"MODefinition\">\n");
        let mut put = |name, text: &str| element(&mut out, 4, name, text);
        put("Name", &self.name);
        put("Description1", &self.description);
        put("ObjectID", &alloc::format!("{}", self.id));
        put("ObjectURN", &self.urn());
        put("LWM2MVersion", &alloc::format!("{}", self.lwm2m_version));
        put("ObjectVersion", &alloc::format!("{}", self.version));
        put("MultipleInstances", multiple(self.multiple));
        put("Mandatory", mandatory(self.mandatory));
        out.push_str("    <Resources>\n");
        for resource in self.resources.iter() {
            item(&mut out, resource);
        }
        out.push_str("    </Resources>\n");
        element(&mut out, 4, "Description2", "");
        out.push_str("  </Object>\n</LWM2M>\n");
        out
    }
}

fn item(out: &mut String, resource: &ResourceDefinition) {
    let _ = writeln!(out, "      <Item ID=\"{}\">", resource.id);
    let mut put = |name, text: &str| element(out, 8, name, text);
    put("Name", &resource.name);
    put("Operations", &alloc::format!("{}", resource.operations));
    put("MultipleInstances", multiple(resource.multiple));
    put("Mandatory", mandatory(resource.mandatory));
    put("Type", type_name(resource.value_type));
    put("RangeEnumeration", &resource.range_text);
    put("Units", &resource.units);
    put("Description", &resource.description);
    out.push_str("      </Item>\n");
}

const fn multiple(multiple: bool) -> &'static str {
    if multiple { "Multiple" } else { "Single" }
}

const fn mandatory(mandatory: bool) -> &'static str {
    if mandatory { "Mandatory" } else { "Optional" }
}

/// As definition files spell it.
const fn type_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::String => "String",
        ValueType::Integer => "Integer",
        ValueType::Unsigned => "Unsigned Integer",
        ValueType::Float => "Float",
        ValueType::Boolean => "Boolean",
        ValueType::Opaque => "Opaque",
        ValueType::Time => "Time",
        ValueType::ObjectLink => "Objlnk",
        ValueType::CoreLink => "Corelnk",
        ValueType::None => "",
    }
}

fn element(out: &mut String, indent: usize, name: &str, text: &str) {
    let _ = write!(out, "{:indent$}<{name}", "");
    if text.is_empty() {
        out.push_str("/>\n");
        return;
    }
    out.push('>');
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // XML has no other control characters, not even escaped ones.
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    let _ = writeln!(out, "</{name}>");
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::definition::{BUNDLED, Operations, parse_ddf};

    #[test]
    fn ts_annex_j_what_is_written_is_read_as_it_was() {
        for definition in BUNDLED {
            let written = definition.to_ddf();
            let read =
                parse_ddf(written.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(read.first(), Some(*definition), "{}", definition.name);
        }
    }

    #[test]
    fn what_xml_cannot_say_plainly_is_escaped() {
        let odd = ObjectDefinition::new(26_241, "a < b & \"c\" > d")
            .description("one\ntwo <br/>")
            .with(
                ResourceDefinition::new(7, "Üñí", ValueType::Unsigned)
                    .operations(Operations::RW)
                    .multiple()
                    .allowed("0..7")
                    .units("m/s")
                    .description("x & y"),
            )
            .with(ResourceDefinition::executable(8, "Go"));
        assert_eq!(parse_ddf(odd.to_ddf().as_bytes()), Ok([odd].to_vec()));
        let control = ObjectDefinition::new(1, "a\u{1}b");
        assert_eq!(
            parse_ddf(control.to_ddf().as_bytes()).unwrap()[0].name,
            "a\u{fffd}b"
        );
    }
}
