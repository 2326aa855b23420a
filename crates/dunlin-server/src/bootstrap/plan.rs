//! The steps of a run as data, computed before the first of them is taken.
//!
//! What a Client has decides about numbers: nothing may be written over its Bootstrap-Server
//! Account, which may stand at any of them (TS 1.0 §5.2.2), and what a Server has there already
//! keeps its number. A Client of 1.0 need not tell; then numbers are taken where no Client known
//! to us keeps that account. The order is that of the field: Security, what Security refers to,
//! Server, the rest.

use std::collections::BTreeSet;

use dunlin_lwm2m::format::{self, EncodeError};
use dunlin_lwm2m::link::{Discovered, DiscoveredLink};
use dunlin_lwm2m::operation::Operation;
use dunlin_lwm2m::{
    ContentFormat, Instance, MAX_ID, Node, ObjectId, ObjectInstanceId, Path, Resource, ResourceId,
    ResourceValue, ShortServerId, Value,
};
use thiserror::Error;

use super::profile::Removal;
use super::provision::{Draft, Placement, Provision};

/// LwM2M Security.
const SECURITY: ObjectId = ObjectId(0);

/// Where Security instances begin for a Client that does not tell what it has: Bootstrap-Server
/// Accounts stand at 0 or 1 in all Clients known to us.
const BEYOND_BOOTSTRAP_ACCOUNTS: u16 = 10;

/// One request to the Client.
#[derive(Clone, PartialEq)]
pub enum Step {
    /// What is there? (TS 1.0 §5.2.7.3)
    Discover,
    /// Remove it (TS 1.0 §5.2.7.5).
    Delete {
        /// Everything, an Object or an instance.
        path: Path,
        /// What is removed one by one when the Client refuses: some know no other way.
        instead: Vec<Path>,
        /// Whether the run goes on when the Client does not.
        optional: bool,
    },
    /// Write an instance, whether it is there or not (TS 1.0 §5.2.7.4).
    Write {
        /// Its path.
        path: Path,
        /// Its Resources.
        instance: Instance,
    },
    /// All is written: check it and go to work (TS 1.0 §5.2.7.2).
    Finish,
}

/// What kind of step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// Bootstrap-Discover.
    Discover,
    /// Bootstrap-Delete.
    Delete,
    /// Bootstrap-Write.
    Write,
    /// Bootstrap-Finish.
    Finish,
}

impl StepKind {
    /// The word used in REST and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Delete => "delete",
            Self::Write => "write",
            Self::Finish => "finish",
        }
    }
}

/// A value as it may be shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// As it is.
    Value(Value),
    /// A key: only its length.
    Secret {
        /// How many bytes it has.
        bytes: usize,
    },
}

/// All steps, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps; the last is [`Step::Finish`].
    pub steps: Vec<Step>,
}

/// Why there is no way to write what is to be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The account that is to be replaced cannot be told.
    #[error(
        "the Client's Bootstrap-Server account is to be replaced, and it does not tell which instance of object 0 that is: give its number in the profile"
    )]
    BootstrapAccountUnknown,
    /// An account would be written over that of the Bootstrap-Server.
    #[error(
        "{0} is the Client's Bootstrap-Server account: give the Server account another number, or none"
    )]
    BootstrapAccountThere(Path),
    /// No number is left.
    #[error("object {0} has no free instance number on this Client")]
    Full(ObjectId),
}

impl core::fmt::Debug for Step {
    /// Without values: there are keys among them.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", self.kind().name(), self.path())
    }
}

impl Step {
    /// What kind of step it is.
    #[must_use]
    pub const fn kind(&self) -> StepKind {
        match self {
            Self::Discover => StepKind::Discover,
            Self::Delete { .. } => StepKind::Delete,
            Self::Write { .. } => StepKind::Write,
            Self::Finish => StepKind::Finish,
        }
    }

    /// What it is about; the root for Discover and Finish.
    #[must_use]
    pub const fn path(&self) -> Path {
        match self {
            Self::Delete { path, .. } | Self::Write { path, .. } => *path,
            Self::Discover | Self::Finish => Path::ROOT,
        }
    }

    /// What is written, by Resource or Resource Instance; keys are not shown.
    #[must_use]
    pub fn values(&self) -> Vec<(Path, Shown)> {
        let Self::Write { path, instance } = self else {
            return Vec::new();
        };
        let node = Node::Instance(instance.clone());
        let values = node.values(*path).into_iter();
        values
            .map(|(path, value)| {
                let shown = match value {
                    Value::Opaque(bytes) if is_secret(&path) => {
                        Shown::Secret { bytes: bytes.len() }
                    }
                    value => Shown::Value(value.clone()),
                };
                (path, shown)
            })
            .collect()
    }

    /// The request, in this format where something is written.
    pub(crate) fn operation(&self, format: ContentFormat) -> Result<Operation, EncodeError> {
        Ok(match self {
            Self::Discover => Operation::BootstrapDiscover { path: Path::ROOT },
            Self::Delete { path, .. } => Operation::BootstrapDelete { path: *path },
            Self::Write { path, instance } => Operation::BootstrapWrite {
                path: *path,
                format,
                payload: format::encode(format, *path, &Node::Instance(instance.clone()))?,
            },
            Self::Finish => Operation::BootstrapFinish,
        })
    }
}

/// Secret Key and SMS Binding Secret Key(s) of Object 0.
fn is_secret(path: &Path) -> bool {
    matches!(path.ids(), [0, _, 5 | 8, ..])
}

impl Plan {
    /// The steps that bring a Client from what it has (`None`: it does not tell) to what it is to
    /// get. Asking what it has is not among them.
    ///
    /// # Errors
    /// [`PlanError`]: on this Client it cannot be done.
    pub fn new(provision: &Provision, discovered: Option<&Discovered>) -> Result<Self, PlanError> {
        let mut steps = deletes(provision, discovered);
        steps.extend(writes(provision, discovered)?);
        steps.push(Step::Finish);
        Ok(Self { steps })
    }

    /// The whole plan as people look at it beforehand: with the question, and as for a Client that
    /// has `links` and its Bootstrap-Server Account at 0.
    ///
    /// # Errors
    /// [`PlanError`]: on such a Client it cannot be done.
    pub fn preview(
        provision: &Provision,
        links: impl IntoIterator<Item = Path>,
    ) -> Result<Self, PlanError> {
        let account = DiscoveredLink::new(Path::instance(SECURITY, ObjectInstanceId(0)));
        let mut assumed = Discovered::default();
        assumed.links.push(account);
        let links = links.into_iter();
        assumed.links.extend(
            links
                .filter(|path| path.object_id() != Some(SECURITY))
                .map(DiscoveredLink::new),
        );
        let mut plan = Self::new(provision, Some(&assumed))?;
        if provision.discover {
            plan.steps.insert(0, Step::Discover);
        }
        Ok(plan)
    }
}

// Deletes.

fn deletes(provision: &Provision, discovered: Option<&Discovered>) -> Vec<Step> {
    let (paths, optional) = match &provision.removal {
        Removal::Nothing => return Vec::new(),
        Removal::Paths(paths) => (paths.clone(), false),
        Removal::Everything => (vec![Path::ROOT], true),
        Removal::Accounts => {
            let mut objects = vec![0, 1];
            let rights = ObjectId(2);
            let has_rights = match discovered {
                Some(discovered) => discovered
                    .links
                    .iter()
                    .any(|link| link.path.object_id() == Some(rights)),
                None => provision.drafts.iter().any(|draft| draft.object == rights),
            };
            objects.extend(has_rights.then_some(2));
            let paths = objects.into_iter().map(|id| Path::object(ObjectId(id)));
            (paths.collect(), true)
        }
    };
    paths
        .into_iter()
        .map(|path| Step::Delete {
            path,
            instead: discovered.map_or_else(Vec::new, |discovered| below(path, discovered)),
            optional,
        })
        .collect()
}

/// The instances below `path` that may be removed one by one: neither the Device nor what may be
/// the Bootstrap-Server Account.
fn below(path: Path, discovered: &Discovered) -> Vec<Path> {
    if path.instance_id().is_some() {
        return Vec::new();
    }
    let instances = discovered.links.iter().filter(|link| {
        let kept = match link.path.ids() {
            [0, _] => link.short_server_id.is_none(),
            [3, _] => true,
            ids => ids.len() != 2,
        };
        !kept && path.contains(&link.path)
    });
    instances.map(|link| link.path).collect()
}

// Writes.

fn writes(provision: &Provision, discovered: Option<&Discovered>) -> Result<Vec<Step>, PlanError> {
    let mut numbers = Numbers::new(provision, discovered);
    let drafts = &provision.drafts;
    let mut placed = Vec::with_capacity(drafts.len());
    // Numbers that leave no choice come first, so that no free one is theirs.
    let mut order: Vec<usize> = (0..drafts.len()).collect();
    order.sort_by_key(|index| freedom(drafts[*index].placement));
    for index in order {
        placed.push((index, numbers.place(&drafts[index])?));
    }
    placed.sort_by_key(|(index, _)| (rank(drafts[*index].object), *index));
    let server_numbers: Vec<_> = placed
        .iter()
        .filter_map(|(index, number)| Some((server_of(&drafts[*index])?, *number)))
        .collect();
    let steps = placed.into_iter().map(|(index, number)| {
        let draft = &drafts[index];
        let (mut instance, _) = Instance::gather(number, draft.resources.clone());
        if let Some(server) = draft.about_server {
            let found = server_numbers.iter().find(|(id, _)| *id == server);
            // One that is not written here is the Client's own business: it keeps what it has.
            let about = found.map_or(0, |(_, number)| number.0);
            instance.insert(Resource::single(1, Value::Integer(about.into())));
        }
        Step::Write {
            path: Path::instance(draft.object, number),
            instance,
        }
    });
    Ok(steps.collect())
}

/// The Server that an instance of Object 1 is for.
fn server_of(draft: &Draft) -> Option<ShortServerId> {
    if draft.object != ObjectId(1) {
        return None;
    }
    let mut resources = draft.resources.iter();
    let resource = resources.find(|resource| resource.id == ResourceId(0))?;
    match &resource.value {
        ResourceValue::Single(Value::Integer(id)) => ShortServerId::new(u16::try_from(*id).ok()?),
        _ => None,
    }
}

const fn freedom(placement: Placement) -> u8 {
    match placement {
        Placement::Fixed(_) => 0,
        Placement::OfBootstrapServer => 1,
        Placement::OfServer(_) => 2,
        Placement::Free => 3,
    }
}

/// Security, its contexts (Object 21), Servers, rights, the rest.
const fn rank(object: ObjectId) -> u32 {
    match object.0 {
        0 => 0,
        21 => 1,
        1 => 2,
        2 => 3,
        other => 4 + other as u32,
    }
}

/// Which numbers are free.
struct Numbers<'a> {
    discovered: Option<&'a Discovered>,
    removal: &'a Removal,
    taken: BTreeSet<(ObjectId, ObjectInstanceId)>,
}

impl<'a> Numbers<'a> {
    fn new(provision: &'a Provision, discovered: Option<&'a Discovered>) -> Self {
        Self {
            discovered,
            removal: &provision.removal,
            taken: BTreeSet::new(),
        }
    }

    fn place(&mut self, draft: &Draft) -> Result<ObjectInstanceId, PlanError> {
        let object = draft.object;
        let number = match draft.placement {
            Placement::Fixed(number) => {
                let account = self.bootstrap_account();
                if object == SECURITY && account == Some(number) && !is_bootstrap(draft) {
                    let path = Path::instance(object, number);
                    return Err(PlanError::BootstrapAccountThere(path));
                }
                number
            }
            Placement::OfBootstrapServer => self
                .bootstrap_account()
                .ok_or(PlanError::BootstrapAccountUnknown)?,
            Placement::OfServer(server) => self
                .of_server(object, server)
                .filter(|number| !self.taken.contains(&(object, *number)))
                .map_or_else(|| self.free(object), Ok)?,
            Placement::Free => self.free(object)?,
        };
        self.taken.insert((object, number));
        Ok(number)
    }

    /// The one Security instance without a Server; if there are several, it cannot be told.
    fn bootstrap_account(&self) -> Option<ObjectInstanceId> {
        let mut without = self.instances(SECURITY);
        let account = without.find(|link| link.short_server_id.is_none())?;
        let another = without.any(|link| link.short_server_id.is_none());
        account.path.instance_id().filter(|_| !another)
    }

    fn of_server(&self, object: ObjectId, server: ShortServerId) -> Option<ObjectInstanceId> {
        let mut instances = self.instances(object);
        let found = instances.find(|link| link.short_server_id == Some(server))?;
        found.path.instance_id()
    }

    fn instances(&self, object: ObjectId) -> impl Iterator<Item = &'a DiscoveredLink> {
        let links = self
            .discovered
            .map_or(&[][..], |discovered| &discovered.links);
        links
            .iter()
            .filter(move |link| link.path.object_id() == Some(object) && link.path.ids().len() == 2)
    }

    fn free(&self, object: ObjectId) -> Result<ObjectInstanceId, PlanError> {
        let first = match (object, self.discovered) {
            (SECURITY, None) => BEYOND_BOOTSTRAP_ACCOUNTS,
            _ => 0,
        };
        // A Security instance that is there may be the Bootstrap-Server Account, whatever the
        // Client says of it: it is passed by even when it should have been removed.
        let gone = object != SECURITY && self.is_removed(object);
        let there: BTreeSet<_> = self
            .instances(object)
            .filter(|_| !gone)
            .filter_map(|link| link.path.instance_id())
            .collect();
        (first..MAX_ID)
            .map(ObjectInstanceId)
            .find(|number| !there.contains(number) && !self.taken.contains(&(object, *number)))
            .ok_or(PlanError::Full(object))
    }

    fn is_removed(&self, object: ObjectId) -> bool {
        match self.removal {
            Removal::Nothing => false,
            Removal::Accounts => object.0 <= 2,
            Removal::Everything => true,
            Removal::Paths(paths) => paths
                .iter()
                .any(|path| path.instance_id().is_none() && path.contains(&Path::object(object))),
        }
    }
}

/// Whether a Security instance is a Bootstrap-Server Account.
fn is_bootstrap(draft: &Draft) -> bool {
    let mut resources = draft.resources.iter();
    resources.any(|resource| {
        resource.id == ResourceId(1) && resource.value() == Some(&Value::Boolean(true))
    })
}

#[cfg(test)]
mod tests {
    use super::super::profile::{
        AccessControl, AccessTarget, BootstrapAccount, InstanceData, Keys, Profile, ServerAccount,
    };
    use super::super::provision::tests::{Counting, ssid, with_keys};
    use super::*;
    use dunlin_lwm2m::{EndpointName, Registry};
    use proptest::prelude::*;

    fn provision(profile: &Profile) -> Provision {
        let mut keys = Counting::default();
        let name = EndpointName::new("lamp").unwrap();
        profile
            .provision(&name, &Registry::bundled(), &mut keys)
            .unwrap()
    }

    /// Two Servers, rights for the first, and the time zone.
    fn profile() -> Profile {
        let mut profile = with_keys(Keys::PreSharedKey {
            identity: None,
            key: None,
        });
        let other = ServerAccount::new(ssid(102), "coap://b", Keys::NoSec);
        profile.servers.push(other);
        profile.access.push(AccessControl {
            target: AccessTarget::Server(ssid(102)),
            owner: Some(ssid(102)),
            rights: vec![],
            instance: None,
        });
        profile.instances.push(InstanceData {
            object: ObjectId(3),
            instance: None,
            resources: vec![Resource::single(15, Value::String("UTC".into()))],
        });
        profile
    }

    fn steps(profile: &Profile, discovered: Option<&str>) -> Result<Vec<String>, PlanError> {
        let discovered = discovered.map(|text| Discovered::parse(text.as_bytes(), "").unwrap());
        let plan = Plan::new(&provision(profile), discovered.as_ref())?;
        Ok(plan.steps.iter().map(|step| format!("{step:?}")).collect())
    }

    #[test]
    fn ts_5_2_7_a_fresh_client_is_written_around_its_bootstrap_account() {
        assert_eq!(
            steps(&profile(), Some("lwm2m=\"1.0\",</0/0>,</1>,</3/0>,</5>")).unwrap(),
            [
                "delete /0",
                "delete /1",
                "write /0/1",
                "write /0/2",
                "write /1/0",
                "write /1/1",
                "write /2/0",
                "write /3/0",
                "finish /"
            ]
        );
    }

    #[test]
    fn what_a_server_has_keeps_its_number() {
        let text = "</>;lwm2m=1.0,</0/0>;ssid=102,</0/1>,</0/7>;ssid=9,</1/4>;ssid=102,</1/5>;ssid=9,</2/0>";
        assert_eq!(
            steps(&profile(), Some(text)).unwrap(),
            [
                "delete /0",
                "delete /1",
                "delete /2",
                "write /0/2",
                "write /0/0",
                "write /1/0",
                "write /1/4",
                "write /2/0",
                "write /3/0",
                "finish /"
            ]
        );
        // Nothing is removed: what is there is passed by.
        let mut adding = profile();
        adding.removal = Removal::Nothing;
        assert_eq!(
            steps(&adding, Some(text)).unwrap(),
            [
                "write /0/2",
                "write /0/0",
                "write /1/0",
                "write /1/4",
                "write /2/1",
                "write /3/0",
                "finish /"
            ]
        );
    }

    #[test]
    fn a_client_that_does_not_tell_is_written_beyond_the_usual_numbers() {
        assert_eq!(
            steps(&profile(), None).unwrap(),
            [
                "delete /0",
                "delete /1",
                "delete /2",
                "write /0/10",
                "write /0/11",
                "write /1/0",
                "write /1/1",
                "write /2/0",
                "write /3/0",
                "finish /"
            ]
        );
    }

    #[test]
    fn a_client_that_refuses_is_asked_instance_by_instance() {
        let text = "</0/0>;ssid=1,</0/1>,</1/0>;ssid=1,</3/0>,</5/0>,</9>";
        let discovered = Discovered::parse(text.as_bytes(), "").unwrap();
        let mut everything = profile();
        everything.removal = Removal::Everything;
        let plan = Plan::new(&provision(&everything), Some(&discovered)).unwrap();
        let Step::Delete { path, instead, .. } = &plan.steps[0] else {
            panic!("{plan:?}")
        };
        assert_eq!(*path, Path::ROOT);
        let instead: Vec<_> = instead.iter().map(Path::to_string).collect();
        assert_eq!(instead, ["/0/0", "/1/0", "/5/0"]);
    }

    #[test]
    fn ts_5_2_2_the_bootstrap_account_is_replaced_in_its_place_alone() {
        let mut replacing = profile();
        replacing.bootstrap_server = Some(BootstrapAccount {
            uri: "coap://bs".into(),
            keys: Keys::NoSec,
            hold_off_s: Some(5),
            account_timeout_s: None,
            instance: None,
        });
        let written = steps(&replacing, Some("</0/3>,</0/0>;ssid=7")).unwrap();
        assert_eq!(written[2..5], ["write /0/1", "write /0/2", "write /0/3"]);
        for told in [None, Some("</0/0>,</0/1>"), Some("</0/0>;ssid=1")] {
            assert_eq!(
                steps(&replacing, told),
                Err(PlanError::BootstrapAccountUnknown)
            );
        }
        let mut colliding = profile();
        colliding.servers[0].security_instance = Some(ObjectInstanceId(3));
        assert!(matches!(
            steps(&colliding, Some("</0/3>")),
            Err(PlanError::BootstrapAccountThere(_))
        ));
        assert!(steps(&colliding, Some("</0/3>;ssid=4")).is_ok());
    }

    #[test]
    fn rights_name_the_number_their_server_got() {
        let text = "</0/0>,</1/6>;ssid=102";
        let discovered = Discovered::parse(text.as_bytes(), "").unwrap();
        let plan = Plan::new(&provision(&profile()), Some(&discovered)).unwrap();
        let rights = plan.steps.iter().find_map(|step| match step {
            Step::Write { path, instance } if path.ids()[0] == 2 => Some(instance),
            _ => None,
        });
        let about = rights.unwrap().value(1u16).unwrap();
        assert_eq!(*about, Value::Integer(6));
    }

    #[test]
    fn keys_are_not_shown() {
        let plan = Plan::preview(&provision(&profile()), []).unwrap();
        assert_eq!(plan.steps[0], Step::Discover);
        let values = plan.steps[3].values();
        let key: Path = "/0/1/5".parse().unwrap();
        let shown = values.iter().find(|(path, _)| *path == key).unwrap();
        assert_eq!(shown.1, Shown::Secret { bytes: 16 });
        assert!(!format!("{plan:?}").contains("2, 2"));
        assert!(values.iter().any(
            |(_, shown)| *shown == Shown::Value(Value::String("coaps://server.example".into()))
        ));
    }

    #[test]
    fn every_step_has_its_request() {
        let plan = Plan::preview(&provision(&profile()), []).unwrap();
        for format in [ContentFormat::TLV, ContentFormat::JSON] {
            for step in &plan.steps {
                let operation = step.operation(format).unwrap();
                assert_eq!(operation.path(), step.path());
            }
        }
    }

    proptest! {
        /// Whatever a Client says: no two writes to one place, none to what may be its
        /// Bootstrap-Server Account, and Finish is last.
        #[test]
        fn hostile_discoveries_make_no_collision(
            text in "(lwm2m=1.0,)?(</[0-3]/[0-9]{1,2}>(;ssid=[0-9]{1,3})?,){0,40}",
        ) {
            let discovered = Discovered::parse(text.as_bytes(), "").unwrap();
            let Ok(plan) = Plan::new(&provision(&profile()), Some(&discovered)) else {
                return Ok(());
            };
            let mut seen = BTreeSet::new();
            for step in &plan.steps {
                if let Step::Write { path, .. } = step {
                    prop_assert!(seen.insert(*path), "{path} twice");
                    let mut there = discovered.links.iter().filter(|link| link.path == *path);
                    if path.ids()[0] == 0 {
                        prop_assert!(!there.any(|link| link.short_server_id.is_none())
                            || discovered.links.iter().any(|link| link.path == *path && link.short_server_id.is_some()));
                    }
                }
            }
            prop_assert_eq!(plan.steps.last(), Some(&Step::Finish));
        }
    }
}
