//! Accounts: the Security and Server Objects read as "whom do we register with, and how"
//! (TS 1.0 §5.2.2).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{Instance, ObjectId, ObjectInstanceId, ShortServerId, Value};

use crate::object::server::{
    BINDING, DEFAULT_PMAX, DEFAULT_PMIN, LIFETIME, SHORT_SERVER_ID, STORING,
};
use crate::tree::Tree;

/// LwM2M Server URI in Object 0.
pub(crate) const URI: u16 = 0;
/// Bootstrap-Server in Object 0.
pub(crate) const IS_BOOTSTRAP_SERVER: u16 = 1;
/// Security Mode in Object 0.
pub(crate) const SECURITY_MODE: u16 = 2;
/// Public Key or Identity in Object 0.
pub(crate) const PUBLIC_KEY_OR_IDENTITY: u16 = 3;
/// Server Public Key in Object 0.
pub(crate) const SERVER_PUBLIC_KEY: u16 = 4;
/// Secret Key in Object 0.
pub(crate) const SECRET_KEY: u16 = 5;
/// Short Server ID in Object 0.
pub(crate) const SECURITY_SHORT_SERVER_ID: u16 = 10;
/// Client Hold Off Time in Object 0, seconds.
pub(crate) const HOLD_OFF: u16 = 11;
/// Bootstrap-Server Account Timeout in Object 0, seconds.
pub(crate) const ACCOUNT_TIMEOUT: u16 = 12;

/// Security Mode 0: pre-shared key.
pub const MODE_PSK: i64 = 0;
/// Security Mode 1: raw public key.
pub const MODE_RPK: i64 = 1;
/// Security Mode 2: certificate.
pub const MODE_X509: i64 = 2;

/// Security Mode 3: no security (TS 1.0 §E.1).
pub const MODE_NOSEC: i64 = 3;

/// A Server Account: an instance of Object 0 and the one of Object 1 with the same Short Server ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What both instances have in common.
    pub short_server_id: ShortServerId,
    /// The instance of Object 0.
    pub security: ObjectInstanceId,
    /// The instance of Object 1.
    pub server: ObjectInstanceId,
    /// Where the Server is.
    pub uri: ServerUri,
    /// Security Mode.
    pub mode: i64,
    /// Lifetime of the registration in seconds.
    pub lifetime_s: u32,
    /// How the Server may reach us.
    pub binding: Binding,
    /// Default Minimum Period in seconds.
    pub default_pmin_s: Option<u32>,
    /// Default Maximum Period in seconds.
    pub default_pmax_s: Option<u32>,
    /// Whether notifications are kept while the Server cannot be reached.
    pub stores_notifications: bool,
}

/// The Bootstrap-Server Account: an instance of Object 0, and none of Object 1 (TS 1.0 §5.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapAccount {
    /// The instance of Object 0.
    pub security: ObjectInstanceId,
    /// Where the Bootstrap-Server is.
    pub uri: ServerUri,
    /// Security Mode.
    pub mode: i64,
    /// How long the Client waits for the Bootstrap-Server to begin before it asks itself.
    pub hold_off_s: u32,
    /// How long after a bootstrap the account is kept; 0 for ever.
    pub timeout_s: u32,
}

/// The scheme of a [`ServerUri`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// CoAP over UDP without security.
    Coap,
    /// CoAP over UDP with DTLS.
    Coaps,
}

/// Where a Server is (RFC 7252 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUri {
    /// With or without security.
    pub scheme: Scheme,
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port; the default of the scheme where none was written.
    pub port: u16,
}

/// Why a text is no [`ServerUri`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Another scheme, or none.
    #[error("the URI begins with neither coap:// nor coaps://")]
    Scheme,
    /// No host.
    #[error("the URI names no host")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// Something behind the authority.
    #[error("the URI of a Server has no path, query or user")]
    Rest,
}

impl ServerUri {
    /// Reads `coap://host[:port]` or `coaps://host[:port]`; one slash at the end is allowed.
    ///
    /// # Errors
    ///
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("coaps://") {
            (Scheme::Coaps, rest)
        } else if let Some(rest) = text.strip_prefix("coap://") {
            (Scheme::Coap, rest)
        } else {
            return Err(UriError::Scheme);
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(UriError::Rest);
        }
        let (host, port) = split_port(rest)?;
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(UriError::Host);
        }
        let default = match scheme {
            Scheme::Coap => 5683,
            Scheme::Coaps => 5684,
        };
        Ok(Self {
            scheme,
            host: host.to_string(),
            port: port.unwrap_or(default),
        })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UriError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(UriError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(parse_port(port)?))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(UriError::Port),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((host, Some(parse_port(port)?))),
        None => Ok((authority, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, UriError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or(UriError::Port)
}

/// All complete Server Accounts, in the order of their instances in Object 1. Incomplete ones are
/// left out: there is nobody to tell.
#[must_use]
pub fn accounts(tree: &Tree) -> Vec<Account> {
    tree.instances(ObjectId::SERVER)
        .filter_map(|server| account(tree, server))
        .collect()
}

/// The Bootstrap-Server Account, if there is one that can be read.
#[must_use]
pub fn bootstrap_account(tree: &Tree) -> Option<BootstrapAccount> {
    let security = tree
        .instances(ObjectId::SECURITY)
        .find(|one| is_bootstrap(one))?;
    let seconds = |resource| seconds(security, resource).unwrap_or(0);
    Some(BootstrapAccount {
        security: security.id,
        uri: ServerUri::parse(security.value(URI)?.as_str()?).ok()?,
        mode: mode(security),
        hold_off_s: seconds(HOLD_OFF),
        timeout_s: seconds(ACCOUNT_TIMEOUT),
    })
}

/// Whether an instance of Object 0 is the Bootstrap-Server's.
pub(crate) fn is_bootstrap(security: &Instance) -> bool {
    security.value(IS_BOOTSTRAP_SERVER) == Some(&Value::Boolean(true))
}

fn mode(security: &Instance) -> i64 {
    let mode = security.value(SECURITY_MODE).and_then(Value::as_integer);
    mode.unwrap_or(MODE_NOSEC)
}

fn seconds(instance: &Instance, resource: u16) -> Option<u32> {
    instance
        .value(resource)
        .and_then(Value::as_integer)
        .and_then(|value| u32::try_from(value).ok())
}

/// The Short Server ID that an instance of Object 0 or 1 names.
pub(crate) fn short_server_id(instance: &Instance, resource: u16) -> Option<ShortServerId> {
    let number = instance.value(resource).and_then(Value::as_integer)?;
    ShortServerId::new(u16::try_from(number).ok()?)
}

fn account(tree: &Tree, server: &Instance) -> Option<Account> {
    let short_server_id = server.value(SHORT_SERVER_ID)?.as_integer()?;
    let security = tree.instances(ObjectId::SECURITY).find(|security| {
        !is_bootstrap(security)
            && security
                .value(SECURITY_SHORT_SERVER_ID)
                .and_then(Value::as_integer)
                == Some(short_server_id)
    })?;
    let seconds = |resource| seconds(server, resource);
    Some(Account {
        short_server_id: ShortServerId::new(u16::try_from(short_server_id).ok()?)?,
        security: security.id,
        server: server.id,
        uri: ServerUri::parse(security.value(URI)?.as_str()?).ok()?,
        mode: mode(security),
        lifetime_s: seconds(LIFETIME)?,
        binding: server
            .value(BINDING)
            .and_then(Value::as_str)
            .and_then(Binding::parse)
            .unwrap_or_default(),
        default_pmin_s: seconds(DEFAULT_PMIN),
        default_pmax_s: seconds(DEFAULT_PMAX),
        stores_notifications: server.value(STORING) != Some(&Value::Boolean(false)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7252_6_uris_are_read() {
        for (text, scheme, host, port) in [
            ("coap://localhost", Scheme::Coap, "localhost", 5683),
            ("coaps://10.0.0.1/", Scheme::Coaps, "10.0.0.1", 5684),
            ("coap://[::1]:7", Scheme::Coap, "::1", 7),
            ("coap://[2001:db8::1]", Scheme::Coap, "2001:db8::1", 5683),
        ] {
            let uri = ServerUri {
                scheme,
                host: host.into(),
                port,
            };
            assert_eq!(ServerUri::parse(text), Ok(uri));
        }
        for (text, error) in [
            ("http://a", UriError::Scheme),
            ("a:5683", UriError::Scheme),
            ("coap://", UriError::Host),
            ("coap://:5683", UriError::Host),
            ("coap://[::1", UriError::Host),
            ("coap://a:0", UriError::Port),
            ("coap://a:+5", UriError::Port),
            ("coap://a:70000", UriError::Port),
            ("coap://[::1]5", UriError::Port),
            ("coap://a/rd", UriError::Rest),
            ("coap://u@a", UriError::Rest),
        ] {
            assert_eq!(ServerUri::parse(text), Err(error), "{text}");
        }
    }
}
