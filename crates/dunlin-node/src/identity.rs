//! Who the Server is to its Clients, and whom it trusts: its key pair and certificate, and the
//! authorities that issue certificates to Clients.
//!
//! Without settings a key pair on P-256 is made at the first start and kept in the data folder
//! (`server.key`, for its owner alone) with a certificate that it signs itself (`server.crt`):
//! Clients that use raw public keys or pin the certificate find the same one after every start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use dunlin_transport::dtls::{CipherSuite, Credential, ServerSettings, Settings, SigningKey};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::config::Config;

/// Characters in a line of PEM (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// Why the key, the certificate or the authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read or made.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {what}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A certificate without its key says nothing.
    #[error("dtls.certificate is set and dtls.key is not: both belong together")]
    KeyMissing,
}

/// Who we are, and whom we trust.
#[derive(Clone, Debug)]
pub(crate) struct ServerIdentity {
    pub(crate) credential: Credential,
    /// SubjectPublicKeyInfo, DER.
    pub(crate) public_key: Vec<u8>,
    /// Our own certificate first, DER.
    pub(crate) chain: Vec<Vec<u8>>,
    /// Authorities whose certificates Clients may show, DER.
    pub(crate) client_anchors: Vec<Vec<u8>>,
}

impl ServerIdentity {
    /// What the configuration names, or what is in the data folder; `folder` is none for data in
    /// memory, where both are made anew each time.
    pub(crate) fn open(config: &Config, folder: Option<&Path>) -> Result<Self, IdentityError> {
        let dtls = &config.dtls;
        let set = |path: &PathBuf| !path.as_os_str().is_empty();
        if set(&dtls.certificate) && !set(&dtls.key) {
            return Err(IdentityError::KeyMissing);
        }
        let (key_file, certificate_file) = match folder {
            _ if set(&dtls.key) => (
                Some(dtls.key.clone()),
                set(&dtls.certificate).then(|| dtls.certificate.clone()),
            ),
            Some(folder) => {
                let files = (folder.join("server.key"), folder.join("server.crt"));
                make_missing(&files.0, &files.1)?;
                (Some(files.0), Some(files.1))
            }
            None => (None, None),
        };
        let (key, chain) = match (&key_file, &certificate_file) {
            (None, _) => {
                let (key, certificate) = make();
                (key, vec![certificate])
            }
            (Some(key), None) => (read_key(key)?, Vec::new()),
            (Some(key), Some(certificate)) => (read_key(key)?, read_certificates(certificate)?),
        };
        let wrong = |path: &Option<PathBuf>, what: String| IdentityError::Content {
            path: path.clone().unwrap_or_default(),
            what,
        };
        let signing = SigningKey::from_der(&key)
            .map_err(|error| wrong(&key_file, format!("{error}; P-256 is what LwM2M uses")))?;
        let public_key = signing.public_key();
        let credential = match chain.is_empty() {
            true => Credential::raw_public_key(signing),
            false => Credential::certificates(signing, chain.clone())
                .map_err(|error| wrong(&certificate_file, error.to_string()))?,
        };
        let client_anchors = match set(&dtls.client_ca) {
            true => read_certificates(&dtls.client_ca)?,
            false => Vec::new(),
        };
        Ok(Self {
            credential,
            public_key,
            chain,
            client_anchors,
        })
    }

    /// Settings of DTLS for one shard of `shards`.
    pub(crate) fn settings(&self, config: &Config, shards: usize) -> Settings {
        let dtls = &config.dtls;
        let mut suites = CipherSuite::DEFAULT.to_vec();
        if dtls.cbc {
            suites.extend([CipherSuite::EcdheEcdsaAes128Cbc, CipherSuite::PskAes128Cbc]);
        }
        let share = |whole: usize| whole.div_ceil(shards).max(1);
        Settings {
            suites,
            server: Some(ServerSettings {
                credential: Some(self.credential.clone()),
                ..ServerSettings::default()
            }),
            sessions_max: share(dtls.sessions_max),
            handshakes_max: share(dtls.handshakes_max),
            handshakes_per_second: dtls.host_handshakes_per_second,
            handshake_burst: dtls.host_handshakes_per_second.saturating_mul(10),
            ..Settings::default()
        }
    }
}

/// A key pair (PKCS#8) and the certificate that it signs for itself.
fn make() -> (Zeroizing<Vec<u8>>, Vec<u8>) {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .expect("the operating system gives random bytes");
    let mut parameters =
        CertificateParams::new(vec!["localhost".to_owned()]).expect("the name is one");
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "dunlin");
    let certificate = parameters
        .self_signed(&pair)
        .expect("a key signs its own certificate");
    (
        Zeroizing::new(pair.serialize_der()),
        certificate.der().to_vec(),
    )
}

/// Makes both files at the first start; a certificate alone is never made anew for another key.
fn make_missing(key_file: &Path, certificate_file: &Path) -> Result<(), IdentityError> {
    if key_file.exists() {
        return Ok(());
    }
    let (key, certificate) = make();
    // The certificate first: a kill between the two leaves no key, and both are made again.
    write(
        certificate_file,
        0o644,
        pem("CERTIFICATE", &certificate).as_bytes(),
    )?;
    let key = Zeroizing::new(pem("PRIVATE KEY", &key));
    write(key_file, 0o600, key.as_bytes())
}

/// Makes the file whole and then gives it its name.
fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), IdentityError> {
    let failed = |error| IdentityError::File {
        path: path.to_owned(),
        error,
    };
    let aside = path.with_extension("new");
    let _ = fs::remove_file(&aside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&aside)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&aside, path).map_err(failed)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(PEM_LINE));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out + &format!("-----END {label}-----\n")
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let bytes = fs::read(path).map_err(|error| IdentityError::File {
        path: path.to_owned(),
        error,
    })?;
    Ok(Zeroizing::new(bytes))
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let bytes = read_file(path)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| IdentityError::Content {
        path: path.to_owned(),
        what: format!("no private key in PEM: {error}"),
    })?;
    Ok(Zeroizing::new(key.secret_der().to_vec()))
}

fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, IdentityError> {
    let bytes = read_file(path)?;
    let wrong = |what: String| IdentityError::Content {
        path: path.to_owned(),
        what,
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes)
        .map(|one| one.map(|der| der.to_vec()))
        .collect();
    let certificates = read.map_err(|error| wrong(format!("no certificates in PEM: {error}")))?;
    match certificates.is_empty() {
        true => Err(wrong("holds no certificate in PEM".to_owned())),
        false => Ok(certificates),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_key_is_made_once_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default();
        let first = ServerIdentity::open(&config, Some(folder.path())).unwrap();
        let again = ServerIdentity::open(&config, Some(folder.path())).unwrap();
        assert_eq!(first.public_key, again.public_key);
        assert_eq!(first.chain, again.chain);
        let mode = fs::metadata(folder.path().join("server.key")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        let other = ServerIdentity::open(&config, None).unwrap();
        assert_ne!(first.public_key, other.public_key);
    }

    #[test]
    fn files_of_the_operator_are_used_and_mistakes_in_them_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        make_missing(&at("own.key"), &at("own.crt")).unwrap();
        make_missing(&at("other.key"), &at("other.crt")).unwrap();
        let mut config = Config::default();
        config.dtls.certificate = at("own.crt");
        let error = ServerIdentity::open(&config, None).unwrap_err();
        assert!(matches!(error, IdentityError::KeyMissing));
        config.dtls.key = at("own.key");
        config.dtls.client_ca = at("other.crt");
        let identity = ServerIdentity::open(&config, None).unwrap();
        assert_eq!(identity.client_anchors.len(), 1);
        assert_eq!(identity.chain.len(), 1);
        config.dtls.certificate = at("other.crt");
        let error = ServerIdentity::open(&config, None).unwrap_err().to_string();
        assert!(error.contains("other.crt"), "{error}");
        config.dtls.key = at("own.crt");
        let error = ServerIdentity::open(&config, None).unwrap_err().to_string();
        assert!(error.contains("own.crt: no private key"), "{error}");
    }
}
