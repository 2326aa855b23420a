//! Profiles of the Bootstrap-Server between JSON and their types. Keys go in and never come out: where a profile holds one,
//! the view says so and no more. What is wrong with a profile as a whole is found by
//! [`dunlin_server::bootstrap::Profile::check`], with the same names of places as here.

use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{
    EndpointName, ObjectId, ObjectInstanceId, Path, Registry, Resource, ShortServerId,
};
use dunlin_server::bootstrap::{
    AccessControl, AccessTarget, BootstrapAccount, InstanceData, KeyPair, Keys, Profile,
    ProfileName, Removal, Secret, Selector, ServerAccount,
};
use serde_json::{Map, Value as Json, json};
use utoipa::ToSchema;

use crate::credential::{Key, bytes_of, der_of, fingerprint, fingerprint_text};
use crate::error::{Code, Problem};
use crate::extract::excerpt;
use crate::tree::{self, Members};

/// What the Bootstrap-Server writes, and to whom.
#[derive(ToSchema)]
#[schema(as = Profile, example = json!({"pattern": "lamp-*", "servers": [{"short_server_id": 1, "uri": "coaps://lwm2m.example.com", "keys": {"mode": "psk"}}]}))]
#[allow(
    dead_code,
    reason = "describes the body; it is read member by member for exact problems"
)]
pub(crate) struct ProfileBody {
    /// For this one Client. Without `endpoint` and `pattern` it is for every Client that no other profile is for.
    endpoint: Option<String>,
    /// For the Clients whose whole name fits: `*` stands for any characters, `?` for one.
    pattern: Option<String>,
    /// Whether the Client is first asked what it has; true without it.
    discover: Option<bool>,
    /// What is removed first: `accounts` (without it), `everything`, `nothing`, or a list of paths.
    remove: Option<Json>,
    /// The Servers that the Client shall register with.
    servers: Vec<ServerBody>,
    /// Another Bootstrap-Server in the place of the one that the Client has.
    bootstrap_server: Option<BootstrapServerBody>,
    /// Who may do what at the Client (Object 2).
    access: Option<Vec<AccessBody>>,
    /// Instances of any other Object.
    instances: Option<Vec<InstanceBody>>,
}

/// A Server that the Client shall register with.
#[derive(ToSchema)]
#[schema(as = ProfileServer)]
#[allow(dead_code, reason = "describes the body")]
struct ServerBody {
    short_server_id: u16,
    /// `coap://host[:port]` or `coaps://host[:port]`
    uri: String,
    keys: KeysBody,
    /// Lifetime of the registration in seconds; 86400 without it.
    lifetime_s: Option<u32>,
    /// `U` without it.
    binding: Option<String>,
    /// Whether notifications are kept while the Server cannot be reached; true without it.
    notification_storing: Option<bool>,
    default_pmin_s: Option<u32>,
    default_pmax_s: Option<u32>,
    disable_timeout_s: Option<u32>,
    /// The number of the instance of Object 0; chosen without it.
    security_instance: Option<u16>,
    /// The number of the instance of Object 1; chosen without it.
    server_instance: Option<u16>,
    /// Further Resources of the instance of Object 0.
    security_resources: Option<Vec<Json>>,
    /// Further Resources of the instance of Object 1.
    server_resources: Option<Vec<Json>>,
}

/// Another Bootstrap-Server for the Client.
#[derive(ToSchema)]
#[schema(as = ProfileBootstrapServer)]
#[allow(dead_code, reason = "describes the body")]
struct BootstrapServerBody {
    uri: String,
    keys: KeysBody,
    hold_off_s: Option<u32>,
    account_timeout_s: Option<u32>,
    /// The number of its instance of Object 0; that of the account the Client has without it.
    instance: Option<u16>,
}

/// How both sides prove who they are. What is left out is made for every Client (`key`, `client`), or is this Server's own
/// (`server`).
#[derive(ToSchema)]
#[schema(as = ProfileKeys)]
#[allow(dead_code, reason = "describes the body")]
struct KeysBody {
    /// `nosec`, `psk`, `rpk` or `x509`
    mode: String,
    /// Of `psk`; `{endpoint}` in it stands for the endpoint name.
    identity: Option<String>,
    /// Of `psk`: hexadecimal or base64.
    key: Option<String>,
    /// Of `rpk` and `x509`: the Client's pair.
    client: Option<PairBody>,
    /// Of `rpk` and `x509`: the Server's public key or certificate, PEM or base64.
    server: Option<String>,
}

/// A public key or certificate, and the private key.
#[derive(ToSchema)]
#[schema(as = ProfileKeyPair)]
#[allow(dead_code, reason = "describes the body")]
struct PairBody {
    public: String,
    private: String,
}

/// An instance of Object 2.
#[derive(ToSchema)]
#[schema(as = ProfileAccess)]
#[allow(dead_code, reason = "describes the body")]
struct AccessBody {
    /// `/3/0`, `/3303` (creating instances), or `{"server": 1}` for the instance of Object 1 of that Server.
    target: Json,
    /// Short Server ID of who may change this; null leaves it to the Bootstrap-Server.
    owner: Option<u16>,
    /// By Short Server ID, or `default`: the sum of Read 1, Write 2, Execute 4, Delete 8, Create 16.
    rights: std::collections::BTreeMap<String, u8>,
    instance: Option<u16>,
}

/// An instance of any other Object.
#[derive(ToSchema)]
#[schema(as = ProfileInstance)]
#[allow(dead_code, reason = "describes the body")]
struct InstanceBody {
    object: u16,
    /// Chosen without it.
    instance: Option<u16>,
    /// As in a Write.
    resources: Vec<Json>,
}

fn wrong(field: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::ProfileInvalid, detail).at_field(field)
}

/// Typed members of one part of the profile.
struct Part<'a> {
    members: Members<'a>,
    at: String,
}

impl<'a> Part<'a> {
    fn of(json: &'a Json, at: &str) -> Result<Self, Problem> {
        let members = Members::of(json, at)?;
        let at = at.to_owned();
        Ok(Self { members, at })
    }

    fn field(&self, name: &str) -> String {
        if self.at.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.at)
        }
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Json> {
        self.members.take(name).filter(|json| !json.is_null())
    }

    fn text(&mut self, name: &'static str) -> Result<Option<&'a str>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(&self.field(name), "Expected a string.")),
        }
    }

    fn bool(&mut self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Bool(bool)) => Ok(Some(*bool)),
            Some(_) => Err(wrong(&self.field(name), "Expected true or false.")),
        }
    }

    fn number<T: TryFrom<u64>>(&mut self, name: &'static str) -> Result<Option<T>, Problem> {
        let Some(json) = self.take(name) else {
            return Ok(None);
        };
        let number = json.as_u64().and_then(|number| T::try_from(number).ok());
        let bits = 8 * size_of::<T>();
        number.map(Some).ok_or_else(|| {
            wrong(
                &self.field(name),
                format!("Expected a whole number below 2^{bits}."),
            )
        })
    }

    fn instance(&mut self, name: &'static str) -> Result<Option<ObjectInstanceId>, Problem> {
        Ok(self.number::<u16>(name)?.map(ObjectInstanceId))
    }

    fn server(&mut self, name: &'static str) -> Result<Option<ShortServerId>, Problem> {
        let Some(number) = self.number::<u16>(name)? else {
            return Ok(None);
        };
        let id = ShortServerId::new(number);
        id.map(Some)
            .ok_or_else(|| wrong(&self.field(name), "Expected a number from 1 to 65534."))
    }

    fn list(&mut self, name: &'static str) -> Result<&'a [Json], Problem> {
        match self.take(name) {
            None => Ok(&[]),
            Some(Json::Array(list)) => Ok(list),
            Some(_) => Err(wrong(&self.field(name), "Expected a list.")),
        }
    }

    fn resources(
        &mut self,
        name: &'static str,
        object: ObjectId,
        definitions: &Registry,
    ) -> Result<Vec<Resource>, Problem> {
        let list = self.list(name)?;
        let definition = definitions.latest(object).map(AsRef::as_ref);
        tree::parse_resources(list, &self.field(name), definition)
    }

    fn needed<T>(&self, name: &str, value: Option<T>) -> Result<T, Problem> {
        value.ok_or_else(|| wrong(&self.field(name), "It is missing."))
    }

    fn finish(self) -> Result<(), Problem> {
        self.members.finish()
    }
}

/// Reads a profile.
pub(crate) fn parse(
    name: ProfileName,
    json: &Json,
    definitions: &Registry,
) -> Result<Profile, Problem> {
    let mut part = Part::of(json, "")?;
    let mut profile = Profile::new(name, selector(&mut part)?);
    // What a GET shows besides what a PUT takes.
    part.members.take("name");
    profile.discover = part.bool("discover")?.unwrap_or(true);
    profile.removal = removal(part.take("remove"))?;
    for (number, json) in part.list("servers")?.iter().enumerate() {
        let server = Part::of(json, &format!("servers[{number}]"))?;
        profile.servers.push(server_account(server, definitions)?);
    }
    if let Some(json) = part.take("bootstrap_server") {
        let account = Part::of(json, "bootstrap_server")?;
        profile.bootstrap_server = Some(bootstrap_account(account)?);
    }
    for (number, json) in part.list("access")?.iter().enumerate() {
        let access = Part::of(json, &format!("access[{number}]"))?;
        profile.access.push(access_control(access)?);
    }
    for (number, json) in part.list("instances")?.iter().enumerate() {
        let mut one = Part::of(json, &format!("instances[{number}]"))?;
        let object = one.number::<u16>("object")?;
        let object = ObjectId(one.needed("object", object)?);
        let instance = InstanceData {
            object,
            instance: one.instance("instance")?,
            resources: one.resources("resources", object, definitions)?,
        };
        one.finish()?;
        profile.instances.push(instance);
    }
    part.finish()?;
    Ok(profile)
}

fn selector(part: &mut Part<'_>) -> Result<Selector, Problem> {
    match (part.text("endpoint")?, part.text("pattern")?) {
        (None, None) => Ok(Selector::Default),
        (None, Some(pattern)) => Ok(Selector::Pattern(pattern.to_owned())),
        (Some(name), None) => EndpointName::new(name)
            .map(Selector::Endpoint)
            .map_err(|error| wrong("endpoint", format!("{error}."))),
        (Some(_), Some(_)) => Err(wrong("pattern", "Give endpoint or pattern, not both.")),
    }
}

fn removal(json: Option<&Json>) -> Result<Removal, Problem> {
    let expected = "Expected accounts, everything, nothing, or a list of paths.";
    match json {
        None => Ok(Removal::Accounts),
        Some(Json::String(word)) => match word.as_str() {
            "accounts" => Ok(Removal::Accounts),
            "everything" => Ok(Removal::Everything),
            "nothing" => Ok(Removal::Nothing),
            _ => Err(wrong("remove", expected)),
        },
        Some(Json::Array(list)) => {
            let path = |(number, json): (usize, &Json)| {
                let path = json.as_str().and_then(|text| text.parse::<Path>().ok());
                path.ok_or_else(|| {
                    wrong(
                        &format!("remove[{number}]"),
                        "Expected a path such as /3303.",
                    )
                })
            };
            let paths: Result<Vec<_>, _> = list.iter().enumerate().map(path).collect();
            Ok(Removal::Paths(paths?))
        }
        Some(_) => Err(wrong("remove", expected)),
    }
}

fn server_account(mut part: Part<'_>, definitions: &Registry) -> Result<ServerAccount, Problem> {
    let id = part.server("short_server_id")?;
    let id = part.needed("short_server_id", id)?;
    let uri = part.text("uri")?;
    let uri = part.needed("uri", uri)?;
    let keys = keys(&mut part)?;
    let mut account = ServerAccount::new(id, uri, keys);
    if let Some(lifetime_s) = part.number("lifetime_s")? {
        account.lifetime_s = lifetime_s;
    }
    if let Some(text) = part.text("binding")? {
        account.binding = Binding::parse(text)
            .ok_or_else(|| wrong(&part.field("binding"), "Expected U, UQ, S, SQ, US or UQS."))?;
    }
    if let Some(storing) = part.bool("notification_storing")? {
        account.notification_storing = storing;
    }
    account.default_pmin_s = part.number("default_pmin_s")?;
    account.default_pmax_s = part.number("default_pmax_s")?;
    account.disable_timeout_s = part.number("disable_timeout_s")?;
    account.security_instance = part.instance("security_instance")?;
    account.server_instance = part.instance("server_instance")?;
    account.security_resources = part.resources("security_resources", ObjectId(0), definitions)?;
    account.server_resources = part.resources("server_resources", ObjectId(1), definitions)?;
    part.finish()?;
    Ok(account)
}

fn bootstrap_account(mut part: Part<'_>) -> Result<BootstrapAccount, Problem> {
    let uri = part.text("uri")?;
    let account = BootstrapAccount {
        uri: part.needed("uri", uri)?.to_owned(),
        keys: keys(&mut part)?,
        hold_off_s: part.number("hold_off_s")?,
        account_timeout_s: part.number("account_timeout_s")?,
        instance: part.instance("instance")?,
    };
    part.finish()?;
    Ok(account)
}

fn keys(part: &mut Part<'_>) -> Result<Keys, Problem> {
    let json = part.take("keys");
    let json = part.needed("keys", json)?;
    let mut keys = Part::of(json, &part.field("keys"))?;
    // What a GET shows besides what a PUT takes.
    keys.members.take("made");
    let mode = keys.text("mode")?;
    let read = match mode {
        Some("nosec") => Keys::NoSec,
        Some("psk") => {
            let identity = keys.text("identity")?.map(str::to_owned);
            let key = match keys.text("key")? {
                None => None,
                Some(text) => {
                    let key =
                        Key::parse(text).map_err(|detail| wrong(&keys.field("key"), detail))?;
                    Some(Secret::new(key.expose()))
                }
            };
            Keys::PreSharedKey { identity, key }
        }
        Some("rpk") => Keys::RawPublicKey {
            client: pair(&mut keys, "PUBLIC KEY")?,
            server: public(&mut keys, "server", "PUBLIC KEY")?,
        },
        Some("x509") => Keys::Certificate {
            client: pair(&mut keys, "CERTIFICATE")?,
            server: public(&mut keys, "server", "CERTIFICATE")?,
        },
        _ => {
            let field = keys.field("mode");
            return Err(wrong(&field, "Expected nosec, psk, rpk or x509."));
        }
    };
    keys.finish()?;
    Ok(read)
}

fn public(
    part: &mut Part<'_>,
    name: &'static str,
    label: &str,
) -> Result<Option<Vec<u8>>, Problem> {
    let Some(text) = part.text(name)? else {
        return Ok(None);
    };
    let der = bytes_of(text, label).map_err(|detail| wrong(&part.field(name), detail))?;
    Ok(Some(der))
}

fn pair(part: &mut Part<'_>, label: &str) -> Result<Option<KeyPair>, Problem> {
    let Some(json) = part.take("client") else {
        return Ok(None);
    };
    let mut pair = Part::of(json, &part.field("client"))?;
    let der = public(&mut pair, "public", label)?;
    let der = pair.needed("public", der)?;
    let text = pair.text("private")?;
    let text = pair.needed("private", text)?;
    let label = if text.contains("EC PRIVATE KEY") {
        "EC PRIVATE KEY"
    } else {
        "PRIVATE KEY"
    };
    let private = der_of(text, label).map_err(|detail| wrong(&pair.field("private"), detail))?;
    pair.finish()?;
    Ok(Some(KeyPair {
        public: der,
        private: Secret::new(private.as_slice()),
    }))
}

fn access_control(mut part: Part<'_>) -> Result<AccessControl, Problem> {
    let json = part.take("target");
    let json = part.needed("target", json)?;
    let field = part.field("target");
    let target = match json {
        Json::String(text) => {
            let path = text.parse::<Path>().ok();
            let target = path.and_then(|path| match path.ids() {
                [object] => Some(AccessTarget::Object(ObjectId(*object))),
                [object, instance] => Some(AccessTarget::Instance(
                    ObjectId(*object),
                    ObjectInstanceId(*instance),
                )),
                _ => None,
            });
            target.ok_or_else(|| wrong(&field, "Expected the path of an Object or an instance."))?
        }
        _ => {
            let mut about = Part::of(json, &field)?;
            let id = about.server("server")?;
            let id = about.needed("server", id)?;
            about.finish()?;
            AccessTarget::Server(id)
        }
    };
    let owner = part.server("owner")?;
    let mut rights = Vec::new();
    let given = part.take("rights").and_then(Json::as_object);
    for (who, json) in given.into_iter().flatten() {
        let field = format!("{}.{}", part.field("rights"), excerpt(who));
        let id = match who.as_str() {
            "default" => None,
            text => Some(
                text.parse::<u16>()
                    .ok()
                    .and_then(ShortServerId::new)
                    .ok_or_else(|| wrong(&field, "Expected a Short Server ID or default."))?,
            ),
        };
        let sum = json.as_u64().and_then(|sum| u8::try_from(sum).ok());
        rights.push((
            id,
            sum.ok_or_else(|| wrong(&field, "Expected a number from 0 to 31."))?,
        ));
    }
    let instance = part.instance("instance")?;
    part.finish()?;
    Ok(AccessControl {
        target,
        owner,
        rights,
        instance,
    })
}

/// A profile as it is shown: as it was put, without its keys.
pub(crate) fn view(profile: &Profile, definitions: &Registry) -> Json {
    let mut view = Map::new();
    view.insert("name".into(), profile.name.as_str().into());
    match &profile.selector {
        Selector::Default => {}
        Selector::Endpoint(name) => drop(view.insert("endpoint".into(), name.as_str().into())),
        Selector::Pattern(pattern) => {
            drop(view.insert("pattern".into(), pattern.as_str().into()));
        }
    }
    view.insert("discover".into(), profile.discover.into());
    let remove = match &profile.removal {
        Removal::Accounts => json!("accounts"),
        Removal::Everything => json!("everything"),
        Removal::Nothing => json!("nothing"),
        Removal::Paths(paths) => paths.iter().map(ToString::to_string).collect(),
    };
    view.insert("remove".into(), remove);
    let servers = profile.servers.iter();
    let servers = servers.map(|account| server_view(account, definitions));
    view.insert("servers".into(), servers.collect());
    if let Some(account) = &profile.bootstrap_server {
        let mut shown = json!({"uri": account.uri, "keys": keys_view(&account.keys)});
        put(&mut shown, "hold_off_s", account.hold_off_s);
        put(&mut shown, "account_timeout_s", account.account_timeout_s);
        put(&mut shown, "instance", account.instance.map(|id| id.0));
        view.insert("bootstrap_server".into(), shown);
    }
    if !profile.access.is_empty() {
        view.insert(
            "access".into(),
            profile.access.iter().map(access_view).collect(),
        );
    }
    if !profile.instances.is_empty() {
        let instances = profile.instances.iter().map(|one| {
            let mut shown = json!({
                "object": one.object.0,
                "resources": resources_view(&one.resources, one.object, definitions),
            });
            put(&mut shown, "instance", one.instance.map(|id| id.0));
            shown
        });
        view.insert("instances".into(), instances.collect());
    }
    Json::Object(view)
}

fn put<T: Into<Json>>(json: &mut Json, name: &str, value: Option<T>) {
    if let Some(value) = value {
        json[name] = value.into();
    }
}

fn server_view(account: &ServerAccount, definitions: &Registry) -> Json {
    let mut shown = json!({
        "short_server_id": account.short_server_id.value(),
        "uri": account.uri,
        "keys": keys_view(&account.keys),
        "lifetime_s": account.lifetime_s,
        "binding": account.binding.as_str(),
        "notification_storing": account.notification_storing,
    });
    put(&mut shown, "default_pmin_s", account.default_pmin_s);
    put(&mut shown, "default_pmax_s", account.default_pmax_s);
    put(&mut shown, "disable_timeout_s", account.disable_timeout_s);
    put(
        &mut shown,
        "security_instance",
        account.security_instance.map(|id| id.0),
    );
    put(
        &mut shown,
        "server_instance",
        account.server_instance.map(|id| id.0),
    );
    // The keys of SMS are among these: what is secret stays away.
    let open = |one: &&Resource| !matches!(one.id.0, 5 | 8);
    let security: Vec<Resource> = account
        .security_resources
        .iter()
        .filter(open)
        .cloned()
        .collect();
    if !security.is_empty() {
        shown["security_resources"] = resources_view(&security, ObjectId(0), definitions);
    }
    if !account.server_resources.is_empty() {
        shown["server_resources"] =
            resources_view(&account.server_resources, ObjectId(1), definitions);
    }
    shown
}

fn keys_view(keys: &Keys) -> Json {
    let mut shown = json!({"mode": keys.name()});
    if *keys != Keys::NoSec {
        shown["made"] = keys.are_made().into();
    }
    let (client, server) = match keys {
        Keys::NoSec => (None, None),
        Keys::PreSharedKey { identity, .. } => {
            put(&mut shown, "identity", identity.as_deref());
            (None, None)
        }
        Keys::RawPublicKey { client, server } | Keys::Certificate { client, server } => {
            (client.as_ref(), server.as_ref())
        }
    };
    let text = |der: &[u8]| fingerprint_text(&fingerprint(der));
    put(&mut shown, "client", client.map(|pair| text(&pair.public)));
    put(&mut shown, "server", server.map(|der| text(der)));
    shown
}

fn access_view(access: &AccessControl) -> Json {
    let target = match access.target {
        AccessTarget::Object(object) => json!(Path::object(object).to_string()),
        AccessTarget::Instance(object, instance) => {
            json!(Path::instance(object, instance).to_string())
        }
        AccessTarget::Server(id) => json!({"server": id.value()}),
    };
    let rights: Map<String, Json> = access
        .rights
        .iter()
        .map(|(who, sum)| {
            let who = who.map_or("default".to_owned(), |id| id.value().to_string());
            (who, (*sum).into())
        })
        .collect();
    let mut shown = json!({"target": target, "owner": access.owner.map(ShortServerId::value), "rights": rights});
    put(&mut shown, "instance", access.instance.map(|id| id.0));
    shown
}

fn resources_view(resources: &[Resource], object: ObjectId, definitions: &Registry) -> Json {
    let definition = definitions.latest(object).map(AsRef::as_ref);
    let views = resources
        .iter()
        .map(|one| serde_json::to_value(tree::resource_view(one, definition)).unwrap_or_default());
    views.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &Json) -> Result<Profile, Problem> {
        parse(ProfileName::new("p").unwrap(), json, &Registry::bundled())
    }

    #[test]
    fn what_is_put_is_shown_without_its_keys_and_taken_again() {
        let body = json!({
            "pattern": "lamp-*",
            "remove": ["/1", "/3303/0"],
            "servers": [{"short_server_id": 7, "uri": "coaps://a.example", "lifetime_s": 60, "binding": "UQ",
                "keys": {"mode": "psk", "identity": "{endpoint}"}, "default_pmin_s": 1, "server_instance": 4}],
            "bootstrap_server": {"uri": "coap://b.example", "keys": {"mode": "nosec"}, "hold_off_s": 5},
            "access": [{"target": "/3/0", "owner": 7, "rights": {"7": 31, "default": 1}},
                {"target": {"server": 7}, "owner": null, "rights": {}}],
            "instances": [{"object": 3, "instance": 0, "resources": [{"id": 14, "value": "+01:00"}]}],
        });
        let profile = read(&body).unwrap();
        let shown = view(&profile, &Registry::bundled());
        assert_eq!(read(&shown).unwrap(), profile, "{shown:#}");
        let secret = json!({"servers": [{"short_server_id": 1, "uri": "coaps://a",
            "keys": {"mode": "psk", "identity": "x", "key": "000102030405060708090a0b0c0d0e0f"}}]});
        let shown = view(&read(&secret).unwrap(), &Registry::bundled());
        assert_eq!(
            shown["servers"][0]["keys"],
            json!({"mode": "psk", "made": false, "identity": "x"})
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (body, field) in [
            (json!({"endpoint": "a", "pattern": "b"}), "pattern"),
            (json!({"remove": "all"}), "remove"),
            (json!({"remove": ["x"]}), "remove[0]"),
            (json!({"servers": [{}]}), "servers[0].short_server_id"),
            (
                json!({"servers": [{"short_server_id": 0}]}),
                "servers[0].short_server_id",
            ),
            (
                json!({"servers": [{"short_server_id": 1, "uri": "coap://a"}]}),
                "servers[0].keys",
            ),
            (
                json!({"servers": [{"short_server_id": 1, "uri": "coap://a", "keys": {"mode": "x"}}]}),
                "servers[0].keys.mode",
            ),
            (
                json!({"servers": [{"short_server_id": 1, "uri": "coap://a", "keys": {"mode": "psk", "key": "zz"}}]}),
                "servers[0].keys.key",
            ),
            (
                json!({"servers": [{"short_server_id": 1, "uri": "coap://a", "keys": {"mode": "rpk", "client": {}}}]}),
                "servers[0].keys.client.public",
            ),
            (
                json!({"access": [{"target": "/3/0/1"}]}),
                "access[0].target",
            ),
            (
                json!({"access": [{"target": "/3/0", "rights": {"x": 1}}]}),
                "access[0].rights.x",
            ),
            (
                json!({"instances": [{"object": 3, "resources": [{"id": 13, "value": "x"}]}]}),
                "instances[0].resources[0].value",
            ),
            (json!({"colour": 1}), "colour"),
        ] {
            let problem = read(&body).unwrap_err();
            assert_eq!(problem.field(), Some(field), "{body}: {}", problem.detail);
        }
    }
}
