//! Opaque: the bytes of one Opaque value, and nothing around them (TS 6.4.2).

use alloc::vec::Vec;

use super::{DecodeError, Decoded, EncodeError, Format, build, check_length};
use crate::content_format::ContentFormat;
use crate::deviation::{Deviation, Deviations};
use crate::node::{Node, Resource};
use crate::path::{Level, Path};
use crate::registry::Types;
use crate::value::{Value, ValueType};

/// `application/octet-stream`
pub(super) struct Opaque;

impl Format for Opaque {
    fn id(&self) -> ContentFormat {
        ContentFormat::OPAQUE
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
        let Some(Value::Opaque(bytes)) = resource.value() else {
            return Err(EncodeError::NotExpressible { id });
        };
        out.extend_from_slice(bytes);
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
        let mut deviations = Deviations::NONE;
        if definition.is_some_and(|definition| definition.value_type != ValueType::Opaque) {
            deviations.insert(Deviation::TypeClash);
        }
        let value = build::single(Value::Opaque(payload.into()), definition, &mut deviations);
        Ok(Decoded::now(
            Node::Resource(Resource { id, value }),
            deviations,
        ))
    }
}
