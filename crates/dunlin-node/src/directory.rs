//! Which shard owns a Client, by its name.
//!
//! One entry for every name that is registered or remembered; asked when a Client registers and
//! when REST asks for one, never for an Update or a notification.

use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;

use dunlin_lwm2m::EndpointName;
use hashbrown::HashMap;

/// Parts with a lock each, so that shards that register at the same time do not wait.
const PARTS: usize = 64;

/// The owners. Names are kept as 64-bit hashes: two names with the same one would share an entry,
/// which costs a question to a shard that does not know the name, and nothing else.
#[derive(Debug)]
pub(crate) struct Directory {
    parts: Vec<Mutex<HashMap<u64, u8>>>,
    hasher: RandomState,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Directory {
    fn part(&self, endpoint: &EndpointName) -> (u64, &Mutex<HashMap<u64, u8>>) {
        let hash = self.hasher.hash_one(endpoint.as_str());
        (hash, &self.parts[hash as usize % PARTS])
    }

    /// The shard that has the Client, if any has.
    pub(crate) fn owner(&self, endpoint: &EndpointName) -> Option<usize> {
        let (hash, part) = self.part(endpoint);
        let part = part.lock().expect("nobody panics while holding it");
        part.get(&hash).copied().map(usize::from)
    }

    /// The name belongs to this shard from now on; says whose it was.
    pub(crate) fn claim(&self, endpoint: &EndpointName, shard: usize) -> Option<usize> {
        let (hash, part) = self.part(endpoint);
        let shard = u8::try_from(shard).expect("there are at most 256 shards");
        let mut part = part.lock().expect("nobody panics while holding it");
        part.insert(hash, shard).map(usize::from)
    }
}
