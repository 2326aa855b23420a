//! The Firmware Update Object over time (TS 1.0 §E.6): packages come, are checked and installed.
//!
//! ```text
//!            Package or Package URI                 whole and good             Update
//!   Idle ───────────────────────────> Downloading ─────────────> Downloaded ─────────> Updating
//!    ^ ^                                   │                        │   ^                │   │
//!    │ └── Result 2 … 7, 9 ────────────────┘                        │   └── Result 8 ────┘   │
//!    ├──── reset: Package URI "", or Package one byte 0 ────────────┘                        │
//!    └──────────────────────────────────────────────────────────── Result 1 ─────────────────┘
//! ```
//!
//! The machine holds no package: each piece leaves as a [`PackageStep`] and the next one is let in
//! when the outside says that it is stored. `push` is the Server's Write block by block, `pull` the
//! download over CoAP; over HTTP the outside downloads by itself ([`PackageStep::Download`]).
//! State, Update Result and Package URI are values of the Object and so survive a restart, after
//! which [`Client::resume_firmware`] goes on.

mod pull;
mod push;
mod uri;

use alloc::string::String;
use alloc::vec::Vec;

use dunlin_lwm2m::operation::{Response, ResponseCode};
use dunlin_lwm2m::{
    ContentFormat, Node, ObjectId, ObjectInstanceId, Path, Resource, ResourceValue, Value,
};
use dunlin_transport::{
    ExchangeId, Failure, FetchedBlock, Instant, PeerId, RequestId, WrittenBlock,
};

use self::pull::Pull;
use self::push::Push;
use self::uri::{PackageUri, UriFault};
use crate::access::Asker;
use crate::account::{Scheme, ServerUri};
use crate::client::Client;
use crate::event::{Answer, Event, Need, NeedId, Output};
use crate::object::PullProtocol;
use crate::object::firmware::{
    DELIVERY, PACKAGE, PACKAGE_NAME, PACKAGE_URI, PACKAGE_VERSION, PROTOCOLS, STATE, UPDATE_RESULT,
};
use crate::tree::Refusal;

/// Firmware Version of the Device Object.
const DEVICE_FIRMWARE_VERSION: u16 = 3;

/// What is to be done with the package, by whoever has a place for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackageStep {
    /// How much of the package at this URI is there already, from before an interruption? Answered
    /// with [`PackageDone::Kept`].
    Resume {
        /// Where it is being downloaded from.
        uri: String,
    },
    /// Store these bytes at this place. What is there from this place on is replaced; at 0 a new
    /// package begins. Answered with [`PackageDone::Done`].
    Append {
        /// Where.
        offset: u64,
        /// What: at most one block.
        bytes: Vec<u8>,
        /// How long the whole is, if that is known: enough to say at once that there is no room.
        size: Option<u64>,
        /// For [`PackageStep::Resume`]: where it is downloaded from, and which version of it this
        /// is. `None` for what a Server writes.
        origin: Option<PackageOrigin>,
    },
    /// Download the package at this URI over HTTP or HTTPS and store it, going on where an earlier
    /// download stopped. Answered with [`PackageDone::Done`] when it is whole.
    Download {
        /// Where.
        uri: String,
    },
    /// The package is whole: is it good? Answered with [`PackageDone::Verified`].
    Verify,
    /// Install the package. Answered with [`PackageDone::Done`] - before or after a restart, for
    /// then [`PackageStep::Confirm`] asks again.
    Install,
    /// The device has restarted while a package was being installed: has that succeeded? Answered
    /// with [`PackageDone::Done`].
    Confirm,
    /// Forget the package, and end a download. Nobody waits for an answer.
    Discard,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageOrigin {
    /// The URI.
    pub uri: String,
    /// The ETag of the server: bytes of one package have the same one. Without it nothing can be
    /// resumed, for the package may have changed.
    pub etag: Option<Vec<u8>>,
}

/// How a [`PackageStep`] went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackageDone {
    /// It is done.
    Done,
    /// So much of the package is there.
    Kept {
        /// How many bytes from the beginning.
        length: u64,
        /// Of which version.
        etag: Option<Vec<u8>>,
    },
    /// The package is good.
    Verified {
        /// PkgName (`/5/0/6`), if the package has one.
        name: Option<String>,
        /// PkgVersion (`/5/0/7`), if the package has one; Firmware Version once it is installed.
        version: Option<String>,
    },
}

/// Why a [`PackageStep`] failed. Each is an Update Result of `/5/0/5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageFault {
    /// Update Result 2.
    #[error("there is not enough room for the package")]
    NoRoom,
    /// Update Result 3.
    #[error("memory has run out during the download")]
    NoMemory,
    /// Update Result 4.
    #[error("the connection was lost during the download")]
    ConnectionLost,
    /// Update Result 5.
    #[error("the package is damaged")]
    Damaged,
    /// Update Result 6.
    #[error("this is no package of a kind that can be installed")]
    UnsupportedType,
    /// Update Result 7.
    #[error("there is no package at the URI")]
    InvalidUri,
    /// Update Result 8.
    #[error("the package could not be installed")]
    UpdateFailed,
    /// Update Result 9.
    #[error("packages cannot be pulled by this protocol")]
    UnsupportedProtocol,
}

impl PackageFault {
    /// The number in `/5/0/5`.
    #[must_use]
    pub const fn update_result(self) -> i64 {
        match self {
            Self::NoRoom => 2,
            Self::NoMemory => 3,
            Self::ConnectionLost => 4,
            Self::Damaged => 5,
            Self::UnsupportedType => 6,
            Self::InvalidUri => 7,
            Self::UpdateFailed => 8,
            Self::UnsupportedProtocol => 9,
        }
    }
}

/// `/5/0/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareState {
    /// There is no package.
    Idle = 0,
    /// One is coming.
    Downloading = 1,
    /// One is there, whole and good.
    Downloaded = 2,
    /// It is being installed.
    Updating = 3,
}

/// What is under way, beside what the values say.
#[derive(Debug, Default)]
pub(crate) struct Firmware {
    job: Job,
    /// The question that `job` waits for.
    awaited: Option<NeedId>,
}

#[derive(Debug, Default)]
enum Job {
    #[default]
    None,
    /// A Server writes the package.
    Push(Push),
    /// We download it over CoAP.
    Pull(Pull),
    /// The outside downloads it.
    Download,
    /// It is being checked.
    Verify,
    /// It is being installed.
    Install,
}

/// What a Write asks for.
enum Order {
    Reset,
    Package(Vec<u8>),
    Uri(String),
}

impl Firmware {
    /// When something is to be done, if nothing comes.
    pub(crate) fn next(&self) -> Option<Instant> {
        match &self.job {
            Job::Push(push) => Some(push.until),
            Job::Pull(pull) => pull.next(),
            Job::None | Job::Download | Job::Verify | Job::Install => None,
        }
    }

    /// Whether a package is coming: a Client that waits for one does not sleep.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.job, Job::Push(_) | Job::Pull(_))
    }

    pub(crate) fn awaits(&self, need: NeedId) -> bool {
        self.awaited == Some(need)
    }

    /// The server that a package is downloaded from.
    pub(crate) fn peer(&self) -> Option<PeerId> {
        match &self.job {
            Job::Pull(pull) => pull.peer(),
            _ => None,
        }
    }

    /// Whether a session with it is being opened.
    pub(crate) fn is_connecting(&self) -> bool {
        matches!(&self.job, Job::Pull(pull) if pull.is_connecting())
    }

    /// The request for a block that is under way.
    pub(crate) fn fetches(&self, request: RequestId) -> bool {
        matches!(&self.job, Job::Pull(pull) if pull.fetches(request))
    }
}

fn resource(id: u16) -> Path {
    Path::from([ObjectId::FIRMWARE_UPDATE.0, 0, id])
}

/// Whether a Write there concerns a package.
pub(crate) fn concerns(path: Path) -> bool {
    path.object_id() == Some(ObjectId::FIRMWARE_UPDATE) && path.instance_id().is_some()
}

impl Client {
    /// Where the Firmware Update Object stands; `None` for a Client without it.
    #[must_use]
    pub fn firmware_state(&self) -> Option<FirmwareState> {
        Some(match self.firmware_value(STATE)?.as_integer()? {
            1 => FirmwareState::Downloading,
            2 => FirmwareState::Downloaded,
            3 => FirmwareState::Updating,
            _ => FirmwareState::Idle,
        })
    }

    /// Whether this block is one of a package, and written as bytes: in another format the blocks
    /// say nothing one by one.
    pub(crate) fn is_package(&self, block: &WrittenBlock) -> bool {
        block.path == resource(PACKAGE)
            && block.format.modern() == ContentFormat::OPAQUE
            && self.firmware_state().is_some()
    }

    fn firmware_value(&self, id: u16) -> Option<&Value> {
        self.tree
            .value(ObjectId::FIRMWARE_UPDATE, ObjectInstanceId(0), id)
    }

    fn package_uri(&self) -> &str {
        self.firmware_value(PACKAGE_URI)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn may_pull(&self, protocol: PullProtocol) -> bool {
        let instance = self
            .tree
            .instances(ObjectId::FIRMWARE_UPDATE)
            .find(|instance| instance.id.0 == 0);
        match instance.and_then(|one| one.resource(PROTOCOLS)) {
            Some(Resource {
                value: ResourceValue::Multiple(listed),
                ..
            }) => listed
                .values()
                .any(|value| value.as_integer() == Some(protocol as i64)),
            // Not said: CoAP alone (TS 1.0 §E.6).
            _ => protocol == PullProtocol::Coap,
        }
    }

    fn delivers(&self, method: crate::object::Delivery) -> bool {
        let said = self.firmware_value(DELIVERY).and_then(Value::as_integer);
        said.is_none_or(|said| said == 2 || said == method as i64)
    }

    // A Server writes.

    /// A Write into the Object in one piece. `None`: it is answered once the package is stored.
    pub(crate) fn write_firmware(
        &mut self,
        asker: Asker,
        exchange: ExchangeId,
        path: Path,
        format: ContentFormat,
        payload: &[u8],
    ) -> Result<Option<(Response, u64)>, Refusal> {
        let node = self.written(path, format, payload)?;
        match self.order_of(node)? {
            None => Ok(Some((Response::new(ResponseCode::Changed), 0))),
            Some(Order::Reset) => self.reset_firmware().map(Some),
            Some(Order::Uri(uri)) => self.order_pull(uri).map(Some),
            Some(Order::Package(bytes)) => {
                self.take_package(asker.server, exchange, bytes)?;
                Ok(None)
            }
        }
    }

    fn order_of(&self, node: Node) -> Result<Option<Order>, Refusal> {
        let bad = |what| Err(Refusal::new(ResponseCode::BadRequest, what));
        let resources = match node {
            Node::Resource(resource) => alloc::vec![resource],
            Node::Instance(instance) => instance.into_resources(),
            Node::Object(_) => return bad("the payload is not of the level of its target"),
        };
        let (mut package, mut uri) = (None, None);
        for resource in resources {
            let path = self::resource(resource.id.0);
            let Some(definition) = self.tree.definition_at(path) else {
                continue;
            };
            if !definition.operations.write {
                let what = "this Resource is not writable";
                return Err(Refusal::new(ResponseCode::MethodNotAllowed, what));
            }
            match (resource.id.0, resource.value) {
                (PACKAGE, ResourceValue::Single(Value::Opaque(bytes))) => package = Some(bytes),
                (PACKAGE_URI, ResourceValue::Single(Value::String(text))) => {
                    if !definition.range().contains(&Value::String(text.clone())) {
                        return bad("a value is out of its range");
                    }
                    uri = Some(text);
                }
                _ => return bad("a value has the wrong type"),
            }
        }
        // One byte of zero takes a package back, and so does nothing at all.
        let package = package.map(|bytes| match bytes[..] {
            [] | [0] => None,
            _ => Some(bytes),
        });
        let uri = uri.map(|text| (!text.is_empty()).then_some(text));
        Ok(Some(match (package, uri) {
            (None, None) => return Ok(None),
            (Some(Some(_)), Some(Some(_))) => {
                return bad("a package and where to get one: which of the two is meant?");
            }
            (Some(Some(bytes)), _) => Order::Package(bytes),
            (_, Some(Some(uri))) => Order::Uri(uri),
            (Some(None) | None, Some(None) | None) => Order::Reset,
        }))
    }

    fn reset_firmware(&mut self) -> Result<(Response, u64), Refusal> {
        if self.firmware_state() == Some(FirmwareState::Updating) {
            return Err(BUSY_UPDATING);
        }
        self.abandon_job();
        self.discard_package();
        let barrier = self.enter(FirmwareState::Idle, 0, Some(""));
        Ok((Response::new(ResponseCode::Changed), barrier))
    }

    fn order_pull(&mut self, uri: String) -> Result<(Response, u64), Refusal> {
        if !self.delivers(crate::object::Delivery::Pull) {
            return Err(Refusal::new(
                ResponseCode::MethodNotAllowed,
                "packages are pushed to this Client, never pulled",
            ));
        }
        let done = Response::new(ResponseCode::Changed);
        match self.firmware_state() {
            Some(FirmwareState::Updating) => return Err(BUSY_UPDATING),
            // The Server says again what it has said.
            Some(FirmwareState::Downloading) if self.package_uri() == uri => {
                return Ok((done, 0));
            }
            Some(FirmwareState::Downloading | FirmwareState::Downloaded) => {
                return Err(RESET_FIRST);
            }
            Some(FirmwareState::Idle) | None => {}
        }
        let fault = match PackageUri::parse(&uri) {
            Ok(parsed) if self.may_pull(parsed.protocol) => None,
            Ok(_) | Err(UriFault::Scheme) => Some(PackageFault::UnsupportedProtocol),
            Err(UriFault::Syntax) => Some(PackageFault::InvalidUri),
        };
        // The Write itself is good; what is wrong with the URI is an Update Result (int-778, 780).
        let barrier = match fault {
            Some(fault) => self.enter(FirmwareState::Idle, fault.update_result(), Some(&uri)),
            None => {
                let barrier = self.enter(FirmwareState::Downloading, 0, Some(&uri));
                self.begin_pull();
                barrier
            }
        };
        Ok((done, barrier))
    }

    /// Downloads what `/5/0/1` names.
    fn begin_pull(&mut self) {
        let uri = String::from(self.package_uri());
        match PackageUri::parse(&uri) {
            Ok(parsed) => match parsed.protocol {
                PullProtocol::Coap | PullProtocol::Coaps => {
                    self.firmware.job = Job::Pull(Pull::new(parsed));
                    self.package_step(PackageStep::Resume { uri });
                }
                PullProtocol::Http | PullProtocol::Https => {
                    self.firmware.job = Job::Download;
                    self.package_step(PackageStep::Download { uri });
                }
            },
            Err(_) => self.package_lost(PackageFault::InvalidUri),
        }
    }

    // What the outside says.

    pub(crate) fn package_answered(&mut self, answer: Answer) {
        self.firmware.awaited = None;
        let job = core::mem::take(&mut self.firmware.job);
        let answer = match (job, answer) {
            (Job::Pull(pull), Answer::Resolved(address)) => {
                return self.pull_resolved(pull, address);
            }
            (job, Answer::Package(answer)) => (job, answer),
            (job, _) => (job, Err(PackageFault::ConnectionLost)),
        };
        match answer {
            (Job::None, _) => {}
            (Job::Push(push), answer) => self.push_stored(push, answer),
            (Job::Pull(pull), answer) => self.pull_stored(pull, answer),
            (Job::Download, Ok(_)) => self.verify_package(),
            (Job::Verify, Ok(PackageDone::Verified { name, version })) => {
                self.package_is_good(name, version);
            }
            (Job::Verify, Ok(_)) => self.package_is_good(None, None),
            (Job::Install, Ok(_)) => self.installed(),
            (Job::Install, Err(_)) => {
                // The package is still there: the Server may try once more (int-779).
                let failed = PackageFault::UpdateFailed.update_result();
                self.enter(FirmwareState::Downloaded, failed, None);
            }
            (Job::Download | Job::Verify, Err(fault)) => self.package_lost(fault),
        }
    }

    fn verify_package(&mut self) {
        self.firmware.job = Job::Verify;
        self.package_step(PackageStep::Verify);
    }

    fn package_is_good(&mut self, name: Option<String>, version: Option<String>) {
        for (id, text) in [(PACKAGE_NAME, name), (PACKAGE_VERSION, version)] {
            if let Some(text) = text {
                // A name that the definition does not allow is left out.
                let set = self.tree.set(resource(id), Value::String(text).into());
                self.values_changed(&set.unwrap_or_default());
            }
        }
        self.enter(FirmwareState::Downloaded, 0, None);
    }

    /// After an Execute of `/5/0/2`, which has set the State.
    pub(crate) fn install_package(&mut self) {
        self.tell_firmware();
        self.firmware.job = Job::Install;
        self.package_step(PackageStep::Install);
    }

    fn installed(&mut self) {
        if let Some(version) = self.firmware_value(PACKAGE_VERSION).cloned() {
            let path = Path::from([ObjectId::DEVICE.0, 0, DEVICE_FIRMWARE_VERSION]);
            let set = self.tree.set(path, version.into());
            self.values_changed(&set.unwrap_or_default());
        }
        self.discard_package();
        self.enter(FirmwareState::Idle, 1, Some(""));
    }

    /// No package comes of it.
    fn package_lost(&mut self, fault: PackageFault) {
        self.firmware.job = Job::None;
        self.discard_package();
        self.enter(FirmwareState::Idle, fault.update_result(), None);
    }

    fn discard_package(&mut self) {
        for id in [PACKAGE_NAME, PACKAGE_VERSION] {
            let slot = self.tree.slot_mut(ObjectId::FIRMWARE_UPDATE);
            let instance = slot.and_then(|slot| slot.instances.get_mut(&ObjectInstanceId(0)));
            if instance.is_some_and(|instance| instance.remove(id.into()).is_some()) {
                self.values_changed(&[resource(id)]);
            }
        }
        let need = self.next_need();
        let step = Need::Package(PackageStep::Discard);
        self.outputs.push_back(Output::Need(need, step));
    }

    /// Whatever was under way is not any more.
    fn abandon_job(&mut self) {
        self.firmware.awaited = None;
        match core::mem::take(&mut self.firmware.job) {
            Job::Pull(pull) => self.end_pull(&pull),
            // The block that waits for its answer will be repeated, and refused.
            Job::Push(push) => self.refuse_push(&push, RESET_FIRST),
            Job::None | Job::Download | Job::Verify | Job::Install => {}
        }
    }

    /// Sets State, Update Result and perhaps Package URI, and keeps them.
    fn enter(&mut self, state: FirmwareState, result: i64, uri: Option<&str>) -> u64 {
        let mut changed = Vec::new();
        let mut set = |id, value: Value| {
            if let Ok(paths) = self.tree.set(resource(id), value.into()) {
                changed.extend(paths);
            }
        };
        if let Some(uri) = uri {
            set(PACKAGE_URI, Value::String(uri.into()));
        }
        set(STATE, Value::Integer(state as i64));
        set(UPDATE_RESULT, Value::Integer(result));
        let barrier = self.commit();
        self.values_changed(&changed);
        self.tell_firmware();
        barrier
    }

    fn tell_firmware(&mut self) {
        let result = self
            .firmware_value(UPDATE_RESULT)
            .and_then(Value::as_integer)
            .unwrap_or(0);
        if let Some(state) = self.firmware_state() {
            self.tell(Event::Firmware { state, result });
        }
    }

    fn next_need(&mut self) -> NeedId {
        let need = NeedId(self.next_need);
        self.next_need += 1;
        need
    }

    fn package_step(&mut self, step: PackageStep) {
        self.ask_for_package(Need::Package(step));
    }

    fn ask_for_package(&mut self, need: Need) {
        let id = self.next_need();
        self.firmware.awaited = Some(id);
        self.outputs.push_back(Output::Need(id, need));
    }

    // Time, and what comes over the network.

    /// After a restart: goes on where the values say that the Client stood.
    pub(crate) fn resume_firmware(&mut self) {
        match self.firmware_state() {
            Some(FirmwareState::Downloading) if self.package_uri().is_empty() => {
                // What was pushed came in pieces that nobody sends again by itself.
                self.package_lost(PackageFault::ConnectionLost);
            }
            Some(FirmwareState::Downloading) => self.begin_pull(),
            Some(FirmwareState::Updating) => {
                self.firmware.job = Job::Install;
                self.package_step(PackageStep::Confirm);
            }
            Some(FirmwareState::Idle | FirmwareState::Downloaded) | None => {}
        }
    }

    /// Whose keys open a session with the server of the package: those of an account for the same host,
    /// and best for the same port (TS 1.0 §E.6).
    pub(crate) fn package_account(&self) -> Option<(ServerUri, ObjectInstanceId)> {
        let Job::Pull(pull) = &self.firmware.job else {
            return None;
        };
        self.account_for(pull)
    }

    fn account_for(&self, pull: &Pull) -> Option<(ServerUri, ObjectInstanceId)> {
        let accounts = self.tree.instances(ObjectId::SECURITY).filter_map(|one| {
            let uri = ServerUri::parse(one.value(0)?.as_str()?).ok()?;
            let same = uri.scheme == Scheme::Coaps && uri.host.eq_ignore_ascii_case(pull.host());
            same.then_some((uri, one.id))
        });
        let (uri, security) = accounts.max_by_key(|(uri, _)| uri.port == pull.port())?;
        let port = pull.port();
        Some((ServerUri { port, ..uri }, security))
    }

    pub(crate) fn package_server_connected(&mut self) {
        if !self.firmware.is_connecting() {
            return;
        }
        if let Job::Pull(pull) = core::mem::take(&mut self.firmware.job) {
            self.pull_connected(pull);
        }
    }

    pub(crate) fn package_server_lost(&mut self) {
        if let Job::Pull(pull) = core::mem::take(&mut self.firmware.job) {
            self.pull_lost(pull);
        }
    }

    /// What is due now.
    pub(crate) fn drive_firmware(&mut self) {
        let now = self.now.instant;
        if self.firmware.next().is_none_or(|next| next > now) {
            return;
        }
        match core::mem::take(&mut self.firmware.job) {
            Job::Push(push) => self.push_stopped(&push),
            Job::Pull(pull) => self.pull_again(pull),
            job => self.firmware.job = job,
        }
    }

    pub(crate) fn package_fetched(&mut self, block: FetchedBlock) {
        if let Job::Pull(pull) = core::mem::take(&mut self.firmware.job) {
            self.pull_fetched(pull, block);
        }
    }

    pub(crate) fn package_not_fetched(&mut self, failure: Failure) {
        if let Job::Pull(pull) = core::mem::take(&mut self.firmware.job) {
            self.pull_failed(pull, failure);
        }
    }
}

const BUSY_UPDATING: Refusal = Refusal::new(
    ResponseCode::MethodNotAllowed,
    "a package is being installed",
);
const RESET_FIRST: Refusal = Refusal::new(
    ResponseCode::BadRequest,
    "there is a package; take it back first, with an empty Package URI",
);
