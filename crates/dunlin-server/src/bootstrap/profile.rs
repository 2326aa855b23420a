//! What operators put in: the accounts and instances that Clients get, and which Clients.
//!
//! An account is one thing here although it is an instance of Object 0 and one of Object 1: so no
//! Security instance is ever written without its Server instance. What else there is to write -
//! access rights, any other Object - stands beside them. Keys may be given, or left out: then
//! every Client gets its own, made when it bootstraps.

use core::fmt;

use dunlin_lwm2m::operation::{Binding, LIFETIME_S_DEFAULT};
use dunlin_lwm2m::{EndpointName, ObjectId, ObjectInstanceId, Path, Resource, ShortServerId};
use thiserror::Error;
use zeroize::Zeroizing;

/// Server Accounts of one profile. A Client with more Servers than this is a mistake.
pub const PROFILE_SERVERS_MAX: usize = 16;

/// Instances of one profile besides its accounts. Each is a request to the Client, and a run must
/// end in minutes.
pub const PROFILE_INSTANCES_MAX: usize = 128;

/// The longest pattern; as long as a name.
pub const PATTERN_BYTES_MAX: usize = 252;

/// The longest PSK identity that every Client must take; TS 1.0 §7.1.7.
pub const IDENTITY_BYTES_MAX: usize = 128;

/// The longest pre-shared key that every Client must take; TS 1.0 §7.1.7.
pub const KEY_BYTES_MAX: usize = 64;

/// The length of the keys we make: the strength of AES-128, which all suites of LwM2M 1.0 use.
pub const CLIENT_KEY_BYTES: usize = 16;

/// The longest name of a profile.
const NAME_BYTES_MAX: usize = 64;

/// In a PSK identity: the endpoint name of the Client.
pub(crate) const ENDPOINT_VARIABLE: &str = "{endpoint}";

/// What the Bootstrap-Server writes, and to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// The Clients it is for.
    pub selector: Selector,
    /// Whether the Client is first asked what it has. Clients of 1.0 need not answer; then the run
    /// goes on without.
    pub discover: bool,
    /// What is removed before anything is written.
    pub removal: Removal,
    /// The Server Accounts.
    pub servers: Vec<ServerAccount>,
    /// Another Bootstrap-Server Account in the place of the one the Client has; mostly none.
    pub bootstrap_server: Option<BootstrapAccount>,
    /// Instances of Object 2.
    pub access: Vec<AccessControl>,
    /// Instances of any other Object.
    pub instances: Vec<InstanceData>,
}

impl Profile {
    /// A profile that asks, removes the old accounts and writes nothing yet.
    #[must_use]
    pub fn new(name: ProfileName, selector: Selector) -> Self {
        Self {
            name,
            selector,
            discover: true,
            removal: Removal::default(),
            servers: Vec::new(),
            bootstrap_server: None,
            access: Vec::new(),
            instances: Vec::new(),
        }
    }
}

/// The name of a profile: 1 to 64 of `a-z A-Z 0-9 . _ -`, so that it needs no quotes anywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileName(String);

/// Text that names no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the name of a profile has 1 to {NAME_BYTES_MAX} characters of a-z, A-Z, 0-9, '.', '_' and '-', and is not '.' or '..'"
)]
pub struct ProfileNameError;

impl ProfileName {
    /// Checks the characters.
    ///
    /// # Errors
    /// Says what a name is.
    pub fn new(name: &str) -> Result<Self, ProfileNameError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty()
            || name.len() > NAME_BYTES_MAX
            || matches!(name, "." | "..")
            || !name.bytes().all(fits)
        {
            return Err(ProfileNameError);
        }
        Ok(Self(name.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The Clients a profile is for. Of several that fit, the one for the endpoint counts, then the
/// pattern with the most fixed characters, then the default.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// Every Client that no other profile is for.
    Default,
    /// One Client.
    Endpoint(EndpointName),
    /// All Clients whose whole name fits: `*` stands for any characters, `?` for one.
    Pattern(String),
}

impl Selector {
    /// Whether the profile may be used for this Client.
    #[must_use]
    pub fn fits(&self, endpoint: &EndpointName) -> bool {
        match self {
            Self::Default => true,
            Self::Endpoint(name) => name == endpoint,
            Self::Pattern(pattern) => fits_pattern(pattern, endpoint.as_str()),
        }
    }

    /// The greater, the closer to the Client.
    fn closeness(&self) -> (u8, usize) {
        match self {
            Self::Default => (0, 0),
            Self::Pattern(pattern) => {
                let fixed = pattern.chars().filter(|c| !matches!(c, '*' | '?'));
                (1, fixed.count())
            }
            Self::Endpoint(_) => (2, 0),
        }
    }
}

/// The profile for a Client: the closest of those that fit, of equals the first by name.
pub fn choose<'a>(
    profiles: impl IntoIterator<Item = &'a Profile>,
    endpoint: &EndpointName,
) -> Option<&'a Profile> {
    let fitting = profiles
        .into_iter()
        .filter(|profile| profile.selector.fits(endpoint));
    fitting.max_by(|one, other| {
        let closeness = one.selector.closeness().cmp(&other.selector.closeness());
        closeness.then_with(|| other.name.cmp(&one.name))
    })
}

/// Matches from left to right, and comes back to the last `*` alone: linear in memory, and at
/// worst the product of both lengths in time.
fn fits_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut next) = (0, 0);
    let mut star = None;
    while next < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(character) if *character == '?' || *character == name[next] => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else {
                    return false;
                };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                next = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|character| *character == '*')
}

/// What is removed before anything is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Removal {
    /// All instances of the Objects of accounts and access rights: 0, 1, and 2 where it is written
    /// or the Client says that it has some. The Client keeps its Bootstrap-Server Account.
    #[default]
    Accounts,
    /// All instances of all Objects (`DELETE /`). The Client keeps its Bootstrap-Server Account
    /// and Device.
    Everything,
    /// These Objects and instances.
    Paths(Vec<Path>),
    /// Nothing: what is written is added, or takes the place of what has the same number.
    Nothing,
}

/// A Server Account: an instance of Object 0 and one of Object 1 with the same Short Server ID;
/// TS 1.0 §5.2.2.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerAccount {
    /// What both instances have in common.
    pub short_server_id: ShortServerId,
    /// `coap://host[:port]` or `coaps://host[:port]`.
    pub uri: String,
    /// How the Client proves who it is there, and the Server to the Client.
    pub keys: Keys,
    /// Lifetime of the registration in seconds.
    pub lifetime_s: u32,
    /// Binding.
    pub binding: Binding,
    /// Whether notifications are kept while the Server cannot be reached.
    pub notification_storing: bool,
    /// Default Minimum Period in seconds.
    pub default_pmin_s: Option<u32>,
    /// Default Maximum Period in seconds.
    pub default_pmax_s: Option<u32>,
    /// Disable Timeout in seconds.
    pub disable_timeout_s: Option<u32>,
    /// The number of the instance of Object 0; `None` lets the plan choose.
    pub security_instance: Option<ObjectInstanceId>,
    /// The number of the instance of Object 1; `None` lets the plan choose.
    pub server_instance: Option<ObjectInstanceId>,
    /// Further Resources of the instance of Object 0, such as those of SMS.
    pub security_resources: Vec<Resource>,
    /// Further Resources of the instance of Object 1.
    pub server_resources: Vec<Resource>,
}

impl ServerAccount {
    /// An account with the defaults of the standard.
    #[must_use]
    pub fn new(short_server_id: ShortServerId, uri: impl Into<String>, keys: Keys) -> Self {
        Self {
            short_server_id,
            uri: uri.into(),
            keys,
            lifetime_s: LIFETIME_S_DEFAULT,
            binding: Binding::U,
            notification_storing: true,
            default_pmin_s: None,
            default_pmax_s: None,
            disable_timeout_s: None,
            security_instance: None,
            server_instance: None,
            security_resources: Vec::new(),
            server_resources: Vec::new(),
        }
    }
}

/// A Bootstrap-Server Account: an instance of Object 0 alone; TS 1.0 §5.2.2.
#[derive(Clone, Debug, PartialEq)]
pub struct BootstrapAccount {
    /// Where the Bootstrap-Server is.
    pub uri: String,
    /// How the Client proves who it is there.
    pub keys: Keys,
    /// Client Hold Off Time in seconds.
    pub hold_off_s: Option<u32>,
    /// Bootstrap-Server Account Timeout in seconds; without one the Client keeps the account.
    pub account_timeout_s: Option<u32>,
    /// The number of its instance of Object 0; `None` takes that of the account the Client has,
    /// which must then answer Discover.
    pub instance: Option<ObjectInstanceId>,
}

/// How both sides of a session prove who they are; TS 1.0 §7.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Not at all (`coap://`).
    NoSec,
    /// By a pre-shared key.
    PreSharedKey {
        /// The identity; `{endpoint}` in it stands for the endpoint name. `None`: one is made that
        /// no other key has, so that the old key works until the Client has the new one.
        identity: Option<String>,
        /// The key; `None`: every Client gets its own.
        key: Option<Secret>,
    },
    /// By raw public keys.
    RawPublicKey {
        /// The Client's keys; `None`: every Client gets its own.
        client: Option<KeyPair>,
        /// The Server's public key, a SubjectPublicKeyInfo in DER; `None`: ours.
        server: Option<Vec<u8>>,
    },
    /// By certificates.
    Certificate {
        /// The Client's certificate and key; `None`: every Client gets its own.
        client: Option<KeyPair>,
        /// The Server's certificate in DER; `None`: ours.
        server: Option<Vec<u8>>,
    },
}

impl Keys {
    /// The Security Mode of Object 0.
    #[must_use]
    pub const fn mode(&self) -> i64 {
        match self {
            Self::PreSharedKey { .. } => 0,
            Self::RawPublicKey { .. } => 1,
            Self::Certificate { .. } => 2,
            Self::NoSec => 3,
        }
    }

    /// The word used in REST: `nosec`, `psk`, `rpk`, `x509`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PreSharedKey { .. } => "psk",
            Self::RawPublicKey { .. } => "rpk",
            Self::Certificate { .. } => "x509",
            Self::NoSec => "nosec",
        }
    }

    /// Whether every Client gets a key of its own, made when it bootstraps.
    #[must_use]
    pub const fn are_made(&self) -> bool {
        match self {
            Self::PreSharedKey { key, .. } => key.is_none(),
            Self::RawPublicKey { client, .. } | Self::Certificate { client, .. } => {
                client.is_none()
            }
            Self::NoSec => false,
        }
    }
}

/// A public key or certificate, and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// A SubjectPublicKeyInfo or a certificate, in DER.
    pub public: Vec<u8>,
    /// The private key in DER: PKCS#8, or SEC 1 as the examples of the standard have it.
    pub private: Secret,
}

/// Bytes that nobody may read in a log. They are wiped when they are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes, for those who need them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} secret bytes]", self.0.len())
    }
}

/// An instance of Object 2: who may do what; TS 1.0 §7.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessControl {
    /// What it is about.
    pub target: AccessTarget,
    /// The Server that may change this; `None` leaves it to the Bootstrap-Server alone.
    pub owner: Option<ShortServerId>,
    /// Rights by Short Server ID; `None` is for all Servers that are not named. Read 1, Write and
    /// Observe attributes 2, Execute 4, Delete 8, Create 16.
    pub rights: Vec<(Option<ShortServerId>, u8)>,
    /// The number of the instance; `None` lets the plan choose.
    pub instance: Option<ObjectInstanceId>,
}

/// What rights are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTarget {
    /// Creating instances of an Object.
    Object(ObjectId),
    /// An instance.
    Instance(ObjectId, ObjectInstanceId),
    /// The instance of Object 1 of this account, whatever number it gets.
    Server(ShortServerId),
}

/// An instance of any Object but 0, 1 and 2.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceData {
    /// The Object.
    pub object: ObjectId,
    /// The number of the instance; `None` lets the plan choose: 0 where an Object has one instance.
    pub instance: Option<ObjectInstanceId>,
    /// What is written.
    pub resources: Vec<Resource>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EndpointName {
        EndpointName::new(text).unwrap()
    }

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, fitting, others) in [
            ("*", vec!["", "x"], vec![]),
            (
                "lamp-*",
                vec!["lamp-", "lamp-1", "lamp-*"],
                vec!["lamp", "a-lamp-1"],
            ),
            ("l?mp", vec!["lamp", "lümp"], vec!["lmp", "laamp"]),
            ("*-a*b", vec!["x-ab", "-a-ab", "-aab"], vec!["x-a", "x-abc"]),
            ("**", vec!["", "abc"], vec![]),
            ("", vec![""], vec!["a"]),
        ] {
            for text in fitting {
                assert!(fits_pattern(pattern, text), "{pattern} {text}");
            }
            for text in others {
                assert!(!fits_pattern(pattern, text), "{pattern} {text}");
            }
        }
        // One that makes a naive matcher try every split.
        assert!(!fits_pattern(&"*a".repeat(100), &"a".repeat(99)));
        assert!(!fits_pattern(&"a*".repeat(60), &"b".repeat(252)));
    }

    #[test]
    fn the_closest_profile_is_chosen() {
        let profile =
            |label: &str, selector| Profile::new(ProfileName::new(label).unwrap(), selector);
        let profiles = [
            profile("all", Selector::Default),
            profile("lamps", Selector::Pattern("lamp-*".into())),
            profile("lamps-of-hall", Selector::Pattern("lamp-hall-*".into())),
            profile("b", Selector::Pattern("lamp-h*".into())),
            profile("a", Selector::Pattern("lamp-?*l".into())),
            profile("one", Selector::Endpoint(name("lamp-hall-1"))),
        ];
        for (endpoint, chosen) in [
            ("lamp-hall-1", "one"),
            ("lamp-hall-2", "lamps-of-hall"),
            ("lamp-hl", "a"),
            ("lamp-7", "lamps"),
            ("meter", "all"),
        ] {
            let found = choose(&profiles, &name(endpoint)).map(|profile| profile.name.as_str());
            assert_eq!(found, Some(chosen), "{endpoint}");
        }
        assert_eq!(choose(&profiles[1..], &name("meter")), None);
    }

    #[test]
    fn names_of_profiles_need_no_quotes() {
        for good in ["a", "fleet-2.v1_x", "...x"] {
            assert!(ProfileName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ü", &"a".repeat(65)] {
            assert_eq!(ProfileName::new(bad), Err(ProfileNameError), "{bad}");
        }
    }

    #[test]
    fn keys_are_in_no_debug_text() {
        let keys = Keys::PreSharedKey {
            identity: Some("a".into()),
            key: Some(Secret::new(*b"hidden!!")),
        };
        let text = format!("{keys:?}");
        assert!(
            text.contains("8 secret bytes") && !text.contains("104"),
            "{text}"
        );
        let values: Vec<String> = b"hidden!!".iter().map(u8::to_string).collect();
        assert!(!text.contains(&values.join(", ")), "{text}");
    }
}
