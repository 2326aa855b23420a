//! Plain text: one value of a single Resource, as people would write it (TS 6.4.1, Annex C).

use alloc::string::String;
use alloc::vec::Vec;

use super::{DecodeError, Decoded, EncodeError, Format, build, check_length};
use crate::content_format::ContentFormat;
use crate::deviation::{Deviation, Deviations};
use crate::node::{Node, Resource};
use crate::path::{Level, Path};
use crate::registry::Types;
use crate::value::{Value, ValueType};

/// `text/plain`
pub(super) struct Text;

impl Format for Text {
    fn id(&self) -> ContentFormat {
        ContentFormat::TEXT
    }

    fn is_structured(&self) -> bool {
        false
    }

    fn encode(&self, path: Path, node: &Node, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let id = self.id();
        let Node::Resource(resource) = node else {
            return Err(EncodeError::NotExpressible { id });
        };
        if path.resource_id() != Some(resource.id) || path.level() != Level::Resource {
            return Err(EncodeError::Shape { path });
        }
        let text = resource.value().and_then(build::to_text);
        out.extend_from_slice(text.ok_or(EncodeError::NotExpressible { id })?.as_bytes());
        Ok(())
    }

    fn decode(
        &self,
        path: Path,
        payload: &[u8],
        types: &dyn Types,
    ) -> Result<Decoded, DecodeError> {
        check_length(payload)?;
        let (Level::Resource, Some(id)) = (path.level(), path.resource_id()) else {
            return Err(DecodeError::Target {
                id: self.id(),
                path,
            });
        };
        let definition = build::definition_at(path, types);
        let value_type = definition.map_or(ValueType::String, |definition| definition.value_type);
        let mut deviations = Deviations::NONE;
        let value = decode_value(path, payload, value_type, &mut deviations)?;
        let value = build::single(value, definition, &mut deviations);
        Ok(Decoded::now(
            Node::Resource(Resource { id, value }),
            deviations,
        ))
    }
}

fn decode_value(
    path: Path,
    payload: &[u8],
    value_type: ValueType,
    deviations: &mut Deviations,
) -> Result<Value, DecodeError> {
    let Ok(text) = core::str::from_utf8(payload) else {
        deviations.insert(Deviation::TypeClash);
        return Ok(Value::Opaque(payload.into()));
    };
    let has_empty = matches!(
        value_type,
        ValueType::String | ValueType::Opaque | ValueType::CoreLink
    );
    if text.is_empty() && !has_empty {
        return Err(DecodeError::NoValue { path });
    }
    Ok(
        build::from_text(text, value_type, deviations).unwrap_or_else(|| {
            deviations.insert(Deviation::TypeClash);
            Value::String(String::from(text))
        }),
    )
}
