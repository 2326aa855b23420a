//! What Servers ask, and what they are answered (TS 1.0 §5.4, §5.5).
//!
//! The order of checks is that of the digest of TS 1.0 §7.3 and §8.5: may this Server speak now,
//! may it do this, is the target there, does it have the operation, is the format known, is the
//! payload good. Only then is anything changed, and only after the change is durable is it
//! answered.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dunlin_lwm2m::definition::ResourceDefinition;
use dunlin_lwm2m::format;
use dunlin_lwm2m::link::{Discovered, DiscoveredLink};
use dunlin_lwm2m::operation::{Operation, Response, ResponseCode, WriteMode};
use dunlin_lwm2m::{
    ContentFormat, Deviation, Instance, Level, Node, Object, ObjectId, ObjectVersion, Path,
    Resource, ResourceValue, ShortServerId, Value, ValueType,
};
use dunlin_transport::{ExchangeId, PeerId, Token, WrittenBlock};

use crate::access::{self, Asker};
use crate::client::Client;
use crate::event::{Event, Output};
use crate::firmware;
use crate::notify::Observation;
use crate::object::Action;
use crate::object::server::DISABLE_TIMEOUT;
use crate::tree::{Created, Refusal};

/// More observations than this one Client does not keep: each holds the value it told last.
pub const OBSERVATIONS_MAX: usize = 128;

/// How long a Server that is disabled is left alone if it does not say (TS 1.0 §E.2).
const DISABLE_TIMEOUT_DEFAULT_S: u64 = 86_400;

/// An answer, and the commit it waits for.
type Answered = Result<(Response, u64), Refusal>;

impl Client {
    /// A Server asks.
    pub(crate) fn asked(
        &mut self,
        peer: PeerId,
        exchange: ExchangeId,
        operation: Operation,
        token: Token,
    ) {
        if self.bootstrap.peer == Some(peer)
            && (self.bootstrap.is_active() || self.server_at(peer).is_none())
        {
            return self.bootstrap_asked(exchange, &operation);
        }
        let server = self.server_at(peer).filter(|_| !self.bootstrap.is_active());
        let Some(server) = server else {
            // Before the Register is answered, while disabled, and to strangers: silence
            // (TS 1.0 §5.3.1, §E.2). An exchange that is over needs none.
            let _ = self.transport.ignore_downlink(self.now, exchange);
            return;
        };
        let path = operation.path();
        let answered = self.operate(server, exchange, operation, token);
        match answered {
            Ok(Some((response, barrier))) => {
                // The Server may have given up meanwhile; then nobody waits for this.
                let _ = self
                    .transport
                    .answer_downlink(self.now, exchange, response, barrier);
            }
            Ok(None) => {}
            Err(refusal) => self.refuse(server, exchange, path, refusal),
        }
    }

    /// A Server writes a Resource block by block: gathered, but for a package, which may be larger
    /// than memory.
    pub(crate) fn asked_in_part(
        &mut self,
        peer: PeerId,
        exchange: ExchangeId,
        block: WrittenBlock,
    ) {
        // An exchange that is over needs no answer.
        let Some(server) = self.server_at(peer) else {
            let _ = self.transport.ignore_downlink(self.now, exchange);
            return;
        };
        if !self.is_package(&block) {
            let _ = self.transport.gather_downlink(self.now, exchange);
            return;
        }
        let (asker, path) = (self.asker(server), block.path);
        if let Err(refusal) = self.push_block(asker, exchange, block) {
            self.refuse(server, exchange, path, refusal);
        }
    }

    fn asker(&self, server: ShortServerId) -> Asker {
        Asker {
            server,
            alone: self.registrations.len() == 1,
        }
    }

    fn refuse(
        &mut self,
        server: ShortServerId,
        exchange: ExchangeId,
        path: Path,
        refusal: Refusal,
    ) {
        let Refusal { code, what } = refusal;
        self.tell(Event::Refused {
            server,
            path,
            code,
            what,
        });
        let mut response = Response::new(code);
        response.payload = what.as_bytes().to_vec();
        // The Server may have given up meanwhile; then nobody waits for this.
        let _ = self
            .transport
            .answer_downlink(self.now, exchange, response, 0);
    }

    /// `None`: it has been answered already.
    fn operate(
        &mut self,
        server: ShortServerId,
        exchange: ExchangeId,
        operation: Operation,
        token: Token,
    ) -> Result<Option<(Response, u64)>, Refusal> {
        let asker = self.asker(server);
        access::authorize(&self.tree, asker, &operation)?;
        let answer = match operation {
            Operation::Read { path, accept } => self.read_for(asker, path, accept)?,
            Operation::Discover { path } => self.discover(server, path)?,
            Operation::Write {
                path,
                format,
                payload,
                ..
            } if firmware::concerns(path) => {
                return self.write_firmware(asker, exchange, path, format, &payload);
            }
            Operation::Write {
                path,
                mode,
                format,
                payload,
            } => self.write(server, path, mode, format, &payload)?,
            Operation::WriteAttributes { path, attributes } => {
                self.attributes
                    .write(&self.tree, server, path, attributes)?;
                (Response::new(ResponseCode::Changed), self.commit())
            }
            Operation::Execute { path, arguments } => {
                return self
                    .execute(server, exchange, path, arguments)
                    .map(|()| None);
            }
            Operation::Create {
                object,
                format,
                payload,
            } => self.create(asker, object, format, &payload)?,
            Operation::Delete { path } => self.delete(server, path)?,
            Operation::Observe { path, accept } => {
                return self
                    .observe(asker, exchange, path, accept, token)
                    .map(|()| None);
            }
            Operation::CancelObservation { path } => {
                self.cancelled(server, path, token);
                self.read_for(asker, path, None)?
            }
            Operation::BootstrapDiscover { .. }
            | Operation::BootstrapWrite { .. }
            | Operation::BootstrapDelete { .. }
            | Operation::BootstrapFinish => {
                let what = "only a Bootstrap-Server may do that";
                return Err(Refusal::new(ResponseCode::MethodNotAllowed, what));
            }
        };
        Ok(Some(answer))
    }

    fn read_for(&self, asker: Asker, path: Path, accept: Option<ContentFormat>) -> Answered {
        let node = self.visible(asker, path)?;
        let (format, payload) = encode(path, &node, accept)?;
        Ok((Response::content(format, payload), 0))
    }

    /// What this Server may read at the target now.
    pub(crate) fn visible(&self, asker: Asker, path: Path) -> Result<Node, Refusal> {
        access::authorize_read(&self.tree, asker, path)?;
        let node = self.tree.read(path, self.now.wall)?;
        let Node::Object(object) = node else {
            return Ok(node);
        };
        let mut seen = Object::new(object.id);
        let id = object.id;
        seen.extend(object.into_instances().into_iter().filter(|instance| {
            access::rights(&self.tree, asker, id, instance.id) & access::READ != 0
        }));
        Ok(Node::Object(seen))
    }

    fn write(
        &mut self,
        server: ShortServerId,
        path: Path,
        mode: WriteMode,
        format: ContentFormat,
        payload: &[u8],
    ) -> Answered {
        let node = self.written(path, format, payload)?;
        let paths = self.tree.write(path, mode, node, self.now)?;
        let barrier = self.commit();
        self.values_changed(&paths);
        self.tell(Event::Written { server, paths });
        Ok((Response::new(ResponseCode::Changed), barrier))
    }

    /// What a Server wants to write, once it is sure that it may be written there.
    pub(crate) fn written(
        &self,
        path: Path,
        format: ContentFormat,
        payload: &[u8],
    ) -> Result<Node, Refusal> {
        self.tree.find_writable(path)?;
        if let Some(definition) = self.tree.definition_at(path) {
            check_format(definition, format)?;
        }
        Ok(self.decode(path, format, payload, is_harmless)?.node)
    }

    /// Reads a payload for its target. What a Server writes is taken as it says or not at all: no
    /// value is guessed.
    pub(crate) fn decode(
        &self,
        path: Path,
        format: ContentFormat,
        payload: &[u8],
        tolerates: impl Fn(Deviation) -> bool,
    ) -> Result<format::Decoded, Refusal> {
        let slot = path.object_id().and_then(|object| self.tree.slot(object));
        let slot = slot.ok_or(Refusal::new(ResponseCode::NotFound, "no such Object"))?;
        let decoded = format::decode(Some(format), path, payload, &*slot.definition)
            .map_err(|error| Refusal::new(error.code(), "the payload cannot be read"))?;
        if decoded.deviations.iter().all(tolerates) {
            Ok(decoded)
        } else {
            let what = "the payload does not say what the definition of the Object expects";
            Err(Refusal::new(ResponseCode::BadRequest, what))
        }
    }

    fn execute(
        &mut self,
        server: ShortServerId,
        exchange: ExchangeId,
        path: Path,
        arguments: dunlin_lwm2m::operation::Arguments,
    ) -> Result<(), Refusal> {
        let (action, changed) = self.tree.execute(path, &arguments, self.now)?;
        // The answer first: a device that reboots does not answer any more.
        let barrier = if changed.is_empty() { 0 } else { self.commit() };
        let done = Response::new(ResponseCode::Changed);
        let _ = self
            .transport
            .answer_downlink(self.now, exchange, done, barrier);
        self.flush_transport();
        self.values_changed(&changed);
        match action {
            Action::Tell => self.tell(Event::Executed {
                server,
                path,
                arguments,
            }),
            Action::Nothing => {}
            Action::Update => self.update_wanted(path),
            Action::Disable => self.disable(path),
            Action::Install => self.install_package(),
            Action::Reboot => self.tell(Event::Reboot),
            Action::FactoryReset => self.tell(Event::FactoryReset),
        }
        Ok(())
    }

    /// The Server whose instance of Object 1 this is.
    fn server_of(&self, path: Path) -> Option<ShortServerId> {
        let instance = path.instance_id()?;
        let mut all = self.registrations.values();
        all.find(|one| one.account.server == instance)
            .map(|one| one.account.short_server_id)
    }

    fn update_wanted(&mut self, path: Path) {
        if let Some(server) = self.server_of(path)
            && let Some(registration) = self.registrations.get_mut(&server)
        {
            registration.update_wanted = true;
        }
    }

    fn disable(&mut self, path: Path) {
        let Some(server) = self.server_of(path) else {
            return;
        };
        let timeout = path
            .instance_id()
            .and_then(|instance| self.tree.value(ObjectId::SERVER, instance, DISABLE_TIMEOUT))
            .and_then(Value::as_integer)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .unwrap_or(DISABLE_TIMEOUT_DEFAULT_S);
        let again = self.now.instant + core::time::Duration::from_secs(timeout);
        self.leave(server, Some(again));
    }

    fn create(
        &mut self,
        asker: Asker,
        object: ObjectId,
        format: ContentFormat,
        payload: &[u8],
    ) -> Answered {
        let target = Path::object(object);
        // Resources without an instance around them: the number is left to us (TS 1.0 §5.4.6).
        let decoded = self.decode(target, format, payload, |deviation| {
            is_harmless(deviation) || deviation == Deviation::TlvInstanceMissing
        })?;
        let made = match decoded.node {
            Node::Object(object) if decoded.unnamed_instance && object.instances().len() > 1 => {
                let what = "one instance has a number and another has none";
                return Err(Refusal::new(ResponseCode::BadRequest, what));
            }
            // An empty payload is an instance of which nothing is said, not even its number.
            Node::Object(object) if decoded.unnamed_instance || object.instances().is_empty() => {
                Created::Unnamed(object.into_instances())
            }
            Node::Object(object) => Created::Named(object.into_instances()),
            Node::Instance(_) | Node::Resource(_) => {
                let what = "the payload is neither an Object nor the Resources of an instance";
                return Err(Refusal::new(ResponseCode::BadRequest, what));
            }
        };
        let paths = self.tree.create(object, made)?;
        if !asker.alone {
            paths.iter().for_each(|path| self.own(asker.server, *path));
        }
        let barrier = self.commit();
        self.values_changed(&paths);
        let location = paths
            .first()
            .map(|path| self.location(*path))
            .unwrap_or_default();
        self.tell(Event::Created {
            server: asker.server,
            paths,
        });
        Ok((Response::created(location), barrier))
    }

    /// A new instance belongs to the Server that made it (TS 1.0 §7.3.3).
    fn own(&mut self, server: ShortServerId, path: Path) {
        let (Some(object), Some(instance)) = (path.object_id(), path.instance_id()) else {
            return;
        };
        let Some(slot) = self.tree.slot_mut(ObjectId::ACCESS_CONTROL) else {
            return;
        };
        let free = (0..u16::MAX).map(dunlin_lwm2m::ObjectInstanceId);
        let Some(id) = free.into_iter().find(|id| !slot.instances.contains_key(id)) else {
            return;
        };
        let number = |id: u16| Value::Integer(i64::from(id));
        let control = Instance::new(id)
            .with(Resource::single(access::TARGET_OBJECT, number(object.0)))
            .with(Resource::single(
                access::TARGET_INSTANCE,
                number(instance.0),
            ))
            .with(Resource::multiple(access::ACL, []))
            .with(Resource::single(access::OWNER, number(server.value())));
        slot.instances.insert(id, control);
    }

    fn location(&self, path: Path) -> Vec<String> {
        let root = self
            .config
            .root
            .split('/')
            .filter(|segment| !segment.is_empty());
        let ids = path.ids().iter().map(ToString::to_string);
        root.map(ToString::to_string).chain(ids).collect()
    }

    fn delete(&mut self, server: ShortServerId, path: Path) -> Answered {
        self.tree.delete(path)?;
        self.attributes.forget(path);
        if let (Some(object), Some(instance)) = (path.object_id(), path.instance_id())
            && let Some(control) = access::entry_of(&self.tree, object, instance).map(|one| one.id)
            && let Some(slot) = self.tree.slot_mut(ObjectId::ACCESS_CONTROL)
        {
            slot.instances.remove(&control);
        }
        let barrier = self.commit();
        self.values_changed(&[path]);
        self.tell(Event::Deleted { server, path });
        Ok((Response::new(ResponseCode::Deleted), barrier))
    }

    fn observe(
        &mut self,
        asker: Asker,
        exchange: ExchangeId,
        path: Path,
        accept: Option<ContentFormat>,
        token: Token,
    ) -> Result<(), Refusal> {
        let told = self.visible(asker, path)?;
        let (format, payload) = encode(path, &told, accept)?;
        if self.observations.len() >= OBSERVATIONS_MAX {
            let what = "this Client is observed as often as it can be";
            return Err(Refusal::new(ResponseCode::InternalServerError, what));
        }
        let answer = Response::content(format, payload);
        let Ok(observer) = self.transport.answer_observe(self.now, exchange, answer, 0) else {
            let what = "this Client cannot take another observer";
            return Err(Refusal::new(ResponseCode::InternalServerError, what));
        };
        let server = asker.server;
        self.observations.push(Observation {
            observer,
            server,
            token,
            path,
            format,
            told,
            told_at: self.now.instant,
            due: false,
            not_before: self.now.instant,
            under_way: None,
            sent: Vec::new(),
            kept: Vec::new(),
        });
        self.tell(Event::Observed { server, path });
        Ok(())
    }

    /// The Server asks with Observe 1; its token names the observation, or else its path does:
    /// some Servers cancel with a new token.
    fn cancelled(&mut self, server: ShortServerId, path: Path, token: Token) {
        let by_token = |one: &Observation| one.server == server && one.token == token;
        let by_path = |one: &Observation| one.server == server && one.path == path;
        let found = self
            .observations
            .iter()
            .position(by_token)
            .or_else(|| self.observations.iter().position(by_path));
        if let Some(at) = found {
            let ended = self.observations.remove(at);
            // CoAP may have removed it with the request already.
            let _ = self.transport.remove_observer(self.now, ended.observer);
            self.tell(Event::ObservationEnded {
                server,
                path: ended.path,
            });
        }
    }

    fn discover(&self, server: ShortServerId, path: Path) -> Answered {
        self.tree.find(path)?;
        let mut found = Discovered::default();
        match path.level() {
            Level::Object => {
                let slot = self
                    .tree
                    .slot(path.object_id().expect("it was found"))
                    .expect("found");
                let mut link = DiscoveredLink::new(path);
                link.attributes = self.attributes.at(server, path);
                let version = slot.definition.version;
                link.version = (version != ObjectVersion::V1_0).then_some(version);
                found.links.push(link);
                for instance in slot.instances.keys() {
                    let path = Path::instance(slot.definition.id, *instance);
                    found.links.push(DiscoveredLink::new(path));
                    let resources = self.tree.instantiated(path);
                    found.links.extend(resources.filter_map(|(definition, _)| {
                        path.child(definition.id.0).map(DiscoveredLink::new)
                    }));
                }
            }
            Level::Instance => {
                let mut link = DiscoveredLink::new(path);
                link.attributes = self.attributes.at(server, path);
                found.links.push(link);
                for (definition, value) in self.tree.instantiated(path) {
                    let Some(path) = path.child(definition.id.0) else {
                        continue;
                    };
                    let mut link = DiscoveredLink::new(path);
                    link.attributes = self.attributes.at(server, path);
                    link.dimension = dimension(value);
                    found.links.push(link);
                }
            }
            _ => {
                let mut link = DiscoveredLink::new(path);
                link.attributes = self.attributes.inherited(server, path);
                let instance = path.parent().expect("a Resource has an instance");
                let mut all = self.tree.instantiated(instance);
                let value = all.find(|(one, _)| Some(one.id) == path.resource_id());
                link.dimension = value.and_then(|(_, value)| dimension(value));
                found.links.push(link);
            }
        }
        let root = self.config.root.trim_matches('/');
        let root = if root.is_empty() {
            String::new()
        } else {
            alloc::format!("/{root}")
        };
        let payload = found.write(&root).into_bytes();
        Ok((Response::content(ContentFormat::LINK, payload), 0))
    }

    /// Puts out what the transport has to send now, before what follows.
    pub(crate) fn flush_transport(&mut self) {
        // The answer is the transport's next output; whatever else it tells is told later, from
        // the same queue.
        if let dunlin_transport::Output::Transmit(transmit) = self.transport.poll_output() {
            self.outputs.push_back(Output::Transmit(transmit));
        }
    }
}

fn dimension(value: Option<&ResourceValue>) -> Option<u16> {
    match value {
        Some(ResourceValue::Multiple(values)) => u16::try_from(values.len()).ok(),
        _ => None,
    }
}

/// Whether the format can carry a value of this Resource (TS 1.0 §6.4): text and bytes have room for
/// one value alone, and bytes for bytes alone.
pub(crate) fn check_format(
    definition: &ResourceDefinition,
    format: ContentFormat,
) -> Result<(), Refusal> {
    let carries = match format.modern() {
        ContentFormat::TEXT => !definition.multiple,
        ContentFormat::OPAQUE => !definition.multiple && definition.value_type == ValueType::Opaque,
        _ => true,
    };
    if carries {
        return Ok(());
    }
    let what = "the format cannot carry a value of this Resource";
    Err(Refusal::new(ResponseCode::UnsupportedContentFormat, what))
}

/// Spellings that leave no doubt about what is meant.
pub(crate) fn is_harmless(deviation: Deviation) -> bool {
    matches!(
        deviation,
        Deviation::OldContentFormat
            | Deviation::TlvInstanceWrapped
            | Deviation::NameSpelling
            | Deviation::Base64Spelling
            | Deviation::ObjectLinkEmpty
            | Deviation::JsonMember
    )
}

/// Writes an answer in the format that is wanted, or else in the one that fits: text for a value,
/// bytes for bytes, TLV for everything that has more.
fn encode(
    path: Path,
    node: &Node,
    accept: Option<ContentFormat>,
) -> Result<(ContentFormat, Vec<u8>), Refusal> {
    let format = accept.unwrap_or_else(|| preferred(node));
    let payload = format::encode(format, path, node).map_err(|error| {
        Refusal::new(
            error.code(),
            "the value cannot be given in the format that is accepted",
        )
    })?;
    Ok((format, payload))
}

fn preferred(node: &Node) -> ContentFormat {
    match node {
        Node::Resource(Resource {
            value: ResourceValue::Single(Value::Opaque(_)),
            ..
        }) => ContentFormat::OPAQUE,
        Node::Resource(Resource {
            value: ResourceValue::Single(_),
            ..
        }) => ContentFormat::TEXT,
        _ => ContentFormat::TLV,
    }
}
