//! A [`Backend`] over a table in memory, for the tests of the API and of whatever talks to it.
//!
//! It answers from what a test has put into [`State`], notes what it was asked, and has no behaviour of its own beyond
//! reading back values and keeping tokens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use dunlin_lwm2m::link::Discovered;
use dunlin_lwm2m::operation::ResponseCode;
use dunlin_lwm2m::{
    EndpointName, Instance, Node, ObjectInstanceId, ObjectVersion, Path, Registry, Resource,
    ResourceInstanceId, Value,
};

use dunlin_server::BootstrapRunId;
use dunlin_server::bootstrap::{
    BootstrapRun, KeyPair, KeySource, PairKind, Plan, Profile, ProfileName,
};

use crate::address::ClientAddress;
use crate::auth::{TokenRecord, Tokens};
use crate::backend::{
    Answer, Backend, ClientPage, ClientQuery, Command, Completion, CompletionAnswer,
    CredentialPage, DefinitionFile, Observation, OperateSettings, Outcome, ProfilePut,
    ProfileRefused, Reading, Replay, Request, RequestId, RequestState,
};
use crate::credential::{self, Credential, CredentialId, Key, ServerIdentity};
use crate::error::{Code, Problem};
use crate::event::{Event, Feed, Live, News, Position};
use crate::time::Timestamp;
use crate::view::{Client, Deviation, ObjectInstancesView, Presence, Security};

/// What the fake knows and has noted. Every field may be changed at any time.
#[derive(Default)]
pub struct State {
    /// Registered Clients by name.
    pub clients: BTreeMap<String, Client>,
    /// Values by Client and path, for Read, Observe and the cache.
    pub values: BTreeMap<(String, Path), Node>,
    /// Outcomes to give before any other, in order.
    pub script: VecDeque<Result<Outcome, Problem>>,
    /// What was asked of Clients.
    pub commands: Vec<(String, Command, OperateSettings)>,
    /// What is observed.
    pub observations: BTreeMap<String, Vec<Observation>>,
    /// Requests by id.
    pub requests: BTreeMap<String, Request>,
    /// How often one request was asked for.
    pub requests_shown: usize,
    /// The committed events.
    pub log: Vec<Arc<Event>>,
    /// Events up to this position are not kept any more.
    pub dropped: Option<Position>,
    /// The object definitions.
    pub registry: Registry,
    /// The tokens.
    pub tokens: Vec<TokenRecord>,
    /// Credentials with their keys, by endpoint name.
    pub credentials: BTreeMap<EndpointName, Vec<(Credential, Option<Key>)>>,
    /// Bootstrap profiles by name.
    pub profiles: BTreeMap<ProfileName, Arc<Profile>>,
    /// Bootstrap runs, the newest first.
    pub runs: Vec<BootstrapRun>,
    /// Why it is not ready.
    pub unready: Option<String>,
}

/// The fake.
pub struct Fake {
    state: Mutex<State>,
    feed: Feed,
}

/// The moment at which the fake always is: 2026-11-24T15:00:00Z.
pub const NOW: Timestamp = Timestamp(1_795_532_400_000);

impl Default for Fake {
    fn default() -> Fake {
        Fake::new()
    }
}

impl Fake {
    /// Two Clients, `lamp` awake and `meter` asleep, with a few values, and the bundled definitions.
    pub fn new() -> Fake {
        let mut state = State {
            registry: Registry::bundled(),
            ..State::default()
        };
        state
            .clients
            .insert("lamp".into(), client("lamp", "U", Presence::Awake));
        state
            .clients
            .insert("meter".into(), client("meter", "UQ", Presence::Asleep));
        let device = Instance::new(0)
            .with(Resource::single(0, Value::String("ACME".into())))
            .with(Resource::multiple(
                6,
                [(0, 1), (1, 5)].map(|(id, value)| (ResourceInstanceId(id), Value::Integer(value))),
            ))
            .with(Resource::single(9, Value::Integer(100)))
            .with(Resource::single(13, Value::Time(1_367_491_215)));
        for resource in device.resources() {
            let path = Path::from_ids(&[3, 0, resource.id.0]).expect("three ids");
            state
                .values
                .insert(("lamp".into(), path), Node::Resource(resource.clone()));
        }
        let object = dunlin_lwm2m::Object::new(3).with(device.clone());
        let put = |ids: &[u16]| {
            (
                "lamp".to_string(),
                Path::from_ids(ids).expect("at most four ids"),
            )
        };
        state.values.insert(put(&[3, 0]), Node::Instance(device));
        state.values.insert(put(&[3]), Node::Object(object));
        Fake {
            state: Mutex::new(state),
            feed: Feed::new(),
        }
    }

    /// The state, to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test panics while it holds the state")
    }

    /// Commits an event and tells it.
    pub fn commit(&self, endpoint: &str, news: News) -> Position {
        let mut state = self.state();
        let position = Position {
            commit: state.log.len() as u64 + 1,
            index: 0,
        };
        let event = Arc::new(Event {
            position: Some(position),
            at: NOW,
            endpoint: EndpointName::new(endpoint).ok(),
            news,
        });
        state.log.push(event.clone());
        drop(state);
        self.feed.publish(event);
        position
    }

    /// Tells an event that is not stored.
    pub fn tell(&self, endpoint: &str, news: News) {
        let endpoint = EndpointName::new(endpoint).ok();
        self.feed.publish(Arc::new(Event {
            position: None,
            at: NOW,
            endpoint,
            news,
        }));
    }

    /// The commands so far; the list begins anew.
    pub fn take_commands(&self) -> Vec<(String, Command, OperateSettings)> {
        std::mem::take(&mut self.state().commands)
    }

    fn known(&self, endpoint: &EndpointName) -> Result<Client, Problem> {
        let name = endpoint.as_str();
        let client = self.state().clients.get(name).cloned();
        let client = client.ok_or_else(|| Problem::client_unknown(name))?;
        match client.expired_at {
            Some(at) => Err(Problem::client_expired(name, at)),
            None => Ok(client),
        }
    }
}

/// A Client as a test may want it.
pub fn client(endpoint: &str, binding: &str, presence: Presence) -> Client {
    let objects = [(1, 0), (3, 0)].map(|(object, instance)| {
        (
            object,
            ObjectInstancesView {
                version: "1.0".into(),
                instances: vec![instance],
            },
        )
    });
    Client {
        endpoint: endpoint.into(),
        registration_id: Some("0000000000000000000000000A".into()),
        registered_at: Timestamp(NOW.0 - 60_000),
        updated_at: Timestamp(NOW.0 - 30_000),
        expires_at: Timestamp(NOW.0 + 86_370_000),
        expired_at: None,
        last_contact_at: Timestamp(NOW.0 - 5_000),
        next_contact_at: None,
        lifetime_s: 86_400,
        version: "1.0".into(),
        binding: binding.into(),
        queue: binding.contains('Q'),
        sms_number: None,
        address: "127.0.0.1:41022".into(),
        bearer: "udp".into(),
        security: Security::Nosec,
        identity: None,
        root: "/".into(),
        objects: objects.into_iter().collect(),
        presence,
        over_budget: None,
        deviations: vec![Deviation {
            code: "lifetime_missing".into(),
            sentence: "The Client registered without a lifetime.".into(),
        }],
        attributes: BTreeMap::new(),
    }
}

/// A request as a test may want it.
pub fn request(id: &str, endpoint: &str, operation: &'static str, path: Path) -> Request {
    Request {
        id: RequestId(id.into()),
        endpoint: EndpointName::new(endpoint).expect("tests use good names"),
        operation,
        path,
        state: RequestState::Queued,
        created_at: NOW,
        expires_at: Timestamp(NOW.0 + 60_000),
        ended_at: None,
        outcome: None,
    }
}

/// A good answer without anything.
pub fn done(code: ResponseCode) -> Completion {
    Completion {
        code,
        at: NOW,
        answer: CompletionAnswer::Done,
    }
}

fn ready<'a, T: Send + 'a>(result: Result<T, Problem>) -> Answer<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Backend for Fake {
    fn clients(&self, query: ClientQuery) -> Answer<'_, ClientPage> {
        let state = self.state();
        if query
            .cursor
            .as_deref()
            .is_some_and(|cursor| !state.clients.contains_key(cursor))
        {
            return ready(Err(Problem::new(
                Code::CursorInvalid,
                "No Client has this name.",
            )));
        }
        let fits = |client: &&Client| {
            let registered = client.expired_at.is_none() == query.registered;
            let q = query.q.as_deref().unwrap_or("").to_ascii_lowercase();
            registered && client.endpoint.to_ascii_lowercase().contains(&q)
        };
        let after = |client: &&Client| query.cursor.as_ref().is_none_or(|at| client.endpoint > *at);
        let total = state.clients.values().filter(fits).count() as u64;
        let mut clients: Vec<Client> = state
            .clients
            .values()
            .filter(fits)
            .filter(after)
            .take(query.limit + 1)
            .cloned()
            .collect();
        let more = clients.len() > query.limit;
        clients.truncate(query.limit);
        let next = clients
            .last()
            .filter(|_| more)
            .map(|client| client.endpoint.clone());
        ready(Ok(ClientPage {
            clients,
            next,
            total: Some(total),
        }))
    }

    fn client<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Client> {
        ready(self.known(endpoint))
    }

    fn forget<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, ()> {
        let known = self.known(endpoint);
        self.state().clients.remove(endpoint.as_str());
        ready(known.map(|_| ()))
    }

    fn operate<'a>(
        &'a self,
        endpoint: &'a EndpointName,
        command: Command,
        settings: OperateSettings,
    ) -> Answer<'a, Outcome> {
        let client = match self.known(endpoint) {
            Ok(client) => client,
            Err(problem) => return ready(Err(problem)),
        };
        let name = endpoint.as_str().to_string();
        let mut state = self.state();
        state
            .commands
            .push((name.clone(), command.clone(), settings));
        if let Some(outcome) = state.script.pop_front() {
            return ready(outcome);
        }
        let path = command.path();
        if client.presence == Presence::Asleep || !settings.wait {
            let id = format!("r{}", state.requests.len() + 1);
            let request = request(&id, &name, command.name(), path);
            state.requests.insert(id, request.clone());
            return ready(Ok(Outcome::Accepted(request)));
        }
        let (code, answer) = match command {
            Command::Read { .. } | Command::Observe { .. } => match state.values.get(&(name, path))
            {
                Some(node) => (
                    ResponseCode::Content,
                    CompletionAnswer::Values(reading(path, node)),
                ),
                None => {
                    let detail = format!("{path} does not exist.");
                    let code = ResponseCode::NotFound.into();
                    return ready(Err(
                        Problem::answered(code, detail).expect("4.04 is an error")
                    ));
                }
            },
            Command::Discover { .. } => {
                let text = format!("<{path}>;pmin=10,<{path}/1>;dim=2");
                let found = Discovered::parse(text.as_bytes(), "").expect("two links");
                (ResponseCode::Content, CompletionAnswer::Links(found))
            }
            Command::Create {
                object, instance, ..
            } => {
                let path = Path::instance(object, instance.unwrap_or(ObjectInstanceId(7)));
                (ResponseCode::Created, CompletionAnswer::Created(path))
            }
            Command::Delete { .. } => (ResponseCode::Deleted, CompletionAnswer::Done),
            Command::Write { .. }
            | Command::WriteAttributes { .. }
            | Command::Execute { .. }
            | Command::Cancel { .. } => (ResponseCode::Changed, CompletionAnswer::Done),
        };
        ready(Ok(Outcome::Completed(Completion {
            code,
            at: NOW,
            answer,
        })))
    }

    fn cached<'a>(&'a self, endpoint: &'a EndpointName, path: Path) -> Answer<'a, Reading> {
        let known = self.known(endpoint);
        ready(known.and_then(|client| {
            let state = self.state();
            let node = state.values.get(&(client.endpoint, path));
            node.map(|node| Reading {
                at: Timestamp(NOW.0 - 1500),
                ..reading(path, node)
            })
            .ok_or_else(|| Problem::new(Code::ValueUnknown, format!("{path} was never read.")))
        }))
    }

    fn observations<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Vec<Observation>> {
        let known = self.known(endpoint);
        let observations = self.state().observations.get(endpoint.as_str()).cloned();
        ready(known.map(|_| observations.unwrap_or_default()))
    }

    fn requests<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Vec<Request>> {
        let known = self.known(endpoint);
        let state = self.state();
        let requests = state
            .requests
            .values()
            .filter(|request| request.endpoint == *endpoint);
        ready(known.map(|_| requests.cloned().collect()))
    }

    fn all_requests(&self, limit: usize) -> Answer<'_, Vec<Request>> {
        ready(Ok(self
            .state()
            .requests
            .values()
            .take(limit)
            .cloned()
            .collect()))
    }

    fn request<'a>(&'a self, id: &'a RequestId) -> Answer<'a, Request> {
        let mut state = self.state();
        state.requests_shown += 1;
        let found = state.requests.get(&id.0).cloned();
        ready(found.ok_or_else(|| unknown_request(id)))
    }

    fn cancel_request<'a>(&'a self, id: &'a RequestId) -> Answer<'a, Request> {
        let mut state = self.state();
        let Some(request) = state.requests.get_mut(&id.0) else {
            return ready(Err(unknown_request(id)));
        };
        if request.ended_at.is_some() {
            return ready(Err(Problem::new(Code::RequestEnded, "It has ended.")));
        }
        request.state = RequestState::Cancelled;
        request.ended_at = Some(NOW);
        ready(Ok(request.clone()))
    }

    fn replay(&self, after: Position, limit: usize) -> Answer<'_, Replay> {
        let state = self.state();
        let dropped = state.dropped.unwrap_or(Position::START);
        let gap = after < dropped;
        let from = after.max(dropped);
        let mut events = state.log.iter().filter(|event| event.position > Some(from));
        let page: Vec<_> = events.by_ref().take(limit).cloned().collect();
        let last = page.last().and_then(|event| event.position);
        ready(Ok(Replay {
            gap,
            next: last.unwrap_or(from),
            end: events.next().is_none(),
            events: page,
        }))
    }

    fn head(&self) -> Position {
        self.state()
            .log
            .last()
            .and_then(|event| event.position)
            .unwrap_or(Position::START)
    }

    fn live(&self) -> Result<Live, Problem> {
        Ok(self.feed.subscribe())
    }

    fn definitions(&self) -> Arc<Registry> {
        Arc::new(self.state().registry.clone())
    }

    fn add_definitions(&self, files: Vec<DefinitionFile>) -> Answer<'_, ()> {
        let mut state = self.state();
        for file in files {
            if file.object.is_of_enabler() {
                let detail = format!("The Object {} comes with dunlin.", file.object);
                return ready(Err(Problem::new(Code::DefinitionProtected, detail)));
            }
            let read = dunlin_lwm2m::definition::parse_ddf(file.xml.as_bytes());
            for definition in read.expect("the API has read it before") {
                state.registry.insert(definition);
            }
        }
        ready(Ok(()))
    }

    fn tokens(&self) -> Arc<Tokens> {
        Arc::new(Tokens::new(self.state().tokens.clone()))
    }

    fn add_token(&self, token: TokenRecord) -> Answer<'_, ()> {
        self.state().tokens.push(token);
        ready(Ok(()))
    }

    fn remove_token<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        let tokens = &mut self.state().tokens;
        let before = tokens.len();
        tokens.retain(|token| token.name != name);
        let removed = tokens.len() < before;
        let unknown = || Problem::new(Code::TokenNameUnknown, format!("No token \"{name}\"."));
        ready(if removed { Ok(()) } else { Err(unknown()) })
    }

    fn credentials(&self, query: credential::Query) -> Answer<'_, CredentialPage> {
        let state = self.state();
        let after =
            |name: &&EndpointName| query.after.as_deref().is_none_or(|at| name.as_str() > at);
        let mut endpoints: Vec<_> = state
            .credentials
            .iter()
            .filter(|(name, _)| after(name))
            .map(|(name, kept)| {
                let shown = kept.iter().map(|(one, _)| one.clone());
                (
                    name.clone(),
                    shown
                        .filter(|one| query.fits(name.as_str(), one))
                        .collect::<Vec<_>>(),
                )
            })
            .filter(|(_, shown)| !shown.is_empty())
            .take(query.limit + 1)
            .collect();
        let more = endpoints.len() > query.limit;
        endpoints.truncate(query.limit);
        let total = state
            .credentials
            .values()
            .map(|kept| kept.len() as u64)
            .sum();
        ready(Ok(CredentialPage {
            endpoints,
            more,
            total,
        }))
    }

    fn credentials_of<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Vec<Credential>> {
        let state = self.state();
        let kept = state.credentials.get(endpoint).into_iter().flatten();
        ready(Ok(kept.map(|(one, _)| one.clone()).collect()))
    }

    fn change_credentials(
        &self,
        changes: Vec<(EndpointName, credential::Change)>,
        dry_run: bool,
    ) -> Answer<'_, Result<credential::Counts, credential::Refused>> {
        let mut state = self.state();
        let mut after = state.credentials.clone();
        let mut counts = credential::Counts::default();
        for (change, (endpoint, asked)) in changes.into_iter().enumerate() {
            let mut kept = after.remove(&endpoint).unwrap_or_default();
            let before = kept.len();
            let added = match asked {
                credential::Change::Remove(id) => {
                    kept.retain(|(one, _)| one.id != id);
                    Vec::new()
                }
                credential::Change::Replace(added) => {
                    kept.clear();
                    added
                }
                credential::Change::Add(added) => added,
            };
            counts.removed += before - kept.len();
            for (credential, new) in added.into_iter().enumerate() {
                let owner = after
                    .iter()
                    .find(|(_, kept)| kept.iter().any(|(one, _)| one.proof.is_same(&new.proof)));
                if let Some((owner, _)) = owner {
                    return ready(Ok(Err(credential::Refused {
                        change,
                        credential,
                        reason: format!("{} belongs to \"{owner}\" already", new.proof),
                        taken: true,
                    })));
                }
                let same = kept
                    .iter()
                    .any(|(one, key)| one.proof.is_same(&new.proof) && *key == new.key);
                if same {
                    counts.unchanged += 1;
                    continue;
                }
                counts.added += 1;
                let one = Credential {
                    id: CredentialId(kept.len() as u32 + 1),
                    proof: new.proof,
                    doors: new.doors,
                    added_at: NOW,
                };
                kept.push((one, new.key));
            }
            if !kept.is_empty() {
                after.insert(endpoint, kept);
            }
        }
        if !dry_run {
            state.credentials = after;
        }
        ready(Ok(Ok(counts)))
    }

    fn server_identity(&self) -> Answer<'_, ServerIdentity> {
        ready(Ok(ServerIdentity {
            public_key: vec![0x30; 91],
            chain: vec![vec![0x31; 300]],
        }))
    }

    fn profiles(&self) -> Result<Vec<Arc<Profile>>, Problem> {
        Ok(self.state().profiles.values().cloned().collect())
    }

    fn put_profile(
        &self,
        profile: Profile,
        dry_run: bool,
    ) -> Answer<'_, Result<ProfilePut, ProfileRefused>> {
        let mut state = self.state();
        let findings = profile.check(&state.registry);
        if !findings.faults.is_empty() {
            return ready(Ok(Err(ProfileRefused::Faults(findings.faults))));
        }
        let same =
            |one: &&Arc<Profile>| one.name != profile.name && one.selector == profile.selector;
        if let Some(other) = state.profiles.values().find(same) {
            let by = other.name.clone();
            return ready(Ok(Err(ProfileRefused::Taken { by })));
        }
        let put = ProfilePut {
            replaced: state.profiles.contains_key(&profile.name),
            advice: findings.advice,
        };
        if !dry_run {
            state
                .profiles
                .insert(profile.name.clone(), Arc::new(profile));
        }
        ready(Ok(Ok(put)))
    }

    fn remove_profile(&self, name: ProfileName) -> Answer<'_, bool> {
        ready(Ok(self.state().profiles.remove(&name).is_some()))
    }

    fn bootstrap_plan<'a>(
        &'a self,
        endpoint: &'a EndpointName,
        by: Option<ProfileName>,
    ) -> Answer<'a, (ProfileName, Plan)> {
        let state = self.state();
        let profiles = state.profiles.values().map(AsRef::as_ref);
        let found = match by {
            Some(name) => state.profiles.get(&name).map(AsRef::as_ref),
            None => dunlin_server::bootstrap::choose(profiles, endpoint),
        };
        let Some(profile) = found else {
            let detail = format!("No bootstrap profile is for \"{endpoint}\".");
            return ready(Err(Problem::new(Code::ProfileUnknown, detail)));
        };
        let plan = profile
            .provision(endpoint, &state.registry, &mut NoKeys)
            .map_err(|error| error.to_string())
            .and_then(|provision| Plan::preview(&provision, []).map_err(|error| error.to_string()));
        let unusable = |reason: String| Problem::new(Code::ProfileUnusable, format!("{reason}."));
        ready(
            plan.map(|plan| (profile.name.clone(), plan))
                .map_err(unusable),
        )
    }

    fn bootstrap_runs(
        &self,
        endpoint: Option<EndpointName>,
        limit: usize,
    ) -> Answer<'_, Vec<BootstrapRun>> {
        let state = self.state();
        let runs = state.runs.iter();
        let own = runs.filter(|run| endpoint.as_ref().is_none_or(|name| run.endpoint == *name));
        ready(Ok(own.take(limit).cloned().collect()))
    }

    fn begin_bootstrap<'a>(
        &'a self,
        endpoint: &'a EndpointName,
        at: Option<ClientAddress>,
    ) -> Answer<'a, BootstrapRunId> {
        // Where it listens is said of those that are not known.
        let known = self.known(endpoint).map(|_| ());
        let found = if at.is_some() { Ok(()) } else { known };
        ready(found.map(|()| BootstrapRunId::from_bits(7)))
    }

    fn ready(&self) -> Result<(), String> {
        self.state().unready.clone().map_or(Ok(()), Err)
    }

    fn metrics(&self) -> String {
        format!("dunlin_clients {}\n# EOF\n", self.state().clients.len())
    }

    fn now(&self) -> Timestamp {
        NOW
    }
}

/// Keys for a plan that nobody carries out.
struct NoKeys;

impl KeySource for NoKeys {
    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn key_pair(&mut self, _: PairKind, _: &EndpointName) -> Option<KeyPair> {
        None
    }

    fn server_public(&self, _: PairKind) -> Option<Vec<u8>> {
        None
    }
}

fn reading(path: Path, node: &Node) -> Reading {
    Reading {
        path,
        at: NOW,
        version: ObjectVersion::V1_0,
        node: node.clone(),
    }
}

fn unknown_request(id: &RequestId) -> Problem {
    Problem::new(
        Code::RequestUnknown,
        format!("There is no request \"{}\".", id.0),
    )
}
