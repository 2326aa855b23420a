//! What we asked to be told: observations, of Clients that are here and of those that have gone
//! and may come back.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::time::Duration;

use dunlin_lwm2m::{ContentFormat, EndpointName, Path};
use dunlin_transport::{Answer, ObservationId, RequestId as WireId, Token, WallTime};
use hashbrown::HashMap;
use slab::Slab;

use crate::change::{self, Departed, NotificationKey};
use crate::id::RegistrationId;
use crate::registration::{ClientKey, NO_CLIENT};
use crate::view::ObservationView;

/// An observation that a Client does not renew is asked for this often after one Register.
pub(crate) const RENEWALS_MAX: u8 = 3;

/// An observation.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) endpoint: EndpointName,
    /// [`NO_CLIENT`] while it is not registered.
    pub(crate) client: ClientKey,
    pub(crate) path: Path,
    pub(crate) token: Token,
    pub(crate) established: Option<RegistrationId>,
    pub(crate) renew: bool,
    pub(crate) format: Option<ContentFormat>,
    pub(crate) made_at: WallTime,
    pub(crate) last: Option<NotificationKey>,
    /// Its name below, while it is known there.
    pub(crate) relation: Option<ObservationId>,
    /// The request that makes it again.
    pub(crate) renewal: Option<WireId>,
    /// A notification was left unanswered: the transport has seen it, and takes what comes again
    /// for late.
    pub(crate) skipped: bool,
    /// How often that was tried in vain under the present registration.
    pub(crate) renewals: u8,
}

impl Observation {
    pub(crate) fn restored(record: change::Observation, client: ClientKey) -> Self {
        Self {
            endpoint: record.endpoint,
            client,
            path: record.path,
            token: record.token,
            established: record.established,
            renew: record.renew,
            format: record.format,
            made_at: record.made_at,
            last: record.last,
            relation: None,
            renewal: None,
            skipped: false,
            renewals: 0,
        }
    }

    pub(crate) fn record(&self) -> change::Observation {
        change::Observation {
            endpoint: self.endpoint.clone(),
            path: self.path,
            token: self.token,
            established: self.established,
            renew: self.renew,
            format: self.format,
            made_at: self.made_at,
            last: self.last,
        }
    }

    pub(crate) fn view(&self, registration: Option<RegistrationId>) -> ObservationView {
        ObservationView {
            endpoint: self.endpoint.clone(),
            path: self.path,
            token: self.token,
            established: self.established.is_some() && self.established == registration,
            renew: self.renew,
            format: self.format,
            made_at: self.made_at,
            last: self.last,
        }
    }
}

/// All observations, by key and by token.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    observations: Slab<Observation>,
    by_token: HashMap<Token, u32>,
}

impl Observations {
    pub(crate) fn len(&self) -> usize {
        self.observations.len()
    }

    pub(crate) fn insert(&mut self, observation: Observation) -> u32 {
        let token = observation.token;
        let key = self.observations.insert(observation) as u32;
        self.by_token.insert(token, key);
        key
    }

    /// # Panics
    /// When there is no such observation: a key is dropped from its Client's list when it ends.
    pub(crate) fn get(&self, key: u32) -> &Observation {
        &self.observations[key as usize]
    }

    /// As [`Self::get`].
    pub(crate) fn get_mut(&mut self, key: u32) -> &mut Observation {
        &mut self.observations[key as usize]
    }

    pub(crate) fn find(&self, token: Token) -> Option<u32> {
        self.by_token.get(&token).copied()
    }

    pub(crate) fn remove(&mut self, key: u32) -> Observation {
        let observation = self.observations.remove(key as usize);
        self.drop_token(observation.token, key);
        observation
    }

    /// It was made again: its notifications carry another token now.
    pub(crate) fn set_token(&mut self, key: u32, token: Token) {
        let before = std::mem::replace(&mut self.get_mut(key).token, token);
        self.drop_token(before, key);
        self.by_token.insert(token, key);
    }

    fn drop_token(&mut self, token: Token, key: u32) {
        // Another observation may have taken the token since.
        if self.by_token.get(&token) == Some(&key) {
            self.by_token.remove(&token);
        }
    }
}

/// A digest of what a notification says, the same in every run and version.
pub(crate) fn digest(answer: &Answer) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(&[answer.code.map_or_else(|byte| byte, |code| code.to_byte())]);
    hasher.write(
        &answer
            .format
            .map_or(u32::MAX, |format| u32::from(format.0))
            .to_be_bytes(),
    );
    hasher.write(&answer.payload);
    hasher.finish()
}

/// FNV-1a. It guards against a retransmission taken twice, not against anybody.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Clients that were registered, with the observations that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    by_endpoint: HashMap<EndpointName, (Departed, Vec<u32>)>,
    /// In the order of their departure; names that came back are passed over.
    in_order: VecDeque<(WallTime, EndpointName)>,
}

impl Departures {
    pub(crate) fn len(&self) -> usize {
        self.by_endpoint.len()
    }

    pub(crate) fn insert(&mut self, departed: Departed, observations: Vec<u32>) {
        self.in_order
            .push_back((departed.at, departed.endpoint.clone()));
        self.by_endpoint
            .insert(departed.endpoint.clone(), (departed, observations));
    }

    pub(crate) fn get(&self, endpoint: &str) -> Option<&Departed> {
        self.by_endpoint.get(endpoint).map(|(departed, _)| departed)
    }

    pub(crate) fn observations(&self, endpoint: &str) -> &[u32] {
        self.by_endpoint
            .get(endpoint)
            .map_or(&[], |(_, observations)| observations)
    }

    pub(crate) fn observations_mut(&mut self, endpoint: &str) -> Option<&mut Vec<u32>> {
        self.by_endpoint
            .get_mut(endpoint)
            .map(|(_, observations)| observations)
    }

    /// The Client is back, or forgotten: what waits for it.
    pub(crate) fn remove(&mut self, endpoint: &str) -> Option<Vec<u32>> {
        self.by_endpoint
            .remove(endpoint)
            .map(|(_, observations)| observations)
    }

    /// The oldest, if it left before `before` or there are more than `most`.
    pub(crate) fn surplus(&mut self, before: WallTime, most: usize) -> Option<EndpointName> {
        while let Some((at, endpoint)) = self.in_order.front() {
            let current = self
                .by_endpoint
                .get(endpoint)
                .is_some_and(|(is, _)| is.at == *at);
            if current && *at >= before && self.by_endpoint.len() <= most {
                return None;
            }
            let (_, endpoint) = self.in_order.pop_front().expect("it was just seen");
            if current {
                return Some(endpoint);
            }
        }
        None
    }

    /// How long until the oldest has been gone for `keep`.
    pub(crate) fn next(&self, now: WallTime, keep: Duration) -> Option<Duration> {
        self.in_order
            .front()
            .map(|(at, _)| at.plus(keep).since(now))
    }

    /// In the order of their departure, from the `from`-th on.
    pub(crate) fn iter_from(&self, from: usize) -> impl Iterator<Item = (usize, &Departed)> {
        self.in_order
            .iter()
            .enumerate()
            .skip(from)
            .filter_map(|(index, (at, endpoint))| {
                let (departed, _) = self.by_endpoint.get(endpoint)?;
                (departed.at == *at).then_some((index, departed))
            })
    }
}

/// The client of an observation that waits for a Client that has gone.
pub(crate) const GONE: ClientKey = NO_CLIENT;
