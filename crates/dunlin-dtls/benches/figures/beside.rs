//! What both sides are given, and OpenSSL as a program of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dunlin_dtls::{Credential, SigningKey};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority, and a key and certificate of it for the server and for the client, as DER; gone with this
/// value.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new() -> Files {
        let folder = std::env::temp_dir().join(format!("dunlin-figures-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder of our own");
        let write = |name: String, bytes: &[u8]| {
            std::fs::write(folder.join(name), bytes).expect("room for a file");
        };
        let authority_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        // A name of its own: a certificate whose subject is its issuer's is taken for one that signs itself.
        let name = "figures authority";
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).expect("a certificate");
        write("ca.der".into(), authority.der());
        let issuer = Issuer::from_params(&params, &authority_key);
        for who in ["server", "client"] {
            let key = KeyPair::generate().expect("a key");
            let certificate = CertificateParams::new(vec![format!("{who}.example")])
                .and_then(|params| params.signed_by(&key, &issuer))
                .expect("a certificate");
            write(format!("{who}.der"), certificate.der());
            write(format!("{who}.key.der"), &key.serialize_der());
        }
        Files(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).expect("a file of ours")
}

pub(crate) fn credential(folder: &Path, who: &str) -> Credential {
    let key = SigningKey::from_der(&read(folder, &format!("{who}.key.der"))).expect("a P-256 key");
    let chain = vec![read(folder, &format!("{who}.der"))];
    Credential::certificates(key, chain).expect("its own certificate")
}

/// The authority; nothing where there is no folder, as nobody shows a certificate there.
pub(crate) fn anchor(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("ca.der")).unwrap_or_default()
}

pub(crate) fn wall_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// `openssl.c`, compiled.
pub(crate) struct OpenSsl(PathBuf);

impl OpenSsl {
    pub(crate) fn build(folder: &Path) -> Option<OpenSsl> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/figures/openssl.c");
        let program = folder.join("openssl");
        let built = Command::new("cc")
            .args(["-O2", "-o"])
            .args([&program, &source])
            .args(["-lssl", "-lcrypto"])
            .output();
        built
            .is_ok_and(|built| built.status.success())
            .then_some(OpenSsl(program))
    }

    pub(crate) fn version(&self) -> String {
        self.run(&["version"], None)
    }

    /// The time inside the server, for one.
    pub(crate) fn handshake(&self, suite: &str, count: u32, folder: Option<&Path>) -> Duration {
        let said = self.run(&["handshakes", suite, &count.to_string()], folder);
        Duration::from_nanos(said.parse().expect("nanoseconds"))
    }

    /// Bytes per session by allocator, and by the growth of the resident set.
    pub(crate) fn memory(&self, suite: &str, count: u32, folder: Option<&Path>) -> (u64, u64) {
        let said = self.run(&["memory", suite, &count.to_string()], folder);
        let (held, grown) = said.split_once(' ').expect("two figures");
        (held.parse().expect("bytes"), grown.parse().expect("bytes"))
    }

    fn run(&self, words: &[&str], folder: Option<&Path>) -> String {
        let done = Command::new(&self.0).args(words).args(folder).output();
        let done = done.expect("a program that was just built");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }
}
