//! Who asks, and what they may do: tokens, roles and the [`AuthContext`] that every handler receives as a value.
//!
//! A token is 32 random bytes, shown once; only its SHA-256 is kept. That needs no slow password hash: nobody guesses
//! 256 bits. As long as there is no token at all, whoever reaches the port may do everything, which is why the port
//! is on loopback by default; from the first token on every request needs one.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Code, Problem};
use crate::time::Timestamp;

/// Begins every token, so that a leaked one is recognised by scanners of repositories.
const TOKEN_PREFIX: &str = "dunlin_";

/// Bytes of a token's name: it is shown in tables and logs.
pub const TOKEN_NAME_BYTES_MAX: usize = 64;

/// More tokens than this, and comparing with each of them costs more than the request.
pub const TOKENS_MAX: usize = 1024;

/// What a token allows. Each role includes the ones before it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything that dunlin knows.
    Read,
    /// Also talk to Clients: every LwM2M operation, cancelling requests, forgetting registrations.
    Operate,
    /// Also change dunlin itself: tokens, credentials, profiles, object definitions.
    Admin,
}

impl Role {
    /// The word used in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
            Role::Admin => "admin",
        }
    }

    /// The role of this word.
    pub fn from_name(name: &str) -> Option<Role> {
        [Role::Read, Role::Operate, Role::Admin]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Names the token where it is listed; unique.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// SHA-256 of the token's text.
    pub digest: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
}

/// All tokens, as a snapshot that a backend hands out for each request.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    records: Vec<TokenRecord>,
}

impl Tokens {
    /// The set of these records.
    pub fn new(records: Vec<TokenRecord>) -> Tokens {
        Tokens { records }
    }

    /// True while no token was made: then requests need none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records, in the order in which they were made.
    pub fn records(&self) -> &[TokenRecord] {
        &self.records
    }

    /// The record of this token. Every record is compared, whole and in constant time, so that the time
    /// taken tells nothing about how near a guess is.
    pub fn authenticate(&self, token: &str) -> Option<&TokenRecord> {
        let digest = digest(token);
        let mut found = None;
        for record in &self.records {
            if bool::from(record.digest.ct_eq(&digest)) {
                found = Some(record);
            }
        }
        found
    }
}

/// SHA-256 of a token's text, as it is kept.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Makes a token: its text, to be shown once, and the record to be kept. `random` are 32 bytes from the operating
/// system's generator.
pub fn issue(
    name: &str,
    role: Role,
    created_at: Timestamp,
    random: &[u8; 32],
) -> (String, TokenRecord) {
    let token = format!("{TOKEN_PREFIX}{}", BASE64URL_NOPAD.encode(random));
    let record = TokenRecord {
        name: name.to_string(),
        role,
        digest: digest(&token),
        created_at,
    };
    (token, record)
}

/// A name that tables, logs and paths can carry: letters, digits and `.-_@`.
pub fn is_token_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= TOKEN_NAME_BYTES_MAX
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte))
        && !name.bytes().all(|byte| byte == b'.')
}

/// Who makes this request. Handlers receive it as an argument and ask it; that no handler forgets to is held by a test
/// over all routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthContext {
    /// The token; `None` while there are none.
    token: Option<TokenRecord>,
}

impl AuthContext {
    /// The context while there is no token: whoever reaches the port may do everything.
    pub fn open() -> AuthContext {
        AuthContext { token: None }
    }

    /// The context of a request with this token.
    pub fn of(token: TokenRecord) -> AuthContext {
        AuthContext { token: Some(token) }
    }

    /// The name of the token; `None` while there are none.
    pub fn name(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.name.as_str())
    }

    /// What may be done.
    pub fn role(&self) -> Role {
        self.token.as_ref().map_or(Role::Admin, |token| token.role)
    }

    /// Refuses unless the role includes `needed`.
    pub fn require(&self, needed: Role) -> Result<(), Problem> {
        if self.role() >= needed {
            return Ok(());
        }
        let detail = format!(
            "The token has the role \"{}\"; this needs \"{}\".",
            self.role().name(),
            needed.name()
        );
        Err(Problem::new(Code::RoleInsufficient, detail))
    }

    /// Whether the same request would still be let in: an event stream lives longer than its token may.
    pub(crate) fn holds(&self, tokens: &Tokens) -> bool {
        match &self.token {
            None => tokens.is_empty(),
            Some(token) => tokens.records.contains(token),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for AuthContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<AuthContext, Problem> {
        // The guard puts it there for every route under /api; a route outside of it must not compile into an open door.
        parts
            .extensions
            .get::<AuthContext>()
            .cloned()
            .ok_or_else(|| {
                Problem::new(Code::TokenMissing, "The request passed no authentication.")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_authenticates() {
        let (token, record) = issue("ci", Role::Operate, Timestamp(0), &[7; 32]);
        assert!(token.starts_with("dunlin_") && token.len() == 50);
        let tokens = Tokens::new(vec![
            issue("other", Role::Read, Timestamp(0), &[8; 32]).1,
            record.clone(),
        ]);
        assert_eq!(tokens.authenticate(&token), Some(&record));
        for wrong in ["", "dunlin_", &token[..49], &token.to_uppercase()] {
            assert_eq!(tokens.authenticate(wrong), None);
        }
        assert!(!format!("{record:?}").contains(&token));
    }

    #[test]
    fn roles_include_those_below() {
        let operate = AuthContext::of(issue("ci", Role::Operate, Timestamp(0), &[7; 32]).1);
        assert_eq!(
            (operate.name(), AuthContext::open().name()),
            (Some("ci"), None)
        );
        assert!(operate.require(Role::Read).is_ok());
        assert!(operate.require(Role::Operate).is_ok());
        assert_eq!(
            operate.require(Role::Admin).unwrap_err().code,
            Code::RoleInsufficient
        );
    }

    #[test]
    fn token_names_are_plain() {
        for name in ["ci", "a.b-c_d@e", &"x".repeat(64)] {
            assert!(is_token_name(name), "{name}");
        }
        for name in ["", "a b", "a/b", "é", "..", &"x".repeat(65)] {
            assert!(!is_token_name(name), "{name}");
        }
    }
}
