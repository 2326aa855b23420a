//! The file of `--objects`: TOML, or an object definition as XML by itself. Whatever is wrong in it is said with its
//! line before the Client starts.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use dunlin_client::lwm2m::definition::{
    DDF_BYTES_MAX, ObjectDefinition, Operations, ResourceDefinition, parse_ddf,
};
use dunlin_lwm2m::{
    Instance, LwM2mVersion, ObjectId, ObjectVersion, Registry, Resource, ValueType,
};
use serde::Deserialize;
use toml::Spanned;

use super::feed::{Feed, Origin};
use super::hook::Hook;
use super::{Objects, value};
use crate::command::client::program::Program;

/// A longer file is not one that a person has written.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Instances of one Object that the file can begin with.
const INSTANCES_MAX: usize = dunlin_client::INSTANCES_PER_OBJECT_MAX;

/// Resources that are fed, of all Objects: each file or program costs something every time.
const FEEDS_MAX: usize = 256;

/// How often a value is fetched unless the file says otherwise.
const EVERY_S: f64 = 5.0;

/// The shortest interval: more often nobody looks.
const EVERY_S_MIN: f64 = 0.1;

/// How long a program may take unless the file says otherwise.
const TIMEOUT_S: f64 = 5.0;

/// The longest time that a program, an interval or a wave may take: a day.
const SECONDS_MAX: f64 = 86_400.0;

/// Objects that are the Client's own business: accounts, rights, firmware.
const OWN: [ObjectId; 4] = [
    ObjectId::SECURITY,
    ObjectId::SERVER,
    ObjectId::ACCESS_CONTROL,
    ObjectId::FIRMWARE_UPDATE,
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    object: Vec<Spanned<RawObject>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawObject {
    id: Option<Spanned<u16>>,
    ddf: Option<Spanned<PathBuf>>,
    name: Option<String>,
    version: Option<Spanned<String>>,
    multiple: Option<bool>,
    description: Option<String>,
    instances: Option<Spanned<Vec<u16>>>,
    #[serde(default)]
    resource: Vec<Spanned<RawResource>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResource {
    id: Spanned<u16>,
    // What it is.
    name: Option<String>,
    r#type: Option<Spanned<String>>,
    operations: Option<Spanned<String>>,
    range: Option<String>,
    units: Option<String>,
    description: Option<String>,
    multiple: Option<bool>,
    mandatory: Option<bool>,
    // Where its value comes from.
    value: Option<Spanned<toml::Value>>,
    sine: Option<Spanned<RawSine>>,
    walk: Option<Spanned<RawWalk>>,
    counter: Option<Spanned<RawCounter>>,
    file: Option<Spanned<PathBuf>>,
    command: Option<Spanned<Vec<String>>>,
    scale: Option<Spanned<f64>>,
    every_s: Option<Spanned<f64>>,
    timeout_s: Option<Spanned<f64>>,
    // What follows.
    on_write: Option<Spanned<RawOnWrite>>,
    run: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSine {
    min: f64,
    max: f64,
    period_s: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWalk {
    min: f64,
    max: f64,
    step: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCounter {
    #[serde(default)]
    from: f64,
    #[serde(default = "one")]
    step: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOnWrite {
    file: Option<PathBuf>,
    command: Option<Vec<String>>,
}

/// What is wrong, and the bytes of the file where.
#[derive(Debug)]
struct Wrong {
    at: Range<usize>,
    what: String,
}

type Done<T> = Result<T, Wrong>;

fn wrong<T>(at: Range<usize>, what: impl Into<String>) -> Done<T> {
    let what = what.into();
    Err(Wrong { at, what })
}

/// Adds what a file says.
///
/// # Errors
/// One line: the file, the line in it, and what is wrong.
pub(crate) fn read(path: &Path, objects: &mut Objects) -> anyhow::Result<()> {
    let shown = path.display();
    let length = fs::metadata(path)
        .with_context(|| format!("--objects {shown}: cannot be read"))?
        .len();
    if length > FILE_BYTES_MAX {
        bail!("--objects {shown}: it has {length} bytes, {FILE_BYTES_MAX} are the most");
    }
    let bytes = fs::read(path).with_context(|| format!("--objects {shown}: cannot be read"))?;
    if path.extension().is_some_and(|extension| extension == "xml") {
        return read_definition(path, &bytes, objects);
    }
    let Ok(text) = String::from_utf8(bytes) else {
        bail!("--objects {shown}: it is not UTF-8");
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let done = parse(&text).and_then(|raw| add(raw, folder, objects));
    done.map_err(|Wrong { at, what }| {
        let line = text[..floor(&text, at.start)].matches('\n').count() + 1;
        anyhow::anyhow!("--objects {shown}: line {line}: {what}")
    })
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A definition by itself: an Object with one instance that Servers fill.
fn read_definition(path: &Path, bytes: &[u8], objects: &mut Objects) -> anyhow::Result<()> {
    let shown = path.display();
    let definitions =
        parse_ddf(bytes).map_err(|error| anyhow::anyhow!("--objects {shown}: {error}"))?;
    for definition in definitions {
        if OWN.contains(&definition.id) {
            bail!(
                "--objects {shown}: object {} is the client's own",
                definition.id
            );
        }
        if objects
            .definitions
            .iter()
            .any(|one| one.id == definition.id)
        {
            bail!(
                "--objects {shown}: object {} is defined twice",
                definition.id
            );
        }
        objects.instances.push((definition.id, Instance::new(0)));
        objects.definitions.push(definition);
    }
    Ok(())
}

fn parse(text: &str) -> Done<RawFile> {
    toml::from_str(text).map_err(|error| Wrong {
        at: error.span().unwrap_or_default(),
        what: error.message().lines().collect::<Vec<_>>().join(" "),
    })
}

fn add(raw: RawFile, folder: &Path, objects: &mut Objects) -> Done<()> {
    if raw.object.is_empty() {
        return wrong(0..0, "it defines no [[object]]");
    }
    for object in raw.object {
        let span = object.span();
        add_object(object.into_inner(), span, folder, objects)?;
    }
    Ok(())
}

fn add_object(
    mut raw: RawObject,
    span: Range<usize>,
    folder: &Path,
    objects: &mut Objects,
) -> Done<()> {
    let resources = std::mem::take(&mut raw.resource);
    let instances = raw.instances.take();
    let (definition, given) = define(raw, &span, folder, &resources)?;
    if OWN.contains(&definition.id) {
        return wrong(
            span,
            format!("object {} is the client's own", definition.id),
        );
    }
    if objects
        .definitions
        .iter()
        .any(|one| one.id == definition.id)
    {
        return wrong(span, format!("object {} is defined twice", definition.id));
    }
    let ids = instance_ids(instances, &definition)?;
    let mut seen = BTreeSet::new();
    let mut first = Instance::new(0);
    for resource in resources {
        let at = resource.span();
        let resource = resource.into_inner();
        let id = *resource.id.get_ref();
        if !seen.insert(id) {
            let what = format!("resource {id} is there twice");
            return wrong(resource.id.span(), what);
        }
        let described = resource.r#type.is_some() || resource.operations.is_some();
        if given && described {
            let what = format!("what resource {id} is, the definition says already");
            return wrong(at, what);
        }
        let Some(known) = definition.resource(id) else {
            let what = format!(
                "the definition of object {} has no resource {id}",
                definition.id
            );
            return wrong(resource.id.span(), what);
        };
        add_resource(resource, at, known, &definition, &ids, &mut first, objects)?;
    }
    for id in ids {
        let mut instance = Instance::new(id);
        instance.extend(first.resources().iter().cloned());
        objects.instances.push((definition.id, instance));
    }
    objects.definitions.push(definition);
    Ok(())
}

fn instance_ids(given: Option<Spanned<Vec<u16>>>, definition: &ObjectDefinition) -> Done<Vec<u16>> {
    let Some(given) = given else {
        return Ok(vec![0]);
    };
    let at = given.span();
    let mut ids = given.into_inner();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > INSTANCES_MAX {
        return wrong(at, format!("there are more than {INSTANCES_MAX} instances"));
    }
    if ids.contains(&u16::MAX) {
        return wrong(at, "no instance has the number 65535");
    }
    if !definition.multiple && ids != [0] {
        return wrong(at, "the object has one instance, 0");
    }
    Ok(ids)
}

/// The definition, and whether it was given rather than described in the file.
fn define(
    raw: RawObject,
    span: &Range<usize>,
    folder: &Path,
    resources: &[Spanned<RawResource>],
) -> Done<(ObjectDefinition, bool)> {
    if let Some(ddf) = raw.ddf {
        let at = ddf.span();
        let definition = read_ddf(&folder.join(ddf.get_ref())).map_err(|what| Wrong {
            at: at.clone(),
            what,
        })?;
        if raw.id.is_some_and(|id| *id.get_ref() != definition.id.0) {
            return wrong(at, format!("that file defines object {}", definition.id));
        }
        return Ok((definition, true));
    }
    let Some(id) = raw.id else {
        return wrong(span.clone(), "an object needs an id or a ddf");
    };
    let at = id.span();
    let id = id.into_inner();
    if id == u16::MAX {
        return wrong(at, "no object has the number 65535");
    }
    let Some(name) = raw.name else {
        return bundled(id)
            .map(|definition| (definition, true))
            .ok_or_else(|| Wrong {
                at,
                what: format!("object {id} is not known here: give it a name and types, or a ddf"),
            });
    };
    let mut definition = ObjectDefinition::new(id, name);
    definition.multiple = raw.multiple.unwrap_or(false);
    definition.description = raw.description.unwrap_or_default().into();
    if let Some(version) = raw.version {
        let at = version.span();
        definition.version = match version.get_ref().parse::<ObjectVersion>() {
            Ok(version) => version,
            Err(_) => return wrong(at, "a version is two numbers, such as \"1.0\""),
        };
    }
    for resource in resources {
        let at = resource.span();
        definition = definition.with(define_resource(resource.get_ref(), at)?);
    }
    Ok((definition, false))
}

/// As LwM2M 1.0 means it, or else the newest.
fn bundled(id: u16) -> Option<ObjectDefinition> {
    let registry = Registry::bundled();
    let of_enabler = registry
        .of_enabler(LwM2mVersion::V1_0)
        .object(ObjectId(id))
        .cloned();
    let found = of_enabler.or_else(|| registry.latest(ObjectId(id)).cloned());
    found.map(|definition| (*definition).clone())
}

fn read_ddf(path: &Path) -> Result<ObjectDefinition, String> {
    let shown = path.display();
    let length = fs::metadata(path)
        .map_err(|error| format!("{shown}: {error}"))?
        .len();
    if length > DDF_BYTES_MAX as u64 {
        return Err(format!(
            "{shown}: it has {length} bytes, {DDF_BYTES_MAX} are the most"
        ));
    }
    let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut all = parse_ddf(&bytes).map_err(|error| format!("{shown}: {error}"))?;
    match all.len() {
        1 => Ok(all.remove(0)),
        count => Err(format!("{shown}: it defines {count} objects, and not one")),
    }
}

fn define_resource(raw: &RawResource, at: Range<usize>) -> Done<ResourceDefinition> {
    let id = *raw.id.get_ref();
    let executable = raw.run.is_some();
    let value_type = match &raw.r#type {
        Some(name) => match ValueType::from_name(name.get_ref()) {
            Some(value_type) => value_type,
            None => {
                let names: Vec<&str> = ValueType::ALL.iter().map(|one| one.name()).collect();
                let what = format!(
                    "{:?} is no type; they are {}",
                    name.get_ref(),
                    names.join(", ")
                );
                return wrong(name.span(), what);
            }
        },
        None if executable => ValueType::None,
        None => return wrong(at, format!("resource {id} needs a type")),
    };
    let usual = match (value_type, raw.on_write.is_some()) {
        (ValueType::None, _) => Operations::E,
        (_, true) => Operations::RW,
        (_, false) => Operations::R,
    };
    let operations = match &raw.operations {
        None => usual,
        Some(text) => match Operations::parse(text.get_ref()) {
            Some(operations) if operations.execute == (value_type == ValueType::None) => operations,
            Some(_) => {
                return wrong(
                    text.span(),
                    "what is executed has type none, and the reverse",
                );
            }
            None => return wrong(text.span(), "operations are the letters R, W and E"),
        },
    };
    let mut resource = ResourceDefinition::new(
        id,
        raw.name.clone().unwrap_or_else(|| format!("Resource {id}")),
        value_type,
    )
    .operations(operations)
    .allowed(raw.range.clone().unwrap_or_default())
    .units(raw.units.clone().unwrap_or_default())
    .description(raw.description.clone().unwrap_or_default());
    resource.multiple = raw.multiple.unwrap_or(false);
    resource.mandatory = raw.mandatory.unwrap_or(false);
    Ok(resource)
}

fn add_resource(
    raw: RawResource,
    at: Range<usize>,
    known: &ResourceDefinition,
    object: &ObjectDefinition,
    ids: &[u16],
    first: &mut Instance,
    objects: &mut Objects,
) -> Done<()> {
    let limit = seconds(raw.timeout_s.as_ref(), TIMEOUT_S, EVERY_S_MIN)?;
    let every = seconds(raw.every_s.as_ref(), EVERY_S, EVERY_S_MIN)?;
    let scale = match &raw.scale {
        None => 1.0,
        Some(scale) if scale.get_ref().is_finite() => *scale.get_ref(),
        Some(scale) => return wrong(scale.span(), "a scale is a finite number"),
    };
    let program = |command: Spanned<Vec<String>>| -> Done<Program> {
        let at = command.span();
        match command.into_inner() {
            command if command.first().is_none_or(String::is_empty) => {
                wrong(at, "a command has at least the name of a program")
            }
            command => Ok(Program { command, limit }),
        }
    };
    let mut origins: Vec<(Range<usize>, Origin)> = Vec::new();
    let constant = raw.value;
    if let Some(sine) = raw.sine {
        let at = sine.span();
        let sine = sine.into_inner();
        bounds(&at, sine.min, sine.max)?;
        let period = duration(&at, sine.period_s, EVERY_S_MIN)?;
        let (min, max) = (sine.min, sine.max);
        origins.push((at, Origin::Sine { min, max, period }));
    }
    if let Some(walk) = raw.walk {
        let at = walk.span();
        let RawWalk { min, max, step } = walk.into_inner();
        bounds(&at, min, max)?;
        if !(step.is_finite() && step > 0.0) {
            return wrong(at, "a step is greater than 0");
        }
        origins.push((at, Origin::Walk { min, max, step }));
    }
    if let Some(counter) = raw.counter {
        let at = counter.span();
        let RawCounter { from, step } = counter.into_inner();
        if !(from.is_finite() && step.is_finite()) {
            return wrong(at, "a counter has finite numbers");
        }
        origins.push((at, Origin::Counter { from, step }));
    }
    if let Some(file) = raw.file {
        origins.push((file.span(), Origin::File(file.into_inner())));
    }
    if let Some(command) = raw.command {
        origins.push((command.span(), Origin::Command(program(command)?)));
    }
    if origins.len() + usize::from(constant.is_some()) > 1 {
        return wrong(
            at,
            "a resource has one of value, sine, walk, counter, file and command",
        );
    }
    let executable = known.operations.execute;
    if executable && (constant.is_some() || !origins.is_empty()) {
        return wrong(at, "what is executed has no value");
    }
    if let Some(constant) = constant {
        let value = value::from_toml(known, constant.get_ref()).map_err(|what| Wrong {
            at: constant.span(),
            what,
        })?;
        first.insert(Resource {
            id: known.id,
            value,
        });
    }
    if let Some((at, origin)) = origins.pop() {
        let made_up = !matches!(origin, Origin::File(_) | Origin::Command(_));
        if made_up && !known.value_type.is_numeric() {
            return wrong(
                at,
                format!("a number is no value of type {}", known.value_type),
            );
        }
        if known.multiple {
            return wrong(at, "a resource with several values can only be constant");
        }
        if objects.feeds.len() == FEEDS_MAX {
            return wrong(at, format!("more than {FEEDS_MAX} resources are fed"));
        }
        objects.feeds.push(Feed {
            object: object.id,
            instances: ids.to_vec(),
            definition: known.clone(),
            origin,
            every,
            scale,
        });
    }
    let hook = match (raw.on_write, raw.run) {
        (None, None) => return Ok(()),
        (Some(on_write), _) if !known.operations.write => {
            return wrong(
                on_write.span(),
                "on_write is for a resource with the operation W",
            );
        }
        (_, Some(run)) if !executable => {
            return wrong(run.span(), "run is for a resource with the operation E");
        }
        (_, Some(run)) => Hook::Run(program(run)?),
        (Some(on_write), None) => {
            let at = on_write.span();
            match on_write.into_inner() {
                RawOnWrite {
                    file: Some(file),
                    command: None,
                } => Hook::WriteFile(file),
                RawOnWrite {
                    file: None,
                    command: Some(command),
                } => Hook::WriteProgram(program(Spanned::new(at, command))?),
                _ => return wrong(at, "on_write has either a file or a command"),
            }
        }
    };
    objects.hooks.insert((object.id, known.id), hook);
    Ok(())
}

fn bounds(at: &Range<usize>, min: f64, max: f64) -> Done<()> {
    if min.is_finite() && max.is_finite() && min < max {
        Ok(())
    } else {
        wrong(at.clone(), "min is smaller than max")
    }
}

fn seconds(given: Option<&Spanned<f64>>, usual: f64, min: f64) -> Done<Duration> {
    match given {
        Some(given) => duration(&given.span(), *given.get_ref(), min),
        None => Ok(Duration::from_secs_f64(usual)),
    }
}

fn duration(at: &Range<usize>, seconds: f64, min: f64) -> Done<Duration> {
    if (min..=SECONDS_MAX).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        wrong(
            at.clone(),
            format!("{seconds} s is not from {min} to {SECONDS_MAX}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Objects, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("objects.toml");
        fs::write(&path, text).unwrap();
        let mut objects = Objects::default();
        match read(&path, &mut objects) {
            Ok(()) => Ok(objects),
            Err(error) => {
                let error = format!("{error:#}");
                assert_eq!(error.lines().count(), 1, "{error}");
                Err(error)
            }
        }
    }

    const DOOR: &str = r#"
[[object]]
id = 26241
name = "Door"

[[object.resource]]
id = 0
name = "Open"
type = "boolean"
value = false
on_write = { file = "/tmp/door" }

[[object.resource]]
id = 1
type = "float"
sine = { min = 0, max = 10, period_s = 60 }
every_s = 1

[[object.resource]]
id = 2
run = ["true"]

[[object]]
id = 3303
instances = [0, 5]
[[object.resource]]
id = 5700
command = ["echo", "7"]
"#;

    #[test]
    fn a_file_says_what_there_is_and_where_it_comes_from() {
        let objects = read_text(DOOR).unwrap();
        let door = &objects.definitions[0];
        assert_eq!(
            (door.id.0, &*door.name, door.resources.len()),
            (26_241, "Door", 3)
        );
        assert_eq!(door.resource(0).unwrap().operations, Operations::RW);
        assert_eq!(door.resource(2).unwrap().operations, Operations::E);
        assert_eq!(objects.feeds.len(), 2);
        assert_eq!(objects.feeds[1].instances, [0, 5]);
        assert_eq!(objects.hooks.len(), 2);
        let instances = objects.instances.iter();
        let ids: Vec<_> = instances
            .map(|(object, one)| (object.0, one.id.0))
            .collect();
        assert_eq!(ids, [(26_241, 0), (3_303, 0), (3_303, 5)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let object = "[[object]]\nid = 26241\nname = \"x\"\n";
        let resource = |rest: &str| format!("{object}[[object.resource]]\nid = 0\n{rest}");
        for (text, line, words) in [
            ("", 1, "defines no"),
            ("[[object]\n", 1, ""),
            ("x = 1\n", 1, "unknown field `x`"),
            ("[[object]]\nname = \"x\"\n", 1, "needs an id"),
            ("\n[[object]]\nid = 4711\n", 3, "not known here"),
            ("[[object]]\nid = 70000\n", 2, ""),
            ("[[object]]\nid = 1\n", 1, "client's own"),
            ("[[object]]\nid = 5\n", 1, "client's own"),
            ("[[object]]\nid = 19\n[[object]]\nid = 19\n", 3, "twice"),
            ("[[object]]\nddf = \"none.xml\"\n", 2, "none.xml"),
            (&format!("{object}version = \"x\"\n"), 4, "two numbers"),
            (&format!("{object}instances = [1]\n"), 4, "one instance"),
            (&resource(""), 4, "needs a type"),
            (&resource("type = \"int\"\n"), 6, "they are string, integer"),
            (
                &resource("type = \"integer\"\noperations = \"X\"\n"),
                7,
                "letters",
            ),
            (
                &resource("type = \"integer\"\noperations = \"E\"\n"),
                7,
                "type none",
            ),
            (
                &resource("type = \"integer\"\nvalue = \"x\"\n"),
                7,
                "no value of type integer",
            ),
            (
                &resource("type = \"integer\"\nrange = \"0..9\"\nvalue = 10\n"),
                8,
                "",
            ),
            (
                &resource("type = \"integer\"\nvalue = 1\nfile = \"x\"\n"),
                4,
                "has one of",
            ),
            (
                &resource("type = \"string\"\ncounter = {}\n"),
                7,
                "no value of type string",
            ),
            (
                &resource("type = \"float\"\nsine = { min = 1, max = 1, period_s = 5 }\n"),
                7,
                "smaller",
            ),
            (
                &resource("type = \"float\"\nsine = { min = 0, max = 1, period_s = 0 }\n"),
                7,
                "0 s is not",
            ),
            (
                &resource("type = \"float\"\nwalk = { min = 0, max = nan, step = 1 }\n"),
                7,
                "smaller",
            ),
            (
                &resource("type = \"float\"\nwalk = { min = 0, max = 1, step = 0 }\n"),
                7,
                "step",
            ),
            (
                &resource("type = \"float\"\nwalk = { min = 0 }\n"),
                7,
                "missing field",
            ),
            (
                &resource("type = \"float\"\ncommand = []\n"),
                7,
                "name of a program",
            ),
            (
                &resource("type = \"float\"\nfile = \"x\"\nevery_s = 0\n"),
                8,
                "0 s is not",
            ),
            (
                &resource("type = \"float\"\nfile = \"x\"\ntimeout_s = inf\n"),
                8,
                "is not from",
            ),
            (
                &resource("type = \"float\"\nfile = \"x\"\nscale = nan\n"),
                8,
                "finite",
            ),
            (
                &resource("type = \"float\"\nrun = [\"x\"]\n"),
                7,
                "operation E",
            ),
            (&resource("type = \"none\"\nvalue = 1\n"), 4, "no value"),
            (
                &resource("type = \"float\"\noperations = \"R\"\non_write = { file = \"x\" }\n"),
                8,
                "operation W",
            ),
            (&resource("type = \"float\"\non_write = {}\n"), 7, "either"),
            (
                &resource("type = \"float\"\nmultiple = true\nfile = \"x\"\n"),
                8,
                "only be constant",
            ),
            (
                &resource("type = \"float\"\nflavour = 1\n"),
                7,
                "unknown field `flavour`",
            ),
            (
                &format!(
                    "{}[[object.resource]]\nid = 0\ntype = \"float\"\n",
                    resource("type = \"float\"\n")
                ),
                8,
                "twice",
            ),
            (
                "[[object]]\nid = 3303\n[[object.resource]]\nid = 9\n",
                4,
                "has no resource 9",
            ),
            (
                "[[object]]\nid = 3303\n[[object.resource]]\nid = 5700\ntype = \"float\"\n",
                3,
                "says already",
            ),
        ] {
            let error = read_text(text).expect_err(text);
            assert!(
                error.contains(&format!("line {line}:")),
                "{error} for {text}"
            );
            assert!(error.contains(words), "{error} for {text}");
        }
    }

    #[test]
    fn a_definition_file_is_enough_for_data() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("19.xml");
        let definition = bundled(19).unwrap();
        fs::write(&path, definition.to_ddf()).unwrap();
        let mut objects = Objects::default();
        read(&path, &mut objects).unwrap();
        assert_eq!(objects.definitions, [definition]);
        assert_eq!(objects.instances.len(), 1);
        let mut again = Objects::default();
        let toml = folder.path().join("o.toml");
        fs::write(&toml, "[[object]]\nddf = \"19.xml\"\ninstances = [0, 1]\n").unwrap();
        read(&toml, &mut again).unwrap();
        assert_eq!(again.instances.len(), 2);
        fs::write(&path, "<LWM2M>").unwrap();
        let error = read(&path, &mut Objects::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
