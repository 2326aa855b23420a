//! Commands into operations, and answers into values: which format is written, which is asked for,
//! and what a Client's definitions make of its bytes.

use dunlin_lwm2m::Types;
use dunlin_lwm2m::format::{self, Decoded};
use dunlin_lwm2m::link::Discovered;
use dunlin_lwm2m::operation::{Operation, ResponseCode, WriteMode};
use dunlin_lwm2m::{
    ContentFormat, Deviation, Deviations, Instance, Level, Node, Object, Path, Resource,
    ResourceValue, Value,
};
use dunlin_transport::Answer;

use crate::change::AcceptRule;
use crate::command::{Answered, Command, Content, Refused};
use crate::registration::Client;

/// A single opaque value longer than this is written in its own format: some Clients take every
/// block of a TLV for a new one (quirks of the field, row 136).
const OPAQUE_IN_TLV_MAX: usize = 512;

/// Whether a command has a meaning at its path, before anybody is asked; TS 1.0 §5.4, §5.5.
pub(crate) fn check(command: &Command) -> Result<(), Refused> {
    let path = command.path();
    let readable = matches!(
        path.level(),
        Level::Object | Level::Instance | Level::Resource
    );
    let reason = match command {
        Command::Read { .. }
        | Command::Discover { .. }
        | Command::Observe { .. }
        | Command::Cancel { .. }
            if !readable =>
        {
            "LwM2M 1.0 addresses Objects, Object Instances and Resources"
        }
        Command::Write {
            mode: WriteMode::Replace,
            ..
        } if !matches!(path.level(), Level::Instance | Level::Resource) => {
            "only an Object Instance or a Resource can be replaced"
        }
        Command::Write {
            mode: WriteMode::Partial,
            ..
        } if path.level() != Level::Instance => "only an Object Instance can be written in part",
        Command::Execute { .. } if path.level() != Level::Resource => {
            "only a Resource can be executed"
        }
        Command::Delete { .. } if path.level() != Level::Instance => {
            "only an Object Instance can be deleted"
        }
        Command::WriteAttributes { attributes, .. }
            if !readable || attributes.check_level(path.level()).is_err() =>
        {
            "gt, lt and st belong to Resources, pmin and pmax to Objects, Instances and Resources"
        }
        _ => return Ok(()),
    };
    Err(Refused::NotPossible {
        operation: command.name(),
        path,
        reason,
    })
}

/// What of a Client decides how it is spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    pub(crate) formats: &'a crate::change::FormatMemory,
}

impl<'a> Manner<'a> {
    pub(crate) fn of(client: &'a Client) -> Self {
        Self {
            formats: &client.formats,
        }
    }

    /// The number under which the Client knows a format.
    fn number(self, format: ContentFormat) -> ContentFormat {
        if self.formats.old_numbers {
            format.old()
        } else {
            format
        }
    }

    /// What a Read asks for. A 1.0 Client must have TLV (TS 6.4); a later one may choose a format
    /// that is not read here, so it is asked for TLV too, and 4.06 leaves the choice to it.
    pub(crate) fn accept(self, asked: Option<ContentFormat>) -> Option<ContentFormat> {
        let rule = self
            .formats
            .read
            .unwrap_or(AcceptRule::Ask(ContentFormat::TLV));
        match (asked, rule) {
            (Some(format), _) | (None, AcceptRule::Ask(format)) => Some(self.number(format)),
            (None, AcceptRule::Leave) => None,
        }
    }

    /// The payload of a Write or Create, in the format asked for or the first that can carry it.
    fn body(
        self,
        asked: Option<ContentFormat>,
        path: Path,
        node: &Node,
    ) -> Result<(ContentFormat, Vec<u8>), String> {
        if let Some(asked) = asked {
            let payload = format::encode(asked, path, node).map_err(|error| error.to_string())?;
            return Ok((self.number(asked.modern()), payload));
        }
        let first = self.formats.write.or_else(|| {
            let large = single(node).is_some_and(
                |value| matches!(value, Value::Opaque(bytes) if bytes.len() > OPAQUE_IN_TLV_MAX),
            );
            (large && path.level() == Level::Resource).then_some(ContentFormat::OPAQUE)
        });
        if let Some(first) = first
            && let Ok(payload) = format::encode(first, path, node)
        {
            return Ok((self.number(first), payload));
        }
        let payload = format::encode(ContentFormat::TLV, path, node);
        let payload = payload.map_err(|error| error.to_string())?;
        Ok((self.number(ContentFormat::TLV), payload))
    }
}

fn single(node: &Node) -> Option<&Value> {
    match node {
        Node::Resource(Resource {
            value: ResourceValue::Single(value),
            ..
        }) => Some(value),
        Node::Resource(_) | Node::Instance(_) | Node::Object(_) => None,
    }
}

/// The operation of a command. A Cancel is none: it goes by its observation.
pub(crate) fn operation(
    command: &Command,
    manner: Manner<'_>,
    asked: Option<ContentFormat>,
) -> Result<Operation, String> {
    Ok(match command {
        Command::Read { path } => Operation::Read {
            path: *path,
            accept: manner.accept(asked),
        },
        Command::Observe { path, .. } => Operation::Observe {
            path: *path,
            accept: manner.accept(asked),
        },
        Command::Cancel { path, .. } => Operation::CancelObservation { path: *path },
        Command::Discover { path } => Operation::Discover { path: *path },
        Command::Write { path, mode, node } => {
            let (format, payload) = manner.body(asked, *path, node)?;
            Operation::Write {
                path: *path,
                mode: *mode,
                format,
                payload,
            }
        }
        Command::WriteAttributes { path, attributes } => Operation::WriteAttributes {
            path: *path,
            attributes: *attributes,
        },
        Command::Execute { path, arguments } => Operation::Execute {
            path: *path,
            arguments: arguments.clone(),
        },
        Command::Create {
            object,
            instance,
            resources,
        } => {
            let mut content = Instance::new(instance.unwrap_or_default());
            content.extend(resources.iter().cloned());
            // Without a number the resources stand at the Object's path: the Client chooses it.
            let node = match instance {
                Some(_) => Node::Object(Object::new(*object).with(content)),
                None => Node::Instance(content),
            };
            let (format, payload) = manner.body(asked, Path::object(*object), &node)?;
            Operation::Create {
                object: *object,
                format,
                payload,
            }
        }
        Command::Delete { path } => Operation::Delete { path: *path },
    })
}

/// What to try when a Client refused a format that nobody asked for in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    Read(AcceptRule),
    Write(ContentFormat),
}

/// The next format after 4.06 or 4.15, if there is one.
pub(crate) fn fallback(
    code: Result<ResponseCode, u8>,
    command: &Command,
    manner: Manner<'_>,
) -> Option<Fallback> {
    match (code, command) {
        (Ok(ResponseCode::NotAcceptable), Command::Read { .. } | Command::Observe { .. }) => {
            let rule = match manner.accept(None) {
                Some(_) => AcceptRule::Leave,
                None => AcceptRule::Ask(ContentFormat::TLV),
            };
            Some(Fallback::Read(rule))
        }
        (
            Ok(ResponseCode::UnsupportedContentFormat),
            Command::Write { .. } | Command::Create { .. },
        ) => {
            let used = match operation(command, manner, None) {
                Ok(Operation::Write { format, .. } | Operation::Create { format, .. }) => {
                    format.modern()
                }
                _ => return None,
            };
            let plain = match command {
                Command::Write { node, .. } => single(node).map(|value| match value {
                    Value::Opaque(_) => ContentFormat::OPAQUE,
                    _ => ContentFormat::TEXT,
                }),
                _ => None,
            };
            [plain, Some(ContentFormat::TLV), Some(ContentFormat::JSON)]
                .into_iter()
                .flatten()
                .find(|format| *format != used)
                .map(Fallback::Write)
        }
        _ => None,
    }
}

/// A Client's answer, read with its definitions.
pub(crate) fn read_answer(
    command: &Command,
    answer: &Answer,
    root: &str,
    types: &dyn Types,
) -> (Answered, Deviations) {
    let mut deviations = Deviations::NONE;
    let content = match (answer.code, command) {
        (Ok(code), Command::Discover { .. }) if code.is_success() => {
            match Discovered::parse(&answer.payload, root) {
                Ok(discovered) => {
                    deviations.extend(discovered.deviations);
                    Content::Links(discovered)
                }
                Err(error) => raw(answer, error.to_string()),
            }
        }
        (
            Ok(ResponseCode::Content),
            Command::Read { path } | Command::Observe { path, .. } | Command::Cancel { path, .. },
        ) => match read_values(*path, answer, types) {
            Ok(decoded) => {
                deviations.extend(decoded.deviations);
                // Times belong into notifications; whoever is asked says what is now.
                if decoded.at.is_some() && matches!(command, Command::Read { .. }) {
                    deviations.insert(Deviation::TimestampsInRead);
                }
                Content::Node(decoded.node)
            }
            Err(reason) => raw(answer, reason),
        },
        _ if answer.payload.is_empty() => Content::None,
        (Ok(code), _) if code.is_success() => {
            raw(answer, "this answer has no payload in LwM2M".into())
        }
        _ => Content::Diagnostic(String::from_utf8_lossy(&answer.payload).into_owned()),
    };
    if answer.format.is_some_and(ContentFormat::is_old) {
        deviations.insert(Deviation::OldContentFormat);
    }
    let answered = Answered {
        code: answer.code,
        format: answer.format,
        content,
        location: location(&answer.location, root),
        observation: answer.observation.map(|relation| relation.token),
    };
    (answered, deviations)
}

fn raw(answer: &Answer, reason: String) -> Content {
    Content::Raw {
        payload: answer.payload.clone(),
        reason,
    }
}

/// The values of a Read, an Observe or a notification.
pub(crate) fn read_values(
    path: Path,
    answer: &Answer,
    types: &dyn Types,
) -> Result<Decoded, String> {
    // Nothing at all is how Clients say that there are no instances, or no Resources to be read.
    if answer.payload.is_empty() && path.level() != Level::Resource {
        let node = match (path.object_id(), path.instance_id()) {
            (Some(_), Some(instance)) => Node::Instance(Instance::new(instance)),
            (Some(object), None) => Node::Object(Object::new(object)),
            (None, _) => return Err("the root has no values".into()),
        };
        return Ok(Decoded {
            node,
            unnamed_instance: false,
            at: None,
            history: Vec::new(),
            deviations: Deviations::NONE,
        });
    }
    let format = match answer.format {
        None if answer.payload.is_empty() => Some(ContentFormat::TEXT),
        format => format,
    };
    format::decode(format, path, &answer.payload, types).map_err(|error| error.to_string())
}

/// The path of a new instance, with or without the alternate path before it.
fn location(segments: &[String], root: &str) -> Option<Path> {
    if segments.is_empty() {
        return None;
    }
    let joined = format!("/{}", segments.join("/"));
    let below = joined
        .strip_prefix(root)
        .filter(|_| !root.is_empty())
        .unwrap_or(&joined);
    below.parse().ok()
}
