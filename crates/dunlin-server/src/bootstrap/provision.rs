//! A profile for one Client: names filled in, keys made, every instance with all its Resources.
//!
//! What is still open are the numbers of instances: those depend on what the Client has, and the
//! plan chooses them.

use core::fmt;

use dunlin_lwm2m::{
    EndpointName, ObjectId, ObjectInstanceId, Registry, Resource, ResourceInstanceId,
    ShortServerId, Value,
};
use thiserror::Error;

use super::profile::{
    AccessControl, AccessTarget, BootstrapAccount, CLIENT_KEY_BYTES, ENDPOINT_VARIABLE,
    IDENTITY_BYTES_MAX, InstanceData, KeyPair, Keys, Profile, ProfileName, Removal, Secret,
    ServerAccount,
};

/// Random bytes of an identity that is made: two of them never meet.
const IDENTITY_RANDOM_BYTES: usize = 8;

/// The Short Server ID that stands for nobody: an instance that only the Bootstrap-Server changes
/// (TS 1.0 §7.3.1), and the instance of an Object as such (Object 2, Resource 1).
const NOBODY: i64 = 65_535;

/// Where keys come from; the node's.
pub trait KeySource {
    /// Fills `bytes` with secret random ones.
    fn random(&mut self, bytes: &mut [u8]);

    /// New keys for a Client; `None` when they cannot be made here.
    fn key_pair(&mut self, kind: PairKind, endpoint: &EndpointName) -> Option<KeyPair>;

    /// What the Server of this process shows to Clients: its SubjectPublicKeyInfo or its
    /// certificate, in DER; `None` when it has none.
    fn server_public(&self, kind: PairKind) -> Option<Vec<u8>>;
}

/// Kinds of key pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairKind {
    /// A public key as it is; RFC 7250.
    RawPublicKey,
    /// A public key in a certificate.
    Certificate,
}

/// Why a profile cannot be used for a Client.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unprovided {
    /// The endpoint name makes the identity too long.
    #[error(
        "with this endpoint name the PSK identity has {bytes} bytes, and {IDENTITY_BYTES_MAX} are the most"
    )]
    IdentityTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// A key pair was to be made.
    #[error("keys of this kind cannot be made here: give them in the profile")]
    NoPair,
    /// The Server's own public key was wanted.
    #[error("this Server has no key of its own: give the Server's public key in the profile")]
    NoServerKey,
}

/// What one Client is to get.
#[derive(Clone, PartialEq)]
pub struct Provision {
    /// The profile it comes from.
    pub profile: ProfileName,
    /// Whether the Client is first asked what it has.
    pub discover: bool,
    /// What is removed first.
    pub removal: Removal,
    /// What is written, in this order.
    pub drafts: Vec<Draft>,
    /// What was made for this Client alone: the Server must know it before the Client does.
    pub made: Vec<MadeCredential>,
}

/// An instance that will have a number.
#[derive(Clone, PartialEq)]
pub struct Draft {
    /// The Object.
    pub object: ObjectId,
    /// How its number is found.
    pub placement: Placement,
    /// What is written.
    pub resources: Vec<Resource>,
    /// For an instance of Object 2: its Resource 1 is the number that the Server instance of this
    /// account gets.
    pub about_server: Option<ShortServerId>,
}

/// How the number of an instance is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It is given.
    Fixed(ObjectInstanceId),
    /// The one that the Client has for this Server; else one that is free.
    OfServer(ShortServerId),
    /// The one of the Bootstrap-Server Account that the Client has.
    OfBootstrapServer,
    /// One that is free.
    Free,
}

/// A credential that was made for one Client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeCredential {
    /// For which Server; `None` for the Bootstrap-Server.
    pub server: Option<ShortServerId>,
    /// What the Client will show.
    pub proof: MadeProof,
    /// The key that both sides have; `None` where the private one is the Client's alone.
    pub key: Option<Secret>,
}

/// What a Client shows of a credential that was made for it. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeProof {
    /// The identity of a pre-shared key.
    PreSharedKey(String),
    /// A raw public key: SubjectPublicKeyInfo in DER.
    RawPublicKey(Vec<u8>),
    /// A certificate in DER.
    Certificate(Vec<u8>),
}

impl fmt::Debug for Provision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provision")
            .field("profile", &self.profile)
            .field("drafts", &self.drafts)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Draft {
    /// Without values: there are keys among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{} {:?}", self.object, self.placement)
    }
}

impl Profile {
    /// What `endpoint` is to get. The profile has been checked ([`Profile::check`]); definitions
    /// say which Objects have one instance alone.
    ///
    /// # Errors
    /// [`Unprovided`]: it does not work for this Client, or on this Server.
    pub fn provision(
        &self,
        endpoint: &EndpointName,
        registry: &Registry,
        keys: &mut dyn KeySource,
    ) -> Result<Provision, Unprovided> {
        let mut provision = Provision {
            profile: self.name.clone(),
            discover: self.discover,
            removal: self.removal.clone(),
            drafts: Vec::new(),
            made: Vec::new(),
        };
        let mut servers = Vec::new();
        for account in &self.servers {
            let proof = prove(&account.keys, endpoint, keys)?;
            provision
                .made
                .extend(proof.made(Some(account.short_server_id)));
            provision.drafts.push(security_of(account, &proof));
            servers.push(server_of(account));
        }
        if let Some(account) = &self.bootstrap_server {
            let proof = prove(&account.keys, endpoint, keys)?;
            provision.made.extend(proof.made(None));
            provision.drafts.push(bootstrap_of(account, &proof));
        }
        provision.drafts.extend(servers);
        provision.drafts.extend(self.access.iter().map(access_of));
        let instances = self.instances.iter();
        provision
            .drafts
            .extend(instances.map(|instance| instance_of(instance, registry)));
        Ok(provision)
    }
}

/// The three key Resources of Object 0, and what the Server has to learn of them.
struct Proof {
    mode: i64,
    identity: Vec<u8>,
    server: Vec<u8>,
    secret: Secret,
    /// Whether it was made, and so is news to the Server.
    made: bool,
}

impl Proof {
    fn made(&self, server: Option<ShortServerId>) -> Option<MadeCredential> {
        if !self.made {
            return None;
        }
        let public = self.identity.clone();
        let (proof, key) = match self.mode {
            0 => {
                let identity = String::from_utf8_lossy(&public).into_owned();
                let key = Some(self.secret.clone());
                (MadeProof::PreSharedKey(identity), key)
            }
            1 => (MadeProof::RawPublicKey(public), None),
            _ => (MadeProof::Certificate(public), None),
        };
        Some(MadeCredential { server, proof, key })
    }

    /// Resources 2 to 5 of Object 0: unused ones are there and empty (TS 1.0 §E.1).
    fn resources(&self) -> [Resource; 4] {
        [
            Resource::single(2, Value::Integer(self.mode)),
            Resource::single(3, Value::Opaque(self.identity.clone())),
            Resource::single(4, Value::Opaque(self.server.clone())),
            Resource::single(5, Value::Opaque(self.secret.as_bytes().to_vec())),
        ]
    }
}

fn prove(
    keys: &Keys,
    endpoint: &EndpointName,
    source: &mut dyn KeySource,
) -> Result<Proof, Unprovided> {
    let (kind, client, server) = match keys {
        Keys::NoSec => {
            return Ok(Proof {
                mode: keys.mode(),
                identity: Vec::new(),
                server: Vec::new(),
                secret: Secret::new([]),
                made: false,
            });
        }
        Keys::PreSharedKey { identity, key } => {
            return prove_psk(identity.as_deref(), key.as_ref(), endpoint, source);
        }
        Keys::RawPublicKey { client, server } => (PairKind::RawPublicKey, client, server),
        Keys::Certificate { client, server } => (PairKind::Certificate, client, server),
    };
    let server = server
        .clone()
        .or_else(|| source.server_public(kind))
        .ok_or(Unprovided::NoServerKey)?;
    let pair = match client {
        Some(pair) => pair.clone(),
        None => source.key_pair(kind, endpoint).ok_or(Unprovided::NoPair)?,
    };
    Ok(Proof {
        mode: keys.mode(),
        identity: pair.public,
        server,
        secret: pair.private,
        made: client.is_none(),
    })
}

fn prove_psk(
    identity: Option<&str>,
    key: Option<&Secret>,
    endpoint: &EndpointName,
    source: &mut dyn KeySource,
) -> Result<Proof, Unprovided> {
    let identity = match identity {
        Some(template) => template.replace(ENDPOINT_VARIABLE, endpoint.as_str()),
        None => unique_identity(endpoint, source),
    };
    if identity.len() > IDENTITY_BYTES_MAX {
        return Err(Unprovided::IdentityTooLong {
            bytes: identity.len(),
        });
    }
    let secret = key.cloned().unwrap_or_else(|| {
        let mut bytes = [0; CLIENT_KEY_BYTES];
        source.random(&mut bytes);
        Secret::new(bytes)
    });
    Ok(Proof {
        mode: 0,
        identity: identity.into_bytes(),
        server: Vec::new(),
        secret,
        made: key.is_none(),
    })
}

/// The endpoint name as far as there is room, so that people recognise it, and random digits.
fn unique_identity(endpoint: &EndpointName, source: &mut dyn KeySource) -> String {
    use fmt::Write as _;
    let mut random = [0; IDENTITY_RANDOM_BYTES];
    source.random(&mut random);
    let room = IDENTITY_BYTES_MAX - 1 - 2 * IDENTITY_RANDOM_BYTES;
    let name = endpoint.as_str();
    let end = (0..=room.min(name.len()))
        .rev()
        .find(|at| name.is_char_boundary(*at));
    let mut identity = String::from(&name[..end.unwrap_or(0)]);
    identity.push('.');
    for byte in random {
        let _ = write!(identity, "{byte:02x}");
    }
    identity
}

fn placed(number: Option<ObjectInstanceId>, otherwise: Placement) -> Placement {
    number.map_or(otherwise, Placement::Fixed)
}

fn security_of(account: &ServerAccount, proof: &Proof) -> Draft {
    let short_server_id = account.short_server_id;
    let mut resources = vec![
        Resource::single(0, Value::String(account.uri.clone())),
        Resource::single(1, Value::Boolean(false)),
    ];
    resources.extend(proof.resources());
    resources.push(Resource::single(
        10,
        Value::Integer(short_server_id.value().into()),
    ));
    resources.extend(account.security_resources.iter().cloned());
    Draft {
        object: ObjectId(0),
        placement: placed(
            account.security_instance,
            Placement::OfServer(short_server_id),
        ),
        resources,
        about_server: None,
    }
}

fn bootstrap_of(account: &BootstrapAccount, proof: &Proof) -> Draft {
    let mut resources = vec![
        Resource::single(0, Value::String(account.uri.clone())),
        Resource::single(1, Value::Boolean(true)),
    ];
    resources.extend(proof.resources());
    // No Short Server ID: some Clients refuse a Bootstrap-Server that has one.
    let optional = [(11, account.hold_off_s), (12, account.account_timeout_s)];
    resources.extend(numbers(optional));
    Draft {
        object: ObjectId(0),
        placement: placed(account.instance, Placement::OfBootstrapServer),
        resources,
        about_server: None,
    }
}

fn server_of(account: &ServerAccount) -> Draft {
    let short_server_id = account.short_server_id;
    let mut resources = vec![
        Resource::single(0, Value::Integer(short_server_id.value().into())),
        Resource::single(1, Value::Integer(account.lifetime_s.into())),
        Resource::single(6, Value::Boolean(account.notification_storing)),
        Resource::single(7, Value::String(account.binding.as_str().into())),
    ];
    resources.extend(numbers([
        (2, account.default_pmin_s),
        (3, account.default_pmax_s),
        (5, account.disable_timeout_s),
    ]));
    resources.extend(account.server_resources.iter().cloned());
    Draft {
        object: ObjectId(1),
        placement: placed(
            account.server_instance,
            Placement::OfServer(short_server_id),
        ),
        resources,
        about_server: None,
    }
}

fn numbers<const N: usize>(values: [(u16, Option<u32>); N]) -> impl Iterator<Item = Resource> {
    values
        .into_iter()
        .filter_map(|(id, value)| Some(Resource::single(id, Value::Integer(value?.into()))))
}

fn access_of(access: &AccessControl) -> Draft {
    let (object, instance, about_server) = match access.target {
        AccessTarget::Object(object) => (object, Some(NOBODY), None),
        AccessTarget::Instance(object, instance) => (object, Some(instance.0.into()), None),
        AccessTarget::Server(server) => (ObjectId(1), None, Some(server)),
    };
    let owner = access.owner.map_or(NOBODY, |owner| owner.value().into());
    let rights = access.rights.iter().map(|(server, rights)| {
        let id = server.map_or(0, ShortServerId::value);
        (ResourceInstanceId(id), Value::Integer((*rights).into()))
    });
    let mut resources = vec![
        Resource::single(0, Value::Integer(object.0.into())),
        Resource::multiple(2, rights),
        Resource::single(3, Value::Integer(owner)),
    ];
    resources.extend(instance.map(|instance| Resource::single(1, Value::Integer(instance))));
    Draft {
        object: ObjectId(2),
        placement: placed(access.instance, Placement::Free),
        resources,
        about_server,
    }
}

fn instance_of(instance: &InstanceData, registry: &Registry) -> Draft {
    let single = registry
        .latest(instance.object)
        .is_some_and(|definition| !definition.multiple);
    let otherwise = if single {
        Placement::Fixed(ObjectInstanceId(0))
    } else {
        Placement::Free
    };
    Draft {
        object: instance.object,
        placement: placed(instance.instance, otherwise),
        resources: instance.resources.clone(),
        about_server: None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bootstrap::Selector;

    /// Counts up instead of being random.
    #[derive(Default)]
    pub(crate) struct Counting {
        next: u8,
        pub(crate) own: bool,
    }

    impl KeySource for Counting {
        fn random(&mut self, bytes: &mut [u8]) {
            self.next += 1;
            bytes.fill(self.next);
        }

        fn key_pair(&mut self, kind: PairKind, _: &EndpointName) -> Option<KeyPair> {
            (kind == PairKind::RawPublicKey).then(|| KeyPair {
                public: vec![0x30, 1, 1],
                private: Secret::new([0x30, 1, 2]),
            })
        }

        fn server_public(&self, _: PairKind) -> Option<Vec<u8>> {
            self.own.then(|| vec![0x30, 1, 3])
        }
    }

    pub(crate) fn ssid(id: u16) -> ShortServerId {
        ShortServerId::new(id).unwrap()
    }

    pub(crate) fn with_keys(keys: Keys) -> Profile {
        let name = ProfileName::new("p").unwrap();
        let mut profile = Profile::new(name, Selector::Default);
        let account = ServerAccount::new(ssid(101), "coaps://server.example", keys);
        profile.servers.push(account);
        profile
    }

    fn provision(profile: &Profile, endpoint: &str, own: bool) -> Result<Provision, Unprovided> {
        let name = EndpointName::new(endpoint).unwrap();
        let mut keys = Counting { next: 0, own };
        profile.provision(&name, &Registry::bundled(), &mut keys)
    }

    fn value(draft: &Draft, id: u16) -> Option<&Value> {
        let mut resources = draft.resources.iter();
        resources.find(|resource| resource.id.0 == id)?.value()
    }

    #[test]
    fn ts_7_1_7_every_client_gets_a_key_of_its_own() {
        let keys = Keys::PreSharedKey {
            identity: None,
            key: None,
        };
        let made = provision(&with_keys(keys), "lamp-1", false).unwrap();
        let security = &made.drafts[0];
        let identity = "lamp-1.0101010101010101";
        assert_eq!(
            value(security, 3),
            Some(&Value::Opaque(identity.as_bytes().to_vec()))
        );
        assert_eq!(value(security, 4), Some(&Value::Opaque(vec![])));
        assert_eq!(value(security, 5), Some(&Value::Opaque(vec![2; 16])));
        assert_eq!(value(security, 10), Some(&Value::Integer(101)));
        assert_eq!(
            made.made,
            [MadeCredential {
                server: Some(ssid(101)),
                proof: MadeProof::PreSharedKey(identity.into()),
                key: Some(Secret::new([2; 16])),
            }]
        );
        let text = format!("{made:?}");
        assert!(!text.contains("2, 2, 2"), "{text}");
    }

    #[test]
    fn an_identity_is_never_longer_than_every_client_takes() {
        let made = Keys::PreSharedKey {
            identity: None,
            key: None,
        };
        let long = "ü".repeat(120);
        let provisioned = provision(&with_keys(made), &long, false).unwrap();
        let MadeProof::PreSharedKey(identity) = &provisioned.made[0].proof else {
            panic!("a key was made")
        };
        // 111 bytes are left for the name, and its letters have two.
        assert_eq!(identity.len(), 110 + 17);
        let named = Keys::PreSharedKey {
            identity: Some("x-{endpoint}".into()),
            key: Some(Secret::new([1; 16])),
        };
        let profile = with_keys(named);
        assert_eq!(
            provision(&profile, &long, false),
            Err(Unprovided::IdentityTooLong { bytes: 242 })
        );
        let provisioned = provision(&profile, "lamp", false).unwrap();
        assert_eq!(
            value(&provisioned.drafts[0], 3),
            Some(&Value::Opaque(b"x-lamp".to_vec()))
        );
        assert!(provisioned.made.is_empty(), "a key that was given is known");
    }

    #[test]
    fn key_pairs_are_made_or_missed() {
        let rpk = with_keys(Keys::RawPublicKey {
            client: None,
            server: None,
        });
        assert_eq!(provision(&rpk, "a", false), Err(Unprovided::NoServerKey));
        let made = provision(&rpk, "a", true).unwrap();
        assert_eq!(
            value(&made.drafts[0], 4),
            Some(&Value::Opaque(vec![0x30, 1, 3]))
        );
        assert!(matches!(made.made[0].proof, MadeProof::RawPublicKey(_)));
        let x509 = with_keys(Keys::Certificate {
            client: None,
            server: Some(vec![0x30, 0]),
        });
        assert_eq!(provision(&x509, "a", true), Err(Unprovided::NoPair));
    }

    #[test]
    fn ts_7_3_1_rights_name_their_object_and_owner() {
        let mut profile = with_keys(Keys::NoSec);
        profile.access = vec![
            AccessControl {
                target: AccessTarget::Object(ObjectId(3303)),
                owner: None,
                rights: vec![(Some(ssid(101)), 16), (None, 1)],
                instance: None,
            },
            AccessControl {
                target: AccessTarget::Server(ssid(101)),
                owner: Some(ssid(101)),
                rights: vec![],
                instance: None,
            },
        ];
        let drafts = provision(&profile, "a", false).unwrap().drafts;
        let [object, server] = &drafts[2..] else {
            panic!("two instances of Object 2")
        };
        assert_eq!(value(object, 1), Some(&Value::Integer(65_535)));
        assert_eq!(value(object, 3), Some(&Value::Integer(65_535)));
        assert_eq!(value(server, 1), None, "the plan knows its number");
        assert_eq!(server.about_server, Some(ssid(101)));
    }
}
