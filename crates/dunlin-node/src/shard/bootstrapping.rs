//! Bootstrap in the loop of a shard: what a Client is given is decided here, and what was made for
//! it becomes credentials in the commit that begins its run.
//!
//! Credentials are changed one at a time in the whole node. So where keys were made a small task
//! waits for its turn, prepares the change, hands it to the shard and keeps its turn until the
//! commit is durable. Everything else is answered at once.

use std::net::SocketAddr;

use dunlin_api::time::Timestamp;
use dunlin_lwm2m::EndpointName;
use dunlin_server::bootstrap::{
    Approach, BootstrapRun, Initiator, Provision, RunFailure, RunState,
};
use dunlin_server::change::Change;
use dunlin_server::{Answer, BootstrapRunId, Commit, NeedId, NoProfile, Refused};
use dunlin_store::{Batch, Submission};
use dunlin_transport::{Address, Identity, Now};
use tokio::sync::oneshot;

use super::{Input, Pending, Shard, nosec_allows};
use crate::credentials::Prepared;

/// What a Client is to get, with the credentials it needs, ready to be committed.
pub(crate) struct Provisioned {
    provision: Provision,
    prepared: Prepared,
    /// Dropped when the credentials are known to all, or will never be.
    turn: oneshot::Sender<()>,
    purpose: Purpose,
}

/// Who waits for it.
enum Purpose {
    /// The machine: a Client has asked.
    Need(NeedId),
    /// An operator wants a run to begin.
    Command(EndpointName, Option<Approach>, Told),
}

/// Tells an operator what came of it.
pub(crate) type Told = oneshot::Sender<Result<BootstrapRunId, Refused>>;

/// Credentials for the run that begins in this mutation.
pub(super) struct Making {
    prepared: Prepared,
    turn: oneshot::Sender<()>,
}

/// Where a Client is that has not asked: what it answers is this shard's.
fn approached(run: &BootstrapRun) -> Option<SocketAddr> {
    match (run.initiator, &run.address) {
        (Initiator::Server, Address::Udp(at)) => Some(*at),
        _ => None,
    }
}

impl Shard {
    /// The machine asks what a Client is to get.
    pub(super) fn profile_needed(
        &mut self,
        now: Now,
        need: NeedId,
        endpoint: &EndpointName,
        identity: &Identity,
    ) {
        match self.parts.provisioning.decide(endpoint, identity) {
            Ok(provision) if provision.made.is_empty() => {
                let answer = Answer::Profile(Ok(Box::new(provision)));
                self.parts.server.handle_answer(now, need, answer);
            }
            Ok(provision) => self.prepare(now, endpoint, provision, Purpose::Need(need)),
            Err(refused) => {
                let answer = Answer::Profile(Err(refused));
                self.parts.server.handle_answer(now, need, answer);
            }
        }
    }

    /// Begins a run on an operator's word.
    pub(crate) fn begin_bootstrap(
        &mut self,
        now: Now,
        endpoint: EndpointName,
        provision: Provision,
        approach: Option<Approach>,
        told: Told,
    ) {
        if let Some(Approach { address, sessions }) = &approach
            && let Address::Udp(at) = address
            && sessions.is_empty()
            && !nosec_allows(self.parts.nosec, at.ip())
        {
            let reason = "clients without security are heard on this machine alone (--nosec any changes that)";
            // Whoever asked may have hung up.
            let _ = told.send(Err(Refused::ClientUnreachable { reason }));
            return;
        }
        if !provision.made.is_empty() {
            let purpose = Purpose::Command(endpoint.clone(), approach, told);
            return self.prepare(now, &endpoint, provision, purpose);
        }
        self.begin_now(now, &endpoint, provision, approach, told);
    }

    fn begin_now(
        &mut self,
        now: Now,
        endpoint: &EndpointName,
        provision: Provision,
        approach: Option<Approach>,
        told: Told,
    ) {
        let server = &mut self.parts.server;
        let begun = match approach {
            None => server.bootstrap(now, endpoint, provision),
            Some(approach) => server.bootstrap_at(now, endpoint, provision, approach),
        };
        // Whoever asked may have hung up.
        let _ = told.send(begun);
        self.drain(now);
    }

    fn prepare(&self, now: Now, endpoint: &EndpointName, provision: Provision, purpose: Purpose) {
        let provisioning = self.parts.provisioning.clone();
        let inbox = self.parts.peers[self.parts.index].inbox.clone();
        let endpoint = endpoint.clone();
        let at = Timestamp(now.wall.0);
        tokio::spawn(async move {
            let _turn = provisioning.credentials().writing().await;
            let input = match provisioning.prepare_begin(at, &endpoint, &provision.made) {
                Ok(prepared) => {
                    let (turn, over) = oneshot::channel();
                    let provisioned = Provisioned {
                        provision,
                        prepared,
                        turn,
                        purpose,
                    };
                    let sent = inbox.send(Input::Provisioned(Box::new(provisioned))).await;
                    if sent.is_ok() {
                        let _ = over.await;
                    }
                    return;
                }
                Err(reason) => match purpose {
                    Purpose::Need(need) => Input::Answer {
                        need,
                        answer: Answer::Profile(Err(NoProfile::Unusable { reason })),
                    },
                    Purpose::Command(_, _, told) => {
                        let _ = told.send(Err(Refused::Unencodable { reason }));
                        return;
                    }
                },
            };
            // A shard that has stopped answers nobody.
            let _ = inbox.send(input).await;
        });
    }

    pub(super) fn provisioned(&mut self, now: Now, provisioned: Provisioned) {
        let Provisioned {
            provision,
            prepared,
            turn,
            purpose,
        } = provisioned;
        self.making = Some(Making { prepared, turn });
        match purpose {
            Purpose::Need(need) => {
                let answer = Answer::Profile(Ok(Box::new(provision)));
                self.parts.server.handle_answer(now, need, answer);
                self.drain(now);
            }
            Purpose::Command(endpoint, approach, told) => {
                self.begin_now(now, &endpoint, provision, approach, told);
            }
        }
        // No run has begun: nothing is made.
        self.making = None;
    }

    /// What bootstrap runs of a commit mean for others: its batch has been filled already.
    pub(super) fn bootstraps_committed(&mut self, now: Now, commit: &Commit) {
        for change in &commit.changes {
            match change {
                Change::BeginBootstrap { run, made } => {
                    self.claim_run(&run.endpoint);
                    if let Some(at) = approached(run) {
                        let approaches = self.parts.provisioning.approaches();
                        approaches.enter(at, self.parts.index);
                    }
                    if !made.is_empty() {
                        self.keep_made(commit.number);
                    }
                }
                Change::EndBootstrap(run) => {
                    if let Some(at) = approached(run) {
                        let approaches = self.parts.provisioning.approaches();
                        approaches.leave(at, self.parts.index);
                    }
                    self.parts
                        .provisioning
                        .release(&run.endpoint, self.parts.index);
                    if run.state == RunState::Succeeded && !run.made.is_empty() {
                        self.retire_older(now, run);
                    }
                }
                _ => {}
            }
        }
    }

    fn keep_made(&mut self, barrier: u64) {
        let Some(Making { mut prepared, turn }) = self.making.take() else {
            return;
        };
        self.batch.facts.append(&mut prepared.facts);
        let credentials = self.parts.provisioning.credentials().clone();
        let tell = move || {
            credentials.apply(prepared);
            drop(turn);
        };
        self.pending
            .push_back((barrier, Pending::Told(Box::new(tell))));
    }

    /// The Client has taken what this run made: what runs before it made is of no use.
    fn retire_older(&self, now: Now, run: &BootstrapRun) {
        let provisioning = self.parts.provisioning.clone();
        let submitter = self.parts.submitter.clone();
        let at = now.wall.0;
        let run = run.clone();
        tokio::spawn(async move {
            let _turn = provisioning.credentials().writing().await;
            let Some(mut prepared) = provisioning.prepare_success(Timestamp(at), &run) else {
                return;
            };
            let mut batch = Batch::new(at);
            batch.facts.append(&mut prepared.facts);
            let (told, kept) = oneshot::channel();
            let done = Box::new(move |outcome| {
                let _ = told.send(outcome);
            });
            // When the store takes nothing now, the next bootstrap of this Client removes them.
            if submitter.submit(Submission { batch, done }).is_ok()
                && matches!(kept.await, Ok(Ok(_)))
            {
                provisioning.credentials().apply(prepared);
            }
        });
    }

    /// There is one run per name in all shards: the one that begins here ends any other.
    fn claim_run(&self, endpoint: &EndpointName) {
        let index = self.parts.index;
        let before = self.parts.provisioning.claim(endpoint, index);
        let Some(other) = before.filter(|other| *other != index) else {
            return;
        };
        let name = endpoint.clone();
        let end = Input::Run(Box::new(move |shard: &mut Self, now| {
            shard
                .server_mut()
                .end_bootstrap(now, &name, RunFailure::Superseded);
        }));
        // A shard whose inbox is full has a run more for a while; its Client answers it no more.
        let _ = self.parts.peers[other].inbox.try_send(end);
    }
}
