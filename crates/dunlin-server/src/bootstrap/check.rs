//! What is wrong with a profile, found before a Client meets it.
//!
//! A Client checks its new configuration at Bootstrap-Finish and answers 4.06 without a word of
//! why (TS 1.0 §5.2.7.2): whatever can be known beforehand is said here, with its place.

use std::collections::BTreeSet;

use dunlin_lwm2m::definition::{ObjectDefinition, ResourceDefinition};
use dunlin_lwm2m::{
    ObjectId, ObjectInstanceId, Path, Registry, Resource, ResourceValue, ShortServerId, Value,
    ValueType,
};
use thiserror::Error;

use super::profile::{
    AccessTarget, ENDPOINT_VARIABLE, IDENTITY_BYTES_MAX, KEY_BYTES_MAX, KeyPair, Keys,
    PATTERN_BYTES_MAX, PROFILE_INSTANCES_MAX, PROFILE_SERVERS_MAX, Profile, Removal, Secret,
    Selector,
};

/// The longest LwM2M Server URI; TS 1.0 §E.1.
const URI_BYTES_MAX: usize = 255;

/// A key shorter than this can be guessed; RFC 7925 asks for 128 bits.
const KEY_BYTES_GOOD: usize = 16;

/// A public key or certificate longer than this fits no Client.
const DER_BYTES_MAX: usize = 16_384;

/// All rights of Object 2 together: Read, Write, Execute, Delete, Create.
const RIGHTS: u8 = 31;

/// The right that only an Object as such can give.
const CREATE: u8 = 16;

/// What was found in a profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// With these it cannot be used.
    pub faults: Vec<Finding>,
    /// It can be used, and something is worth a second look.
    pub advice: Vec<Finding>,
}

/// One thing that was found, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Where in the profile: `servers[0].uri`.
    pub place: String,
    /// What.
    pub wrong: Wrong,
}

impl core::fmt::Display for Finding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.place, self.wrong)
    }
}

/// What may be wrong with a profile.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Wrong {
    /// Nothing to register with would be left.
    #[error("no Server account: the Client would have nothing to register with")]
    NoServer,
    /// A list is too long.
    #[error("{count} are too many; {max} are the most")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// The pattern is empty or too long.
    #[error("a pattern has 1 to {PATTERN_BYTES_MAX} bytes")]
    Pattern,
    /// Two accounts of one Server.
    #[error("the short server id {0} is in use by another account of this profile")]
    SameServer(ShortServerId),
    /// Two instances with one number.
    #[error("another part of this profile is written to {0}")]
    SameInstance(Path),
    /// The URI is none.
    #[error("\"{uri}\" is no URI of a Server: {why}")]
    Uri {
        /// The text.
        uri: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Scheme and keys do not go together.
    #[error("{scheme}:// goes with {wanted}, and the security mode is {mode}")]
    SchemeAgainstMode {
        /// The scheme of the URI.
        scheme: &'static str,
        /// The modes it needs.
        wanted: &'static str,
        /// The mode that is set.
        mode: &'static str,
    },
    /// The length of a key.
    #[error("the key has {bytes} bytes; 1 to {KEY_BYTES_MAX} are possible")]
    KeyLength {
        /// Its length.
        bytes: usize,
    },
    /// A weak key.
    #[error("the key has {bytes} bytes only; fewer than {KEY_BYTES_GOOD} can be guessed")]
    KeyShort {
        /// Its length.
        bytes: usize,
    },
    /// One key for many.
    #[error("every Client of this profile gets the same key; leave it out, and each gets its own")]
    KeyShared,
    /// A key without its identity.
    #[error("a key that is given needs its identity")]
    NoIdentity,
    /// The length of an identity.
    #[error("the identity has {bytes} bytes; 1 to {IDENTITY_BYTES_MAX} are possible")]
    IdentityLength {
        /// Its length.
        bytes: usize,
    },
    /// Several Clients with one identity.
    #[error(
        "every Client of this profile would get the same identity; put {ENDPOINT_VARIABLE} into it, or leave it out"
    )]
    IdentityShared,
    /// No DER.
    #[error("this is no {what} in DER")]
    NotDer {
        /// What it should be.
        what: &'static str,
    },
    /// A lifetime of zero.
    #[error("a lifetime of 0 s: the registration would end at once")]
    NoLifetime,
    /// The default periods.
    #[error("the default minimum period ({pmin_s} s) is longer than the maximum ({pmax_s} s)")]
    Periods {
        /// Minimum.
        pmin_s: u32,
        /// Maximum.
        pmax_s: u32,
    },
    /// The Resource belongs to a field of the profile.
    #[error("resource {0} is written from the account itself and cannot be given here")]
    OwnResource(u16),
    /// The Resource is there twice.
    #[error("resource {0} is given twice")]
    SameResource(u16),
    /// Objects 0, 1 and 2 are written otherwise.
    #[error("instances of object {object} are written as {instead}, so that they fit together")]
    OwnObject {
        /// Which.
        object: u16,
        /// Where they belong.
        instead: &'static str,
    },
    /// Number of an instance.
    #[error("{0} is reserved and numbers no instance")]
    ReservedInstance(u16),
    /// The Object has one instance.
    #[error("{name} has one instance, number 0")]
    SingleInstance {
        /// The Object's name.
        name: String,
    },
    /// Nobody knows the Object.
    #[error("there is no definition of object {0}: its resources are written as they are")]
    ObjectUnknown(ObjectId),
    /// The Object has no such Resource.
    #[error("{object} has no resource {id}")]
    ResourceUnknown {
        /// The Object's name.
        object: String,
        /// Which.
        id: u16,
    },
    /// The Resource is executed.
    #[error("{name} is executed and holds no value")]
    NoValue {
        /// Its name.
        name: String,
    },
    /// The value has another type.
    #[error("{name} is of type {wanted}, and the value of type {given}")]
    Type {
        /// The Resource's name.
        name: String,
        /// Its type.
        wanted: ValueType,
        /// The value's.
        given: ValueType,
    },
    /// Single or multiple.
    #[error("{name} holds {holds}")]
    Multiplicity {
        /// The Resource's name.
        name: String,
        /// How many it holds.
        holds: &'static str,
    },
    /// The value is not allowed.
    #[error("{name}: {error}")]
    Range {
        /// The Resource's name.
        name: String,
        /// Which values are.
        error: String,
    },
    /// A mandatory Resource is missing.
    #[error("{name} (resource {id}) is mandatory and missing")]
    Missing {
        /// Its name.
        name: String,
        /// Which.
        id: u16,
    },
    /// Rights that do not exist.
    #[error("{0} are no rights; they add up from 1 read, 2 write, 4 execute, 8 delete, 16 create")]
    Rights(u8),
    /// Create is a right of Objects, the others of instances.
    #[error("create (16) is given on an object, the other rights on its instances")]
    CreateRight,
    /// A Server that does not exist.
    #[error("no account of this profile has the short server id {0}")]
    ServerUnknown(ShortServerId),
    /// Several Servers, and no rights.
    #[error(
        "with more than one Server a Client needs access rights (object 2) for every instance; without, only its own account is open to each"
    )]
    NoRights,
    /// Rights for one Server.
    #[error("with one Server access rights mean nothing: it may do everything")]
    RightsForOne,
    /// What may never be removed.
    #[error("{0} cannot be removed from a Client")]
    NeverRemoved(Path),
    /// Resources are not removed.
    #[error("{0} cannot be removed: objects and instances can")]
    NotRemovable(Path),
}

impl Profile {
    /// What is wrong with this profile, against these definitions. One without faults can be
    /// used.
    #[must_use]
    pub fn check(&self, registry: &Registry) -> Findings {
        let mut check = Check {
            registry,
            findings: Findings::default(),
            taken: BTreeSet::new(),
        };
        check.whole(self);
        check.servers(self);
        check.access(self);
        check.instances(self);
        check.removal(&self.removal);
        check.findings
    }
}

struct Check<'a> {
    registry: &'a Registry,
    findings: Findings,
    /// Instances with a number of their own.
    taken: BTreeSet<(ObjectId, ObjectInstanceId)>,
}

impl Check<'_> {
    fn fault(&mut self, place: impl Into<String>, wrong: Wrong) {
        let place = place.into();
        self.findings.faults.push(Finding { place, wrong });
    }

    fn advise(&mut self, place: impl Into<String>, wrong: Wrong) {
        let place = place.into();
        self.findings.advice.push(Finding { place, wrong });
    }

    fn whole(&mut self, profile: &Profile) {
        if let Selector::Pattern(pattern) = &profile.selector
            && !(1..=PATTERN_BYTES_MAX).contains(&pattern.len())
        {
            self.fault("pattern", Wrong::Pattern);
        }
        let removes = profile.removal != Removal::Nothing;
        if profile.servers.is_empty() && removes {
            self.fault("servers", Wrong::NoServer);
        }
        let limits = [
            ("servers", profile.servers.len(), PROFILE_SERVERS_MAX),
            ("access", profile.access.len(), PROFILE_INSTANCES_MAX),
            ("instances", profile.instances.len(), PROFILE_INSTANCES_MAX),
        ];
        for (place, count, max) in limits {
            if count > max {
                self.fault(place, Wrong::TooMany { count, max });
            }
        }
    }

    fn servers(&mut self, profile: &Profile) {
        let one_client = matches!(profile.selector, Selector::Endpoint(_));
        let mut ids = BTreeSet::new();
        for (index, account) in profile.servers.iter().enumerate() {
            let at = |field: &str| format!("servers[{index}].{field}");
            if !ids.insert(account.short_server_id) {
                self.fault(
                    at("short_server_id"),
                    Wrong::SameServer(account.short_server_id),
                );
            }
            self.uri(&at("uri"), &account.uri, &account.keys);
            self.keys(&at("keys"), &account.keys, one_client);
            if account.lifetime_s == 0 {
                self.fault(at("lifetime_s"), Wrong::NoLifetime);
            }
            if let (Some(pmin_s), Some(pmax_s)) = (account.default_pmin_s, account.default_pmax_s)
                && pmin_s > pmax_s
            {
                self.fault(at("default_pmin_s"), Wrong::Periods { pmin_s, pmax_s });
            }
            let security = account.security_instance;
            self.number(&at("security_instance"), ObjectId(0), security);
            self.number(&at("server_instance"), ObjectId(1), account.server_instance);
            let own = [0, 1, 2, 3, 4, 5, 10, 11, 12];
            let place = at("security_resources");
            self.resources(&place, ObjectId(0), &account.security_resources, &own);
            let own = [0, 1, 2, 3, 5, 6, 7];
            let place = at("server_resources");
            self.resources(&place, ObjectId(1), &account.server_resources, &own);
        }
        if let Some(account) = &profile.bootstrap_server {
            self.uri("bootstrap_server.uri", &account.uri, &account.keys);
            self.keys("bootstrap_server.keys", &account.keys, one_client);
            self.number("bootstrap_server.instance", ObjectId(0), account.instance);
        }
    }

    fn uri(&mut self, place: &str, uri: &str, keys: &Keys) {
        let scheme = match parse_uri(uri) {
            Ok(scheme) => scheme,
            Err(why) => {
                let uri = uri.into();
                return self.fault(place, Wrong::Uri { uri, why });
            }
        };
        let wanted = match (scheme, keys) {
            ("coap", Keys::NoSec) => return,
            ("coap", _) => "no security",
            (_, Keys::NoSec) => "a pre-shared key, a raw public key or a certificate",
            _ => return,
        };
        let mode = keys.name();
        self.fault(
            place,
            Wrong::SchemeAgainstMode {
                scheme,
                wanted,
                mode,
            },
        );
    }

    fn keys(&mut self, place: &str, keys: &Keys, one_client: bool) {
        match keys {
            Keys::NoSec => {}
            Keys::PreSharedKey { identity, key } => {
                self.pre_shared(place, identity.as_deref(), key.as_ref(), one_client);
            }
            Keys::RawPublicKey { client, server } => {
                self.pair(place, "public key", client.as_ref(), server.as_deref());
                self.shared(place, client.is_some(), one_client);
            }
            Keys::Certificate { client, server } => {
                self.pair(place, "certificate", client.as_ref(), server.as_deref());
                self.shared(place, client.is_some(), one_client);
            }
        }
    }

    fn shared(&mut self, place: &str, given: bool, one_client: bool) {
        if given && !one_client {
            self.advise(place, Wrong::KeyShared);
        }
    }

    fn pre_shared(
        &mut self,
        place: &str,
        identity: Option<&str>,
        key: Option<&Secret>,
        one_client: bool,
    ) {
        match (identity, key) {
            (None, Some(_)) => self.fault(format!("{place}.identity"), Wrong::NoIdentity),
            (Some(identity), key) => {
                let bytes = identity.replace(ENDPOINT_VARIABLE, "").len();
                let named = identity.contains(ENDPOINT_VARIABLE);
                if bytes > IDENTITY_BYTES_MAX || bytes == 0 && !named {
                    self.fault(format!("{place}.identity"), Wrong::IdentityLength { bytes });
                } else if !named && !one_client && key.is_none() {
                    // Each new key would shut out the Client before.
                    self.fault(format!("{place}.identity"), Wrong::IdentityShared);
                }
            }
            (None, None) => {}
        }
        let Some(key) = key else { return };
        let bytes = key.as_bytes().len();
        if !(1..=KEY_BYTES_MAX).contains(&bytes) {
            self.fault(format!("{place}.key"), Wrong::KeyLength { bytes });
        } else if bytes < KEY_BYTES_GOOD {
            self.advise(format!("{place}.key"), Wrong::KeyShort { bytes });
        }
        self.shared(place, true, one_client);
    }

    fn pair(
        &mut self,
        place: &str,
        what: &'static str,
        client: Option<&KeyPair>,
        server: Option<&[u8]>,
    ) {
        if let Some(client) = client {
            if !is_der(&client.public) {
                self.fault(format!("{place}.client.public"), Wrong::NotDer { what });
            }
            if !is_der(client.private.as_bytes()) {
                let what = "private key";
                self.fault(format!("{place}.client.private"), Wrong::NotDer { what });
            }
        }
        if server.is_some_and(|server| !is_der(server)) {
            self.fault(format!("{place}.server"), Wrong::NotDer { what });
        }
    }

    fn number(&mut self, place: &str, object: ObjectId, number: Option<ObjectInstanceId>) {
        let Some(number) = number else { return };
        if number.0 == dunlin_lwm2m::MAX_ID {
            self.fault(place, Wrong::ReservedInstance(number.0));
        } else if !self.taken.insert((object, number)) {
            let path = Path::instance(object, number);
            self.fault(place, Wrong::SameInstance(path));
        }
    }

    fn access(&mut self, profile: &Profile) {
        let known = |id: ShortServerId| {
            profile.removal == Removal::Nothing
                || profile
                    .servers
                    .iter()
                    .any(|account| account.short_server_id == id)
        };
        for (index, access) in profile.access.iter().enumerate() {
            let place = format!("access[{index}]");
            let server = match access.target {
                AccessTarget::Server(server) => Some(server),
                AccessTarget::Object(_) | AccessTarget::Instance(..) => None,
            };
            let named = access.rights.iter().filter_map(|(server, _)| *server);
            for id in named.chain(access.owner).chain(server) {
                if !known(id) {
                    self.fault(place.clone(), Wrong::ServerUnknown(id));
                }
            }
            let on_object = matches!(access.target, AccessTarget::Object(_));
            for (_, rights) in &access.rights {
                if *rights > RIGHTS {
                    self.fault(place.clone(), Wrong::Rights(*rights));
                } else if on_object && rights & !CREATE != 0 || !on_object && rights & CREATE != 0 {
                    self.fault(place.clone(), Wrong::CreateRight);
                }
            }
            self.number(&format!("{place}.instance"), ObjectId(2), access.instance);
        }
        match (profile.servers.len(), profile.access.is_empty()) {
            (2.., true) => self.advise("access", Wrong::NoRights),
            (1, false) => self.advise("access", Wrong::RightsForOne),
            _ => {}
        }
    }

    fn instances(&mut self, profile: &Profile) {
        for (index, instance) in profile.instances.iter().enumerate() {
            let place = format!("instances[{index}]");
            let instead = match instance.object.0 {
                0 => "servers or bootstrap_server",
                1 => "servers",
                2 => "access",
                _ => "",
            };
            if !instead.is_empty() {
                let object = instance.object.0;
                self.fault(place, Wrong::OwnObject { object, instead });
                continue;
            }
            let definition = self.registry.latest(instance.object).cloned();
            let number = match (&definition, instance.instance) {
                (Some(definition), number) if !definition.multiple => {
                    if number.is_some_and(|number| number.0 != 0) {
                        let name = definition.name.to_string();
                        self.fault(place.clone(), Wrong::SingleInstance { name });
                    }
                    Some(ObjectInstanceId(0))
                }
                (_, number) => number,
            };
            self.number(&format!("{place}.instance"), instance.object, number);
            self.resources(&place, instance.object, &instance.resources, &[]);
            if let Some(definition) = definition {
                self.missing(&place, &definition, &instance.resources);
            } else {
                self.advise(place, Wrong::ObjectUnknown(instance.object));
            }
        }
    }

    /// Resources that stand for themselves; `own` are written from fields.
    fn resources(&mut self, place: &str, object: ObjectId, resources: &[Resource], own: &[u16]) {
        let definition = self.registry.latest(object).cloned();
        let mut seen = BTreeSet::new();
        for resource in resources {
            let id = resource.id.0;
            let place = format!("{place}.{id}");
            if own.contains(&id) {
                self.fault(place, Wrong::OwnResource(id));
            } else if !seen.insert(id) {
                self.fault(place, Wrong::SameResource(id));
            } else if let Some(definition) = &definition {
                match definition.resource(resource.id) {
                    Some(defined) => self.resource(&place, defined, resource),
                    None => {
                        let object = definition.name.to_string();
                        self.fault(place, Wrong::ResourceUnknown { object, id });
                    }
                }
            }
        }
    }

    fn resource(&mut self, place: &str, defined: &ResourceDefinition, resource: &Resource) {
        let name = defined.name.to_string();
        if defined.value_type == ValueType::None {
            return self.fault(place, Wrong::NoValue { name });
        }
        let values: Vec<&Value> = match &resource.value {
            ResourceValue::Single(_) if defined.multiple => {
                let holds = "several values, each with its number";
                return self.fault(place, Wrong::Multiplicity { name, holds });
            }
            ResourceValue::Multiple(_) if !defined.multiple => {
                let holds = "one value";
                return self.fault(place, Wrong::Multiplicity { name, holds });
            }
            ResourceValue::Single(value) => vec![value],
            ResourceValue::Multiple(values) => values.values().collect(),
        };
        let range = defined.range();
        for value in values {
            let (wanted, given) = (defined.value_type, value.value_type());
            if wanted != given {
                let name = name.clone();
                self.fault(
                    place,
                    Wrong::Type {
                        name,
                        wanted,
                        given,
                    },
                );
            } else if !range.contains(value) {
                let (name, error) = (name.clone(), format!("not within {}", defined.range_text));
                self.fault(place, Wrong::Range { name, error });
            }
        }
    }

    /// Only what holds a value and can be written here: what a Client measures is its own.
    fn missing(&mut self, place: &str, definition: &ObjectDefinition, resources: &[Resource]) {
        let given: BTreeSet<_> = resources.iter().map(|resource| resource.id).collect();
        let mandatory = definition.resources.iter().filter(|resource| {
            let settable = resource.operations.write || !resource.operations.read;
            resource.mandatory && settable && resource.value_type != ValueType::None
        });
        for resource in mandatory.filter(|resource| !given.contains(&resource.id)) {
            let (name, id) = (resource.name.to_string(), resource.id.0);
            self.advise(place, Wrong::Missing { name, id });
        }
    }

    fn removal(&mut self, removal: &Removal) {
        let Removal::Paths(paths) = removal else {
            return;
        };
        for (index, path) in paths.iter().enumerate() {
            let place = format!("remove[{index}]");
            if path.ids().first() == Some(&3) {
                self.fault(place, Wrong::NeverRemoved(*path));
            } else if path.resource_id().is_some() {
                self.fault(place, Wrong::NotRemovable(*path));
            }
        }
    }
}

/// The scheme of a URI of a Server, `coap` or `coaps`, or what is wrong with it (RFC 7252 §6).
fn parse_uri(uri: &str) -> Result<&'static str, &'static str> {
    if uri.len() > URI_BYTES_MAX {
        return Err("it has more than 255 bytes");
    }
    let (scheme, rest) = match (uri.strip_prefix("coap://"), uri.strip_prefix("coaps://")) {
        (Some(rest), _) => ("coap", rest),
        (_, Some(rest)) => ("coaps", rest),
        (None, None) => return Err("it begins with neither coap:// nor coaps://"),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@']) {
        return Err("it has no path, query or user");
    }
    if !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its host is written in ASCII characters");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| "there is no IPv6 address in the brackets")?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err("behind the bracket comes a port or nothing"),
            }
        }
        None => match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err("an IPv6 address has brackets"),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    let valid = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port != 0)
    };
    if port.is_some_and(|port| !valid(port)) {
        return Err("its port is no number from 1 to 65535");
    }
    Ok(scheme)
}

/// Whether these bytes are one DER SEQUENCE, as keys and certificates are. What is in it is for
/// those to judge who use it.
fn is_der(bytes: &[u8]) -> bool {
    if bytes.len() > DER_BYTES_MAX {
        return false;
    }
    let (header, length) = match bytes {
        [0x30, length @ 0..=0x7f, ..] => (2, usize::from(*length)),
        [0x30, 0x81, length @ 0x80..=0xff, ..] => (3, usize::from(*length)),
        [0x30, 0x82, high @ 1..=0xff, low, ..] => (4, usize::from(*high) << 8 | usize::from(*low)),
        _ => return false,
    };
    length > 0 && bytes.len() == header + length
}

#[cfg(test)]
mod tests {
    use super::super::profile::{AccessControl, BootstrapAccount, InstanceData, ServerAccount};
    use super::super::provision::tests::{ssid, with_keys};
    use super::*;
    use dunlin_lwm2m::EndpointName;

    fn made() -> Keys {
        Keys::PreSharedKey {
            identity: None,
            key: None,
        }
    }

    fn given(bytes: usize) -> Keys {
        Keys::PreSharedKey {
            identity: Some("{endpoint}".into()),
            key: Some(Secret::new(vec![7; bytes])),
        }
    }

    fn faults(profile: &Profile) -> Vec<String> {
        let findings = profile.check(&Registry::bundled());
        findings.faults.iter().map(Finding::to_string).collect()
    }

    fn advice(profile: &Profile) -> Vec<Wrong> {
        let findings = profile.check(&Registry::bundled());
        assert_eq!(findings.faults, [], "it can be used");
        let advice = findings.advice.into_iter();
        advice.map(|finding| finding.wrong).collect()
    }

    #[test]
    fn a_usual_profile_has_nothing_wrong() {
        assert_eq!(
            with_keys(made()).check(&Registry::bundled()),
            Findings::default()
        );
    }

    #[test]
    fn uris_are_read_to_the_end() {
        for (uri, good) in [
            ("coaps://a", true),
            ("coaps://a.example:5684/", true),
            ("coaps://[2001:db8::1]:5684", true),
            ("coaps://[::1]", true),
            ("coaps://127.0.0.1:1", true),
            ("http://a", false),
            ("coaps:a", false),
            ("coaps://", false),
            ("coaps://:5684", false),
            ("coaps://a:0", false),
            ("coaps://a:65536", false),
            ("coaps://a:+1", false),
            ("coaps://a:", false),
            ("coaps://::1", false),
            ("coaps://[::1", false),
            ("coaps://[::1]x", false),
            ("coaps://[a]", false),
            ("coaps://u@a", false),
            ("coaps://a/rd", false),
            ("coaps://a b", false),
            ("coaps://ü", false),
        ] {
            assert_eq!(parse_uri(uri).is_ok(), good, "{uri}");
        }
        let mut profile = with_keys(made());
        profile.servers[0].uri = format!("coaps://{}", "a".repeat(300));
        assert!(faults(&profile)[0].starts_with("servers[0].uri: "));
    }

    #[test]
    fn ts_e_1_scheme_and_security_mode_go_together() {
        let mut profile = with_keys(Keys::NoSec);
        assert_eq!(
            faults(&profile),
            [
                "servers[0].uri: coaps:// goes with a pre-shared key, a raw public key or a certificate, and the security mode is nosec"
            ]
        );
        profile.servers[0].uri = "coap://server.example".into();
        assert_eq!(faults(&profile), Vec::<String>::new());
        profile.servers[0].keys = made();
        assert_eq!(
            faults(&profile),
            ["servers[0].uri: coap:// goes with no security, and the security mode is psk"]
        );
    }

    #[test]
    fn ts_7_1_7_keys_have_their_sizes() {
        assert_eq!(
            faults(&with_keys(given(65))),
            ["servers[0].keys.key: the key has 65 bytes; 1 to 64 are possible"]
        );
        assert_eq!(faults(&with_keys(given(0))).len(), 1);
        assert_eq!(
            advice(&with_keys(given(8))),
            [Wrong::KeyShort { bytes: 8 }, Wrong::KeyShared]
        );
        let mut for_one = with_keys(given(16));
        for_one.selector = Selector::Endpoint(EndpointName::new("a").unwrap());
        assert_eq!(advice(&for_one), []);
        for identity in [
            Some(String::new()),
            Some("x".repeat(129)),
            Some("x".into()),
            None,
        ] {
            let key = identity.is_none().then(|| Secret::new([0; 16]));
            let profile = with_keys(Keys::PreSharedKey { identity, key });
            assert_eq!(faults(&profile).len(), 1, "{profile:?}");
        }
        let pair = |public: &[u8], private: &[u8]| Keys::RawPublicKey {
            client: Some(KeyPair {
                public: public.to_vec(),
                private: Secret::new(private),
            }),
            server: Some(vec![0x30, 2, 1, 1]),
        };
        assert_eq!(
            faults(&with_keys(pair(&[0x30, 1, 0], &[0x30, 1, 0]))),
            Vec::<String>::new()
        );
        assert_eq!(
            faults(&with_keys(pair(b"-----BEGIN", &[0x30, 3, 0]))),
            [
                "servers[0].keys.client.public: this is no public key in DER",
                "servers[0].keys.client.private: this is no private key in DER"
            ]
        );
    }

    #[test]
    fn ts_5_2_2_accounts_do_not_collide() {
        let mut profile = with_keys(made());
        let mut other = ServerAccount::new(ssid(101), "coaps://b", made());
        other.security_instance = Some(ObjectInstanceId(3));
        other.lifetime_s = 0;
        other.default_pmin_s = Some(60);
        other.default_pmax_s = Some(30);
        profile.servers.push(other);
        profile.bootstrap_server = Some(BootstrapAccount {
            uri: "coaps://bs".into(),
            keys: made(),
            hold_off_s: None,
            account_timeout_s: None,
            instance: Some(ObjectInstanceId(3)),
        });
        assert_eq!(
            faults(&profile),
            [
                "servers[1].short_server_id: the short server id 101 is in use by another account of this profile",
                "servers[1].lifetime_s: a lifetime of 0 s: the registration would end at once",
                "servers[1].default_pmin_s: the default minimum period (60 s) is longer than the maximum (30 s)",
                "bootstrap_server.instance: another part of this profile is written to /0/3",
            ]
        );
        profile.servers.clear();
        profile.bootstrap_server = None;
        assert_eq!(
            faults(&profile),
            ["servers: no Server account: the Client would have nothing to register with"]
        );
        profile.removal = Removal::Nothing;
        assert_eq!(faults(&profile), Vec::<String>::new());
    }

    #[test]
    fn ts_7_3_rights_fit_their_target_and_servers() {
        let mut profile = with_keys(made());
        let mut other = ServerAccount::new(ssid(102), "coaps://b", made());
        other.server_instance = Some(ObjectInstanceId(1));
        profile.servers.push(other);
        assert_eq!(advice(&profile), [Wrong::NoRights]);
        let access = |target, rights: &[(Option<ShortServerId>, u8)], owner| AccessControl {
            target,
            owner,
            rights: rights.to_vec(),
            instance: None,
        };
        profile.access = vec![
            access(
                AccessTarget::Object(ObjectId(3303)),
                &[(Some(ssid(101)), 16)],
                None,
            ),
            access(
                AccessTarget::Server(ssid(102)),
                &[(None, 15)],
                Some(ssid(102)),
            ),
        ];
        assert_eq!(advice(&profile), []);
        profile.access = vec![
            access(AccessTarget::Object(ObjectId(3303)), &[(None, 17)], None),
            access(
                AccessTarget::Instance(ObjectId(3), ObjectInstanceId(0)),
                &[(None, 16), (Some(ssid(9)), 32)],
                Some(ssid(8)),
            ),
        ];
        let found = profile.check(&Registry::bundled()).faults;
        let found: Vec<_> = found.into_iter().map(|finding| finding.wrong).collect();
        assert_eq!(
            found,
            [
                Wrong::CreateRight,
                Wrong::ServerUnknown(ssid(9)),
                Wrong::ServerUnknown(ssid(8)),
                Wrong::CreateRight,
                Wrong::Rights(32),
            ]
        );
    }

    #[test]
    fn instances_are_held_against_their_definitions() {
        let mut profile = with_keys(made());
        let instance = |object: u16, number: Option<u16>, resources| InstanceData {
            object: ObjectId(object),
            instance: number.map(ObjectInstanceId),
            resources,
        };
        let text = |id: u16, text: &str| Resource::single(id, Value::String(text.into()));
        profile.instances = vec![
            instance(1, None, vec![]),
            instance(3, Some(1), vec![]),
            instance(
                3,
                None,
                vec![
                    text(14, "+01:00"),
                    text(13, "noon"),
                    text(99, ""),
                    text(14, ""),
                    text(4, "now"),
                ],
            ),
        ];
        assert_eq!(
            faults(&profile),
            [
                "instances[0]: instances of object 1 are written as servers, so that they fit together",
                "instances[1]: Device has one instance, number 0",
                "instances[2].instance: another part of this profile is written to /3/0",
                "instances[2].13: Current Time is of type time, and the value of type string",
                "instances[2].99: Device has no resource 99",
                "instances[2].14: resource 14 is given twice",
                "instances[2].4: Reboot is executed and holds no value",
            ]
        );
        profile.instances = vec![instance(30_000, None, vec![text(1, "x")])];
        assert_eq!(advice(&profile), [Wrong::ObjectUnknown(ObjectId(30_000))]);
        profile.instances.clear();
        profile.servers[0].security_resources = vec![text(5, "key")];
        profile.servers[0].server_resources = vec![Resource::single(5, Value::Integer(1))];
        assert_eq!(faults(&profile).len(), 2);
        profile.servers[0].security_resources =
            vec![Resource::single(6, Value::Integer(300)), text(9, "+4917")];
        profile.servers[0].server_resources.clear();
        assert_eq!(
            faults(&profile),
            ["servers[0].security_resources.6: SMS Security Mode: not within 0..255"]
        );
    }

    #[test]
    fn ts_5_2_7_5_the_device_is_never_removed() {
        let mut profile = with_keys(made());
        let paths = ["/3", "/3/0", "/5/0/1", "/1", "/2/0"];
        profile.removal = Removal::Paths(paths.map(|path| path.parse().unwrap()).to_vec());
        assert_eq!(
            faults(&profile),
            [
                "remove[0]: /3 cannot be removed from a Client",
                "remove[1]: /3/0 cannot be removed from a Client",
                "remove[2]: /5/0/1 cannot be removed: objects and instances can",
            ]
        );
    }

    #[test]
    fn der_is_a_sequence_and_nothing_behind_it() {
        let long = |header: &[u8], length: usize| [header, &vec![0; length]].concat();
        assert!(is_der(&long(&[0x30, 0x59], 0x59)));
        assert!(is_der(&long(&[0x30, 0x81, 0x80], 0x80)));
        assert!(is_der(&long(&[0x30, 0x82, 1, 2], 0x102)));
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 0],
            &[0x30, 2, 1],
            &[0x30, 1, 1, 1],
            &[0x30, 0x81, 1, 0],
            &[0x31, 1, 0],
        ] {
            assert!(!is_der(bad), "{bad:02x?}");
        }
    }
}
