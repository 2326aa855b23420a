//! What an instance of Object 0 holds of keys (TS 1.0 §7.1, §E.1.1).

use alloc::vec::Vec;
use core::fmt;

use dunlin_lwm2m::{Instance, Resource, Value};
use dunlin_transport::dtls::identity::KeyRejected;
use dunlin_transport::dtls::{Credential, SigningKey};

use crate::account::{
    MODE_NOSEC, MODE_PSK, MODE_RPK, MODE_X509, PUBLIC_KEY_OR_IDENTITY, SECRET_KEY, SECURITY_MODE,
    SERVER_PUBLIC_KEY,
};

/// By what the Client and one Server know each other.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing; mode 3.
    NoSec,
    /// A key that both have; mode 0.
    Psk {
        /// Its name, UTF-8 as a rule.
        identity: Vec<u8>,
        /// The key.
        key: Vec<u8>,
    },
    /// Bare public keys; mode 1.
    RawPublicKey {
        /// Ours, SubjectPublicKeyInfo in DER.
        public_key: Vec<u8>,
        /// Ours, PKCS#8 or SEC 1 in DER.
        private_key: Vec<u8>,
        /// The Server's, SubjectPublicKeyInfo in DER.
        server_public_key: Vec<u8>,
    },
    /// Certificates; mode 2.
    Certificate {
        /// Ours, X.509 v3 in DER.
        certificate: Vec<u8>,
        /// Our private key, PKCS#8 or SEC 1 in DER.
        private_key: Vec<u8>,
        /// The Server's own certificate, or its issuer's, in DER.
        server_certificate: Vec<u8>,
    },
}

impl fmt::Debug for Credentials {
    /// The mode alone: keys are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(mode {})", self.mode())
    }
}

impl Credentials {
    /// Bare public keys, ours with its private key.
    ///
    /// # Errors
    ///
    /// The private key cannot be used; says why.
    pub fn raw_public_key(
        private_key: Vec<u8>,
        server_public_key: Vec<u8>,
    ) -> Result<Self, KeyRejected> {
        Ok(Self::RawPublicKey {
            public_key: SigningKey::from_der(&private_key)?.public_key(),
            private_key,
            server_public_key,
        })
    }

    /// Whether a session could be opened with these.
    ///
    /// # Errors
    ///
    /// Says what is wrong with our own keys. What the Server thinks of them is another question.
    pub fn check(&self) -> Result<(), KeyRejected> {
        match self {
            Self::NoSec | Self::Psk { .. } => Ok(()),
            Self::RawPublicKey {
                public_key,
                private_key,
                ..
            } => {
                let key = SigningKey::from_der(private_key)?;
                if key.public_key() == *public_key {
                    Ok(())
                } else {
                    Err(KeyRejected::Mismatch)
                }
            }
            Self::Certificate {
                certificate,
                private_key,
                ..
            } => {
                let key = SigningKey::from_der(private_key)?;
                Credential::certificates(key, alloc::vec![certificate.clone()]).map(drop)
            }
        }
    }

    /// Resources 2 to 5 of Object 0.
    #[must_use]
    pub fn into_resources(self) -> Vec<(u16, Value)> {
        let all = self.resources().into_iter();
        all.filter_map(|one| Some((one.id.0, one.value()?.clone())))
            .collect()
    }

    /// Security Mode.
    #[must_use]
    pub const fn mode(&self) -> i64 {
        match self {
            Self::NoSec => MODE_NOSEC,
            Self::Psk { .. } => MODE_PSK,
            Self::RawPublicKey { .. } => MODE_RPK,
            Self::Certificate { .. } => MODE_X509,
        }
    }

    /// Resources 2 to 5 of Object 0; what a mode does not use is there and empty.
    pub(crate) fn resources(&self) -> [Resource; 4] {
        let (ours, theirs, secret): (&[u8], &[u8], &[u8]) = match self {
            Self::NoSec => (&[], &[], &[]),
            Self::Psk { identity, key } => (identity, &[], key),
            Self::RawPublicKey {
                public_key,
                private_key,
                server_public_key,
            } => (public_key, server_public_key, private_key),
            Self::Certificate {
                certificate,
                private_key,
                server_certificate,
            } => (certificate, server_certificate, private_key),
        };
        let opaque = |id: u16, bytes: &[u8]| Resource::single(id, Value::Opaque(bytes.to_vec()));
        [
            Resource::single(SECURITY_MODE, Value::Integer(self.mode())),
            opaque(PUBLIC_KEY_OR_IDENTITY, ours),
            opaque(SERVER_PUBLIC_KEY, theirs),
            opaque(SECRET_KEY, secret),
        ]
    }

    /// What an instance of Object 0 says; `None` for a mode that is not known here.
    #[must_use]
    pub fn of(security: &Instance) -> Option<Self> {
        let bytes = |resource: u16| match security.value(resource) {
            Some(Value::Opaque(bytes)) => bytes.clone(),
            _ => Vec::new(),
        };
        let mode = security.value(SECURITY_MODE).and_then(Value::as_integer);
        Some(match mode.unwrap_or(MODE_NOSEC) {
            MODE_NOSEC => Self::NoSec,
            MODE_PSK => Self::Psk {
                identity: bytes(PUBLIC_KEY_OR_IDENTITY),
                key: bytes(SECRET_KEY),
            },
            MODE_RPK => Self::RawPublicKey {
                public_key: bytes(PUBLIC_KEY_OR_IDENTITY),
                private_key: bytes(SECRET_KEY),
                server_public_key: bytes(SERVER_PUBLIC_KEY),
            },
            MODE_X509 => Self::Certificate {
                certificate: bytes(PUBLIC_KEY_OR_IDENTITY),
                private_key: bytes(SECRET_KEY),
                server_certificate: bytes(SERVER_PUBLIC_KEY),
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn ts_7_1_every_mode_comes_back_from_its_resources_and_no_key_is_shown() {
        let all = [
            Credentials::NoSec,
            Credentials::Psk {
                identity: b"me".to_vec(),
                key: vec![0xab; 16],
            },
            Credentials::RawPublicKey {
                public_key: vec![1],
                private_key: vec![0xab],
                server_public_key: vec![3],
            },
            Credentials::Certificate {
                certificate: vec![1],
                private_key: vec![0xab],
                server_certificate: vec![3],
            },
        ];
        for (credentials, mode) in all.into_iter().zip([3, 0, 1, 2]) {
            assert_eq!(credentials.mode(), mode);
            let mut instance = Instance::new(0);
            instance.extend(credentials.resources());
            assert_eq!(instance.resources().len(), 4, "2 to 5 are mandatory");
            assert_eq!(Credentials::of(&instance).as_ref(), Some(&credentials));
            assert_eq!(
                alloc::format!("{credentials:?}"),
                alloc::format!("Credentials(mode {mode})")
            );
        }
        let est = Instance::new(0).with(Resource::single(SECURITY_MODE, Value::Integer(4)));
        assert_eq!(Credentials::of(&est), None);
    }
}
