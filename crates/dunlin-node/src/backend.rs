//! What the API asks, answered by shards, store and what is known.

mod bootstrapping;
mod folder;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use dunlin_api::auth::{TokenRecord, Tokens};
use dunlin_api::backend::{
    Answer, Backend, ClientPage, ClientQuery, Command as ApiCommand, CredentialPage,
    DefinitionFile, Observation, OperateSettings, Outcome as ApiOutcome, ProfilePut,
    ProfileRefused, Reading, Replay, Request, RequestId as ApiRequestId,
};
use dunlin_api::credential::{self, Credential};
use dunlin_api::error::{Code, Problem};
use dunlin_api::event::{Live, Position};
use dunlin_api::time::Timestamp;
use dunlin_api::view::Client;
use dunlin_lwm2m::definition::parse_ddf;
use dunlin_lwm2m::{EndpointName, Path, Registry};
use dunlin_net::clock;
use dunlin_server::bootstrap::{BootstrapRun, Plan, Profile, ProfileName};
use dunlin_server::change::Registration;
use dunlin_server::{
    BootstrapRunId, ClientCursor, ClientFilter, Command, ListedClient, Refused, RequestId,
    RequestTicket, Settings,
};
use dunlin_store::{
    Batch, CatalogKey, CommitNumber, Committer, ObjectKey, Store, Submission, TokenKey,
};
use dunlin_transport::Now;
use tokio::sync::oneshot;

pub(crate) use bootstrapping::sentences;
pub(crate) use folder::Folder;

use crate::credentials::Credentials;
use crate::directory::Directory;
use crate::identity::ServerIdentity;
use crate::profiles::Profiles;
use crate::provisioning::Provisioning;
use crate::record::{decode, encode};
use crate::shard::{Input, Shard, ShardHandle};
use crate::telemetry::Telemetry;
use crate::teller::Known;
use crate::view;

/// How long a caller waits for a Client that is awake, unless it says otherwise.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// Shards answer questions in microseconds; one that does not in this time is in trouble.
const SHARD_PATIENCE: Duration = Duration::from_secs(10);

/// Ended requests that are shown of one Client.
const ENDED_SHOWN_MAX: usize = 100;

/// The product, for the API.
pub(crate) struct NodeBackend {
    pub(crate) shards: Arc<Vec<ShardHandle>>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) store: Arc<dyn Store>,
    /// The same, where it is on a disk.
    pub(crate) folder: Option<Folder>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) known: Arc<Known>,
    pub(crate) tokens: RwLock<Arc<Tokens>>,
    pub(crate) credentials: Credentials,
    pub(crate) profiles: Profiles,
    pub(crate) provisioning: Provisioning,
    pub(crate) identity: ServerIdentity,
    /// Changes of tokens and definitions, one at a time.
    pub(crate) catalog: Mutex<()>,
    pub(crate) telemetry: Telemetry,
    pub(crate) ready: Arc<AtomicBool>,
}

impl std::fmt::Debug for NodeBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeBackend").finish_non_exhaustive()
    }
}

type Done<T> = Result<T, Problem>;

fn busy() -> Problem {
    Problem::new(
        Code::Overloaded,
        "The shard of this Client does not answer.",
    )
    .retry_after(5)
}

impl NodeBackend {
    /// Runs a question or command on a shard, at its time.
    async fn on<T: Send + 'static>(
        &self,
        shard: usize,
        run: impl FnOnce(&mut Shard, Now) -> T + Send + 'static,
    ) -> Done<T> {
        let (told, answer) = oneshot::channel();
        let input = Input::Run(Box::new(move |shard: &mut Shard, now| {
            // The caller may have hung up.
            shard.run_and_tell(now, run, move |answer| drop(told.send(answer)));
        }));
        let sent = tokio::time::timeout(SHARD_PATIENCE, self.shards[shard].inbox.send(input)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Err(busy());
        }
        match tokio::time::timeout(SHARD_PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(busy()),
        }
    }

    fn owner(&self, endpoint: &EndpointName) -> Done<usize> {
        if self.shards.len() == 1 {
            return Ok(0);
        }
        let owner = self.directory.owner(endpoint);
        owner.ok_or_else(|| Problem::client_unknown(endpoint.as_str()))
    }

    /// Asks the shard that has the Client.
    async fn ask<T: Send + 'static>(
        &self,
        endpoint: &EndpointName,
        run: impl FnOnce(&mut Shard, Now, &EndpointName) -> Result<T, Refused> + Send + 'static,
    ) -> Done<T> {
        let owner = self.owner(endpoint)?;
        let name = endpoint.clone();
        let answer = self
            .on(owner, move |shard, now| run(shard, now, &name))
            .await?;
        answer.map_err(|refused| view::refused(endpoint, refused))
    }

    async fn registration(&self, endpoint: &EndpointName) -> Done<Registration> {
        let view = self
            .ask(endpoint, |shard, now, name| {
                shard.server().client(now, name)
            })
            .await?;
        Ok(view.registration)
    }

    /// The shard that has the request, and the request.
    async fn find_request(&self, id: &ApiRequestId) -> Done<(usize, Request)> {
        if let Ok(request) = id.0.parse::<RequestId>() {
            for shard in 0..self.shards.len() {
                let found = self
                    .on(shard, move |shard, now| {
                        shard.server().request_view(now, request)
                    })
                    .await?;
                if let Some(found) = found {
                    return Ok((shard, view::request(&found)));
                }
            }
        }
        let unknown = || {
            Problem::new(
                Code::RequestUnknown,
                format!("No request has the id \"{}\".", id.0),
            )
        };
        self.known
            .ended(id)
            .map(|request| (usize::MAX, request))
            .ok_or_else(unknown)
    }

    async fn operate_now(
        &self,
        endpoint: &EndpointName,
        asked: ApiCommand,
        settings: OperateSettings,
    ) -> Done<ApiOutcome> {
        let (command, format) = view::command(asked);
        let mut carried = Settings {
            format,
            ..Settings::default()
        };
        if let Some(timeout) = settings.timeout {
            carried.timeout = timeout;
            carried.expires = timeout;
        }
        let asked = command.clone();
        let (told, ended) = oneshot::channel();
        let owner = self.owner(endpoint)?;
        let name = endpoint.clone();
        let given = self.on(owner, move |shard, now| {
            let ticket = shard.server_mut().request(now, &name, command, carried)?;
            shard.wait_for(ticket.id, told);
            Ok::<_, Refused>((ticket, shard.server().request_view(now, ticket.id)))
        });
        let (ticket, shown) = given
            .await?
            .map_err(|refused| view::refused(endpoint, refused))?;
        let accepted = self.accepted(endpoint, ticket, shown.as_ref(), &asked, carried);
        self.known.made(
            accepted.id.clone(),
            accepted.created_at,
            accepted.expires_at,
        );
        let queued = ticket.state == dunlin_server::command::RequestState::Queued;
        if queued || !settings.wait {
            return Ok(ApiOutcome::Accepted(accepted));
        }
        let patience = settings.timeout.unwrap_or(WAIT_DEFAULT);
        match tokio::time::timeout(patience, ended).await {
            Ok(Ok(outcome)) => self.completed(endpoint, &asked, &outcome).await,
            Ok(Err(_)) => Err(busy()),
            // It goes on by itself: the caller gets the request to look it up.
            Err(_) => {
                let id = accepted.id.clone();
                match self.find_request(&id).await {
                    Ok((_, request)) if request.ended_at.is_none() => {
                        Ok(ApiOutcome::Accepted(request))
                    }
                    _ => Err(Problem::new(
                        Code::ClientTimeout,
                        format!(
                            "\"{endpoint}\" did not answer within {} s.",
                            patience.as_secs()
                        ),
                    )),
                }
            }
        }
    }

    fn accepted(
        &self,
        endpoint: &EndpointName,
        ticket: RequestTicket,
        shown: Option<&dunlin_server::RequestView>,
        command: &Command,
        settings: Settings,
    ) -> Request {
        if let Some(shown) = shown {
            return view::request(shown);
        }
        let now = self.now();
        let expires = u64::try_from(settings.expires.as_millis()).unwrap_or(u64::MAX);
        Request {
            id: ApiRequestId(ticket.id.to_string()),
            endpoint: endpoint.clone(),
            operation: command.name(),
            path: command.path(),
            state: dunlin_api::backend::RequestState::Sent,
            created_at: now,
            expires_at: Timestamp(now.0.saturating_add(expires)),
            ended_at: None,
            outcome: None,
        }
    }

    async fn completed(
        &self,
        endpoint: &EndpointName,
        command: &Command,
        outcome: &dunlin_server::Outcome,
    ) -> Done<ApiOutcome> {
        let version = self.version_at(endpoint, command.path()).await;
        let completion = view::outcome(command, outcome, self.now(), version)?;
        if let dunlin_api::backend::CompletionAnswer::Values(reading) = &completion.answer {
            self.known.values.remember(endpoint, reading.clone(), 0);
        }
        Ok(ApiOutcome::Completed(completion))
    }

    async fn version_at(&self, endpoint: &EndpointName, path: Path) -> dunlin_lwm2m::ObjectVersion {
        let version = dunlin_lwm2m::ObjectVersion::V1_0;
        let (Ok(registration), Some(object)) =
            (self.registration(endpoint).await, path.object_id())
        else {
            return version;
        };
        let implied = registration.version.default_object_version(object);
        let stated = registration
            .links
            .object(object)
            .and_then(|entry| entry.version);
        stated.unwrap_or(implied)
    }

    async fn page(&self, query: ClientQuery) -> Done<ClientPage> {
        let (mut shard, mut after) = match query.cursor.as_deref() {
            None => (0, None),
            Some(text) => parse_cursor(text, self.shards.len())?,
        };
        let filter = ClientFilter {
            name: query.q.unwrap_or_default(),
            registered: Some(query.registered),
        };
        let mut clients: Vec<Client> = Vec::new();
        // Filtered pages may be empty: a caller is given what was found in a bounded look.
        for _ in 0..64 {
            let left = query.limit - clients.len();
            let wanted = filter.clone();
            let page = self
                .on(shard, move |shard, now| {
                    shard.server().clients(now, after, left, &wanted)
                })
                .await?;
            clients.extend(page.clients.iter().map(|client| match client {
                ListedClient::Registered(view) => view::client(view),
                ListedClient::Departed(departed) => view::departed(departed),
            }));
            match page.next {
                Some(next) => after = Some(next),
                None if shard + 1 < self.shards.len() => {
                    shard += 1;
                    after = None;
                }
                None => return self.whole(clients, None, query.registered, &filter).await,
            }
            if clients.len() >= query.limit {
                break;
            }
        }
        let next = format!("{shard}.{}", after.map_or(u64::MAX, |cursor| cursor.0));
        self.whole(clients, Some(next), query.registered, &filter)
            .await
    }

    async fn whole(
        &self,
        clients: Vec<Client>,
        next: Option<String>,
        registered: bool,
        filter: &ClientFilter,
    ) -> Done<ClientPage> {
        let mut total = 0;
        for shard in 0..self.shards.len() {
            let stats = self.on(shard, |shard, _| shard.server().stats()).await?;
            total += if registered {
                stats.registered
            } else {
                stats.departed
            };
        }
        let total = filter.name.is_empty().then_some(total as u64);
        Ok(ClientPage {
            clients,
            next,
            total,
        })
    }

    async fn observations_of(&self, endpoint: &EndpointName) -> Done<Vec<Observation>> {
        let views = self
            .ask(endpoint, |shard, now, name| {
                shard.server().client(now, name)?;
                Ok(shard.server().observations(name))
            })
            .await?;
        let mut observations: Vec<Observation> = views
            .into_iter()
            .map(|view| {
                let value = self.known.values.value(endpoint, view.path);
                Observation {
                    path: view.path,
                    since: view.established.then(|| view::time(view.made_at)),
                    notifications: value.as_ref().map_or(0, |(_, count)| *count),
                    last: value.map(|(reading, _)| reading),
                }
            })
            .collect();
        observations.sort_by_key(|observation| observation.path);
        Ok(observations)
    }

    async fn requests_of(&self, endpoint: &EndpointName) -> Done<Vec<Request>> {
        let waiting = self
            .ask(endpoint, |shard, now, name| {
                Ok(shard.server().requests(now, name))
            })
            .await?;
        let mut requests = self.known.ended_of(Some(endpoint), ENDED_SHOWN_MAX);
        requests.extend(waiting.iter().map(view::request));
        Ok(requests)
    }

    async fn requests_of_all(&self, limit: usize) -> Done<Vec<Request>> {
        let mut requests = Vec::new();
        for shard in 0..self.shards.len() {
            let waiting = self
                .on(shard, move |shard, now| {
                    shard.server().all_requests(now, limit)
                })
                .await?;
            requests.extend(waiting.iter().map(view::request));
        }
        requests.sort_by_key(|request: &Request| request.created_at);
        requests.truncate(limit);
        requests.extend(self.known.ended_of(None, limit - requests.len()));
        Ok(requests)
    }

    /// Commits from outside the shards: tokens, definitions.
    async fn keep(&self, batch: Batch) -> Done<CommitNumber> {
        let (told, kept) = oneshot::channel();
        let done = Box::new(move |outcome| {
            let _ = told.send(outcome);
        });
        let unavailable = |reason: String| Problem::new(Code::StoreUnavailable, reason);
        self.committer
            .submit(Submission { batch, done })
            .map_err(|refused| unavailable(format!("{refused}.")))?;
        match tokio::time::timeout(SHARD_PATIENCE, kept).await {
            Ok(Ok(Ok(commit))) => Ok(commit),
            _ => Err(unavailable("The store did not keep it in time.".into()).retry_after(10)),
        }
    }

    async fn keep_definitions(&self, files: Vec<DefinitionFile>) -> Done<()> {
        let mut batch = Batch::new(self.now().0);
        let mut registry = Registry::clone(&self.known.registry());
        for file in &files {
            let key = ObjectKey {
                id: file.object.0,
                version: (file.version.major, file.version.minor),
            };
            batch.facts.push(key.put(encode(&file.xml)));
            let parsed = parse_ddf(file.xml.as_bytes())
                .map_err(|error| Problem::new(Code::DefinitionInvalid, format!("{error}.")))?;
            parsed
                .into_iter()
                .for_each(|definition| drop(registry.insert(definition)));
        }
        self.keep(batch).await?;
        self.use_registry(registry).await
    }

    /// Hands new definitions to everybody who decodes.
    async fn use_registry(&self, registry: Registry) -> Done<()> {
        let shared = Arc::new(registry.clone());
        self.known.set_registry(registry);
        for shard in 0..self.shards.len() {
            let registry = shared.clone();
            self.on(shard, move |shard, _| {
                shard.server_mut().set_registry(registry)
            })
            .await?;
        }
        Ok(())
    }
}

fn parse_cursor(text: &str, shards: usize) -> Done<(usize, Option<ClientCursor>)> {
    let invalid = || Problem::new(Code::CursorInvalid, "The cursor was not given out here.");
    let (shard, after) = text.split_once('.').ok_or_else(invalid)?;
    let shard: usize = shard.parse().map_err(|_| invalid())?;
    let after: u64 = after.parse().map_err(|_| invalid())?;
    if shard >= shards {
        return Err(invalid());
    }
    Ok((shard, (after != u64::MAX).then_some(ClientCursor(after))))
}

impl Backend for NodeBackend {
    fn clients(&self, query: ClientQuery) -> Answer<'_, ClientPage> {
        Box::pin(self.page(query))
    }

    fn client<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Client> {
        Box::pin(async move {
            let found = self.ask(endpoint, |shard, now, name| {
                shard.server().client(now, name)
            });
            found.await.map(|found| view::client(&found))
        })
    }

    fn forget<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, ()> {
        Box::pin(async move {
            let done = self.ask(endpoint, |shard, now, name| {
                shard.server_mut().forget(now, name)
            });
            done.await.map(drop)
        })
    }

    fn operate<'a>(
        &'a self,
        endpoint: &'a EndpointName,
        command: ApiCommand,
        settings: OperateSettings,
    ) -> Answer<'a, ApiOutcome> {
        Box::pin(self.operate_now(endpoint, command, settings))
    }

    fn cached<'a>(&'a self, endpoint: &'a EndpointName, path: Path) -> Answer<'a, Reading> {
        Box::pin(async move {
            self.registration(endpoint).await?;
            self.known.values.cached(endpoint, path).ok_or_else(|| {
                Problem::new(
                    Code::ValueUnknown,
                    format!("Nothing is known of {path} yet."),
                )
            })
        })
    }

    fn observations<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Vec<Observation>> {
        Box::pin(self.observations_of(endpoint))
    }

    fn requests<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Vec<Request>> {
        Box::pin(self.requests_of(endpoint))
    }

    fn all_requests(&self, limit: usize) -> Answer<'_, Vec<Request>> {
        Box::pin(self.requests_of_all(limit))
    }

    fn request<'a>(&'a self, id: &'a ApiRequestId) -> Answer<'a, Request> {
        Box::pin(async move { self.find_request(id).await.map(|(_, request)| request) })
    }

    fn cancel_request<'a>(&'a self, id: &'a ApiRequestId) -> Answer<'a, Request> {
        Box::pin(async move {
            let (shard, request) = self.find_request(id).await?;
            if request.ended_at.is_some() {
                let detail = format!("The request \"{}\" has ended.", id.0);
                return Err(Problem::new(Code::RequestEnded, detail));
            }
            let name: RequestId = id.0.parse().expect("it was found by it");
            let cancelled = self.on(shard, move |shard, now| {
                shard.server_mut().cancel(now, name)
            });
            cancelled
                .await?
                .map_err(|refused| view::refused(&request.endpoint, refused))?;
            Ok(Request {
                state: dunlin_api::backend::RequestState::Cancelled,
                ended_at: Some(self.now()),
                ..request
            })
        })
    }

    fn replay(&self, after: Position, limit: usize) -> Answer<'_, Replay> {
        let store = self.store.clone();
        Box::pin(async move {
            let at = match after {
                Position::START => dunlin_store::Position::START,
                Position { commit, index } => dunlin_store::Position {
                    commit: CommitNumber(commit),
                    index,
                },
            };
            let page = tokio::task::spawn_blocking(move || store.read(at, limit)).await;
            let page = page
                .map_err(|_| Problem::new(Code::Internal, "Reading the log was interrupted."))?
                .map_err(|error| Problem::new(Code::StoreUnavailable, format!("{error}.")))?;
            let mut events = Vec::with_capacity(page.events.len());
            for event in &page.events {
                let stored: dunlin_server::Event = decode(&event.bytes).map_err(|error| {
                    Problem::new(Code::StoreUnavailable, format!("An event: {error}."))
                })?;
                let (commit, index) = (event.position.commit.0, event.position.index as usize);
                let version = |path| self.known.values.version(&stored.endpoint, path);
                events.extend(view::event(commit, index, &stored, &version).map(Arc::new));
            }
            Ok(Replay {
                gap: page.gap.is_some(),
                events,
                next: Position {
                    commit: page.next.commit.0,
                    index: page.next.index,
                },
                end: page.end,
            })
        })
    }

    fn head(&self) -> Position {
        let newest = self.store.newest();
        Position {
            commit: newest.commit.0,
            index: newest.index,
        }
    }

    fn live(&self) -> Done<Live> {
        Ok(self.known.feed.subscribe())
    }

    fn definitions(&self) -> Arc<Registry> {
        self.known.registry()
    }

    fn add_definitions(&self, files: Vec<DefinitionFile>) -> Answer<'_, ()> {
        Box::pin(self.keep_definitions(files))
    }

    fn tokens(&self) -> Arc<Tokens> {
        self.tokens
            .read()
            .expect("nobody panics while writing")
            .clone()
    }

    fn add_token(&self, token: TokenRecord) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut batch = Batch::new(self.now().0);
            let key = TokenKey(token.name.clone());
            batch
                .facts
                .push(key.put(encode(&crate::tokens::Kept::from(&token))));
            {
                let _one = self.catalog.lock().expect("nobody panics while holding it");
                let taken = self
                    .tokens()
                    .records()
                    .iter()
                    .any(|one| one.name == token.name);
                if taken {
                    let detail = format!("A token \"{}\" exists.", token.name);
                    return Err(Problem::new(Code::TokenNameTaken, detail));
                }
            }
            self.keep(batch).await?;
            let mut records = self.tokens().records().to_vec();
            records.push(token);
            self.set_tokens(records);
            Ok(())
        })
    }

    fn remove_token<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut records = self.tokens().records().to_vec();
            let before = records.len();
            records.retain(|one| one.name != name);
            if records.len() == before {
                let detail = format!("No token is named \"{name}\".");
                return Err(Problem::new(Code::TokenNameUnknown, detail));
            }
            let mut batch = Batch::new(self.now().0);
            batch.facts.push(TokenKey(name.to_owned()).delete());
            self.keep(batch).await?;
            self.set_tokens(records);
            Ok(())
        })
    }

    fn server_identity(&self) -> Answer<'_, credential::ServerIdentity> {
        let identity = credential::ServerIdentity {
            public_key: self.identity.public_key.clone(),
            chain: self.identity.chain.clone(),
        };
        Box::pin(std::future::ready(Ok(identity)))
    }

    fn credentials(&self, query: credential::Query) -> Answer<'_, CredentialPage> {
        let limit = query.limit;
        let ahead = credential::Query {
            limit: limit + 1,
            ..query
        };
        let mut endpoints = self.credentials.list(&ahead);
        let more = endpoints.len() > limit;
        endpoints.truncate(limit);
        let total = self.credentials.count() as u64;
        Box::pin(std::future::ready(Ok(CredentialPage {
            endpoints,
            more,
            total,
        })))
    }

    fn credentials_of<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Vec<Credential>> {
        Box::pin(std::future::ready(Ok(self.credentials.of(endpoint))))
    }

    fn change_credentials(
        &self,
        changes: Vec<(EndpointName, credential::Change)>,
        dry_run: bool,
    ) -> Answer<'_, Result<credential::Counts, credential::Refused>> {
        Box::pin(async move {
            let _one = self.credentials.writing().await;
            let mut prepared = match self.credentials.prepare(self.now(), &changes) {
                Ok(prepared) => prepared,
                Err(refused) => return Ok(Err(refused)),
            };
            let counts = prepared.counts;
            if dry_run || prepared.facts.is_empty() {
                return Ok(Ok(counts));
            }
            let mut batch = Batch::new(self.now().0);
            batch.facts = std::mem::take(&mut prepared.facts);
            self.keep(batch).await?;
            self.credentials.apply(prepared);
            Ok(Ok(counts))
        })
    }

    fn profiles(&self) -> Done<Vec<Arc<Profile>>> {
        Ok(self.all_profiles())
    }

    fn put_profile(
        &self,
        profile: Profile,
        dry_run: bool,
    ) -> Answer<'_, Result<ProfilePut, ProfileRefused>> {
        Box::pin(self.enter_profile(profile, dry_run))
    }

    fn remove_profile(&self, name: ProfileName) -> Answer<'_, bool> {
        Box::pin(self.drop_profile(name))
    }

    fn bootstrap_plan<'a>(
        &'a self,
        endpoint: &'a EndpointName,
        by: Option<ProfileName>,
    ) -> Answer<'a, (ProfileName, Plan)> {
        Box::pin(self.plan_of(endpoint, by))
    }

    fn bootstrap_runs(
        &self,
        endpoint: Option<EndpointName>,
        limit: usize,
    ) -> Answer<'_, Vec<BootstrapRun>> {
        Box::pin(self.runs(endpoint, limit))
    }

    fn begin_bootstrap<'a>(
        &'a self,
        endpoint: &'a EndpointName,
        at: Option<dunlin_api::ClientAddress>,
    ) -> Answer<'a, BootstrapRunId> {
        Box::pin(self.begin_run(endpoint, at))
    }

    fn backup(&self, with_events: bool) -> Answer<'_, std::fs::File> {
        Box::pin(async move {
            match &self.folder {
                Some(folder) => folder.backup(with_events).await,
                None => Err(Problem::new(
                    Code::NotSupported,
                    "The store is in memory alone.",
                )),
            }
        })
    }

    fn ready(&self) -> Result<(), String> {
        if !self.ready.load(Ordering::Acquire) {
            return Err("the stored state is being read".to_owned());
        }
        match self.committer.state() {
            dunlin_store::CommitterState::Healthy => Ok(()),
            dunlin_store::CommitterState::Failing { reason } => Err(reason),
            dunlin_store::CommitterState::Stopped => Err("the store has stopped".to_owned()),
        }
    }

    fn metrics(&self) -> String {
        self.telemetry.metrics(self)
    }

    fn now(&self) -> Timestamp {
        Timestamp(clock::wall_ms())
    }
}

impl NodeBackend {
    fn set_tokens(&self, records: Vec<TokenRecord>) {
        *self.tokens.write().expect("nobody panics while writing") = Arc::new(Tokens::new(records));
    }
}
