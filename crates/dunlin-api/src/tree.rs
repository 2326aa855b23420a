//! Trees of values between their types and JSON: names and units are added on the way out, types and ranges are held
//! against the definition on the way in.
//!
//! A Write takes what a Read gives: what can be derived (`kind`, `id`, `name`, `type`, `unit`) may be left out, and
//! what is there must not contradict the target. Every refusal names the member at fault.

use std::collections::{BTreeMap, BTreeSet};

use dunlin_lwm2m::definition::{ObjectDefinition, Range, ResourceDefinition};
use dunlin_lwm2m::{
    Instance, Node, ObjectId, ObjectInstanceId, ObjectVersion, Path, Registry, Resource,
    ResourceId, ResourceInstanceId, ResourceValue, Value, ValueType,
};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::backend::Reading;
use crate::error::{Code, Problem};
use crate::extract::excerpt;
use crate::value;

/// A tree of values.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Node)]
pub(crate) enum NodeView {
    Resource(ResourceView),
    Instance(InstanceView),
    Object(ObjectView),
}

/// A Resource: `value`, or `values` by Resource Instance ID.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResourceNode)]
pub(crate) struct ResourceView {
    /// `resource`
    kind: &'static str,
    id: u16,
    /// By the definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `string integer float boolean opaque time objlnk unsigned corelnk`
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    /// Of a single Resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<Json>,
    /// Of a multiple Resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, serde_json::Value>>)]
    values: Option<BTreeMap<u16, Json>>,
}

/// An Object Instance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstanceNode)]
pub(crate) struct InstanceView {
    /// `instance`
    kind: &'static str,
    id: u16,
    resources: Vec<ResourceView>,
}

/// An Object.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ObjectNode)]
pub(crate) struct ObjectView {
    /// `object`
    kind: &'static str,
    id: u16,
    /// By the definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    instances: Vec<InstanceView>,
}

/// The definition of an Object in the version that a Client has announced, or the nearest to it.
pub(crate) fn definition(
    object: ObjectId,
    version: ObjectVersion,
    definitions: &Registry,
) -> Option<&ObjectDefinition> {
    definitions.lookup(object, version).map(AsRef::as_ref)
}

/// The newest definition of the Object that a path leads to.
pub(crate) fn newest_definition(path: Path, definitions: &Registry) -> Option<&ObjectDefinition> {
    definitions.latest(path.object_id()?).map(AsRef::as_ref)
}

/// The name of what a path leads to.
pub(crate) fn name(path: Path, definition: Option<&ObjectDefinition>) -> Option<String> {
    let definition = definition?;
    match (path.instance_id(), path.resource_id()) {
        (_, Some(resource)) => definition
            .resource(resource)
            .map(|found| found.name.to_string()),
        (None, None) => Some(definition.name.to_string()),
        (Some(_), None) => None,
    }
}

/// Values with their names and units.
pub(crate) fn view(reading: &Reading, definitions: &Registry) -> NodeView {
    let definition = reading
        .path
        .object_id()
        .and_then(|object| definition(object, reading.version, definitions));
    match &reading.node {
        Node::Object(object) => NodeView::Object(ObjectView {
            kind: "object",
            id: object.id.0,
            name: definition.map(|definition| definition.name.to_string()),
            instances: object
                .instances()
                .iter()
                .map(|instance| instance_view(instance, definition))
                .collect(),
        }),
        Node::Instance(instance) => NodeView::Instance(instance_view(instance, definition)),
        Node::Resource(resource) => NodeView::Resource(resource_view(resource, definition)),
    }
}

fn instance_view(instance: &Instance, definition: Option<&ObjectDefinition>) -> InstanceView {
    InstanceView {
        kind: "instance",
        id: instance.id.0,
        resources: instance
            .resources()
            .iter()
            .map(|resource| resource_view(resource, definition))
            .collect(),
    }
}

pub(crate) fn resource_view(
    resource: &Resource,
    definition: Option<&ObjectDefinition>,
) -> ResourceView {
    let definition = definition.and_then(|definition| definition.resource(resource.id));
    let first = match &resource.value {
        ResourceValue::Single(value) => Some(value),
        ResourceValue::Multiple(values) => values.values().next(),
    };
    // Without a definition and without a value there is nothing that could have a type.
    let value_type = first
        .map(Value::value_type)
        .or_else(|| definition.map(|definition| definition.value_type))
        .unwrap_or(ValueType::None);
    let (value, values) = match &resource.value {
        ResourceValue::Single(value) => (Some(value::to_json(value)), None),
        ResourceValue::Multiple(values) => {
            let values = values
                .iter()
                .map(|(id, value)| (id.0, value::to_json(value)));
            (None, Some(values.collect()))
        }
    };
    ResourceView {
        kind: "resource",
        id: resource.id.0,
        name: definition.map(|definition| definition.name.to_string()),
        r#type: value_type.name(),
        unit: definition
            .map(|definition| definition.units.to_string())
            .filter(|units| !units.is_empty()),
        value,
        values,
    }
}

/// The members of a JSON object: each is taken out by name, and [`Members::finish`] refuses what is left.
pub(crate) struct Members<'a> {
    at: String,
    map: &'a Map<String, Json>,
    taken: BTreeSet<&'static str>,
}

impl<'a> Members<'a> {
    /// The members of `json`, which stands at `at` in the body.
    pub(crate) fn of(json: &'a Json, at: &str) -> Result<Members<'a>, Problem> {
        match json {
            Json::Object(map) => Ok(Members {
                at: at.to_string(),
                map,
                taken: BTreeSet::new(),
            }),
            other => Err(invalid(
                at,
                format!("Expected an object, found {}.", value::found(other)),
            )),
        }
    }

    /// The member of this name.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'a Json> {
        self.taken.insert(name);
        self.map.get(name)
    }

    /// Where a member stands in the body.
    pub(crate) fn field(&self, name: &str) -> String {
        if self.at.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.at)
        }
    }

    /// Refuses a member that nobody has taken.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self
            .map
            .keys()
            .find(|name| !self.taken.contains(name.as_str()))
        {
            None => Ok(()),
            Some(name) => {
                let name = excerpt(name);
                Err(invalid(
                    &self.field(&name),
                    format!("There is no member \"{name}\" here."),
                ))
            }
        }
    }
}

fn invalid(field: &str, detail: impl Into<String>) -> Problem {
    let problem = Problem::new(Code::BodyInvalid, detail);
    if field.is_empty() {
        problem
    } else {
        problem.at_field(field)
    }
}

fn misfit(field: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::ValueInvalid, detail).at_field(field)
}

/// Reads a Resource for a Write of it.
pub(crate) fn parse_resource(
    json: &Json,
    id: ResourceId,
    definition: Option<&ObjectDefinition>,
) -> Result<Resource, Problem> {
    let mut members = Members::of(json, "")?;
    check_id(&mut members, id.0)?;
    read_resource(members, id, definition)
}

/// Reads the Resources of an Object Instance, for a Write of it or a Create. With an id the body may repeat it;
/// without one the body may give it, and it is returned.
pub(crate) fn parse_instance(
    json: &Json,
    id: Option<ObjectInstanceId>,
    definition: Option<&ObjectDefinition>,
) -> Result<(Option<ObjectInstanceId>, Instance), Problem> {
    let mut members = Members::of(json, "")?;
    let given = match id {
        Some(id) => {
            check_id(&mut members, id.0)?;
            Some(id)
        }
        None => read_id(&mut members)?.map(ObjectInstanceId),
    };
    check_kind(&mut members, "instance")?;
    let field = members.field("resources");
    let list = match members.take("resources") {
        Some(Json::Array(list)) => list,
        Some(other) => {
            return Err(invalid(
                &field,
                format!("Expected a list, found {}.", value::found(other)),
            ));
        }
        None => {
            return Err(invalid(
                &field,
                "An instance is written as {\"resources\":[…]}.",
            ));
        }
    };
    members.finish()?;
    let mut instance = Instance::new(given.unwrap_or(ObjectInstanceId(0)));
    for resource in parse_resources(list, &field, definition)? {
        instance.insert(resource);
    }
    Ok((given, instance))
}

/// Reads a list of Resources that stands at `field` in the body.
pub(crate) fn parse_resources(
    list: &[Json],
    field: &str,
    definition: Option<&ObjectDefinition>,
) -> Result<Vec<Resource>, Problem> {
    let mut resources: Vec<Resource> = Vec::with_capacity(list.len());
    for (at, json) in list.iter().enumerate() {
        let at = format!("{field}[{at}]");
        let mut members = Members::of(json, &at)?;
        let id = read_id(&mut members)?
            .ok_or_else(|| invalid(&members.field("id"), "The id of the resource is missing."))?;
        let resource = read_resource(members, ResourceId(id), definition)?;
        if resources.iter().any(|one| one.id == resource.id) {
            return Err(invalid(&at, format!("The resource {id} stands twice.")));
        }
        resources.push(resource);
    }
    Ok(resources)
}

fn check_kind(members: &mut Members<'_>, kind: &str) -> Result<(), Problem> {
    match members.take("kind") {
        None => Ok(()),
        Some(Json::String(given)) if given == kind => Ok(()),
        Some(_) => Err(invalid(
            &members.field("kind"),
            format!("The target takes kind \"{kind}\" only."),
        )),
    }
}

fn check_id(members: &mut Members<'_>, id: u16) -> Result<(), Problem> {
    match read_id(members)? {
        Some(given) if given != id => Err(invalid(
            &members.field("id"),
            format!("The path says {id} and the body {given}: leave the id out."),
        )),
        _ => Ok(()),
    }
}

fn read_id(members: &mut Members<'_>) -> Result<Option<u16>, Problem> {
    match members.take("id") {
        None => Ok(None),
        Some(json) => match json.as_u64().and_then(|id| u16::try_from(id).ok()) {
            Some(id) if id != u16::MAX => Ok(Some(id)),
            _ => Err(invalid(
                &members.field("id"),
                "Expected a number from 0 to 65534.",
            )),
        },
    }
}

/// Reads what is left of a Resource when its id is known.
fn read_resource(
    mut members: Members<'_>,
    id: ResourceId,
    definition: Option<&ObjectDefinition>,
) -> Result<Resource, Problem> {
    check_kind(&mut members, "resource")?;
    for derived in ["name", "unit"] {
        members.take(derived);
    }
    let known = definition.and_then(|definition| definition.resource(id));
    let value_type = read_type(&mut members, id, definition, known)?;
    let (single, multiple) = (members.take("value"), members.take("values"));
    let here = members.at.clone();
    let (value_at, values_at) = (members.field("value"), members.field("values"));
    members.finish()?;
    match (single, multiple) {
        (Some(json), None) => {
            if let Some(known) = known.filter(|known| known.multiple) {
                let example = "{\"values\":{\"0\":…}}";
                let detail = format!("\"{}\" has instances: write {example}.", known.name);
                return Err(misfit(&value_at, detail));
            }
            Ok(Resource::single(
                id,
                read_value(json, &value_at, value_type, known)?,
            ))
        }
        (None, Some(json)) => {
            if let Some(known) = known.filter(|known| !known.multiple) {
                let detail = format!("\"{}\" is single: write {{\"value\":…}}.", known.name);
                return Err(misfit(&values_at, detail));
            }
            let mut values = BTreeMap::new();
            // Where neither definition nor body name the type, the first value does: all have one.
            let mut value_type = value_type;
            for (text, json) in Members::of(json, &values_at)?.map {
                let at = format!("{values_at}.{}", excerpt(text));
                let instance = text
                    .parse::<u16>()
                    .ok()
                    .filter(|instance| *instance != u16::MAX && instance.to_string() == *text)
                    .ok_or_else(|| invalid(&at, "Expected an id from 0 to 65534 as the name."))?;
                let value = read_value(json, &at, value_type, known)?;
                value_type.get_or_insert(value.value_type());
                values.insert(ResourceInstanceId(instance), value);
            }
            Ok(Resource::multiple(id, values))
        }
        (Some(_), Some(_)) => Err(invalid(&here, "Give either \"value\" or \"values\".")),
        (None, None) => Err(invalid(&here, "\"value\" is missing.")),
    }
}

/// The type that the values shall have: by the definition, or by the body where nothing is defined.
fn read_type(
    members: &mut Members<'_>,
    id: ResourceId,
    definition: Option<&ObjectDefinition>,
    known: Option<&ResourceDefinition>,
) -> Result<Option<ValueType>, Problem> {
    let field = members.field("type");
    let given = match members.take("type") {
        None => None,
        Some(json) => Some(
            json.as_str()
                .and_then(ValueType::from_name)
                .ok_or_else(|| {
                    let names: Vec<_> = ValueType::ALL
                        .iter()
                        .map(|value_type| value_type.name())
                        .collect();
                    invalid(&field, format!("Expected one of {}.", names.join(", ")))
                })?,
        ),
    };
    match (known, given) {
        (Some(known), Some(given)) if given != known.value_type => Err(misfit(
            &field,
            format!(
                "\"{}\" is of type {}: leave the type out.",
                known.name, known.value_type
            ),
        )),
        (Some(known), _) => Ok(Some(known.value_type)),
        (None, Some(given)) => Ok(Some(given)),
        (None, None) => match definition {
            None => Ok(None),
            Some(definition) => Err(misfit(
                &members.field("id"),
                format!(
                    "\"{}\" {} defines no resource {id}; give its \"type\" if the Client has it.",
                    definition.name, definition.version
                ),
            )),
        },
    }
}

fn read_value(
    json: &Json,
    field: &str,
    value_type: Option<ValueType>,
    known: Option<&ResourceDefinition>,
) -> Result<Value, Problem> {
    let value = match value_type {
        Some(value_type) => value::from_json(json, value_type),
        None => value::guess_from_json(json),
    }
    .map_err(|detail| misfit(field, named(detail, known)))?;
    match known.map(|known| (known, known.range())) {
        Some((known, range)) if !range.contains(&value) => {
            let what = match range {
                Range::Bytes(_) => "The length must be within",
                _ => "The value must be within",
            };
            let detail = format!("{what} {}.", known.range_text.trim());
            Err(misfit(field, named(detail, Some(known))))
        }
        _ => Ok(value),
    }
}

/// Puts the name of the resource before a sentence about it.
fn named(detail: String, known: Option<&ResourceDefinition>) -> String {
    match known {
        Some(known) => format!("\"{}\": {detail}", known.name),
        None => detail,
    }
}
