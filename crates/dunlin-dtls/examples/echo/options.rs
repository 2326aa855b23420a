//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use dunlin_dtls::{
    CertificateType, CidOffer, CipherSuite, ClientCredentials, ClientSettings, Credential, Secret,
    ServerSettings, Settings, SigningKey,
};

/// See `main`.
pub(crate) struct Options {
    pub(crate) bind: SocketAddr,
    pub(crate) to: Option<SocketAddr>,
    pub(crate) seconds: u64,
    pub(crate) identity: String,
    pub(crate) key: Secret,
    pub(crate) say: Vec<u8>,
    /// Any answer will do.
    pub(crate) any: bool,
    /// Repeat what was said until it is answered: application data is nobody's to repeat but ours.
    pub(crate) insist: bool,
    pub(crate) restart: bool,
    pub(crate) resume_once: bool,
    pub(crate) anchor: Option<Vec<u8>>,
    pub(crate) name: Option<String>,
    credential: Option<Credential>,
    raw: bool,
    cid: bool,
    own_cid: bool,
    mtu: Option<usize>,
    suites: Vec<CipherSuite>,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let server = match words.next().as_deref() {
            Some("server") => true,
            Some("client") => false,
            _ => return Err("say `server` or `client` first".to_string()),
        };
        let mut options = Options {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            to: None,
            seconds: 10,
            identity: "device".to_string(),
            key: Secret::from(&b"secret"[..]),
            say: b"hello".to_vec(),
            any: false,
            insist: false,
            restart: false,
            resume_once: false,
            anchor: None,
            name: None,
            credential: None,
            raw: false,
            cid: true,
            own_cid: false,
            mtu: None,
            suites: CipherSuite::DEFAULT.to_vec(),
        };
        let mut key_file = None;
        let mut chain = Vec::new();
        let mut named_suites = Vec::new();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--bind" => options.bind = parse(&value()?)?,
                "--to" => options.to = Some(parse(&value()?)?),
                "--seconds" => options.seconds = parse(&value()?)?,
                "--psk" => {
                    let value = value()?;
                    let (identity, key) = value.split_once(':').ok_or("--psk IDENTITY:KEY")?;
                    options.identity = identity.to_string();
                    options.key = Secret::from(key.as_bytes());
                }
                "--say" => options.say = value()?.into_bytes(),
                "--say-hex" => options.say = hex(&value()?)?,
                "--any" => options.any = true,
                "--insist" => options.insist = true,
                "--suite" => named_suites.push(suite(&value()?)?),
                "--key" => key_file = Some(read(&value()?)?),
                "--certificate" => chain.push(read(&value()?)?),
                "--anchor" => options.anchor = Some(read(&value()?)?),
                "--name" => options.name = Some(value()?),
                "--mtu" => options.mtu = Some(parse(&value()?)?),
                "--raw" => options.raw = true,
                "--no-cid" => options.cid = false,
                "--own-cid" => options.own_cid = true,
                "--restart" => options.restart = true,
                "--resume-once" => options.resume_once = true,
                _ => return Err(format!("unknown option {word}")),
            }
        }
        if server == options.to.is_some() {
            return Err("a client needs --to, a server has none".to_string());
        }
        if !named_suites.is_empty() {
            options.suites = named_suites;
        }
        if let Some(der) = key_file {
            let key = SigningKey::from_der(&der).map_err(|error| error.to_string())?;
            options.credential = Some(match chain.is_empty() {
                true => Credential::raw_public_key(key),
                false => Credential::certificates(key, chain).map_err(|error| error.to_string())?,
            });
        }
        Ok(options)
    }

    pub(crate) fn settings(&self) -> Settings {
        let server = ServerSettings {
            credential: self.credential.clone(),
            connection_id: self.cid,
            client_certificate_types: self.types(),
            ..ServerSettings::default()
        };
        let mut settings = Settings {
            suites: self.suites.clone(),
            server: self.to.is_none().then_some(server),
            cid_prefix: vec![0xd0, 0x11],
            retransmit_first: Duration::from_millis(500),
            ..Settings::default()
        };
        if let Some(mtu) = self.mtu {
            settings.datagram_max = mtu;
        }
        settings
    }

    pub(crate) fn client_settings(&self) -> ClientSettings {
        let signing = self.suites.iter().any(|suite| !suite.is_psk());
        let credentials = match &self.credential {
            Some(credential) if signing => ClientCredentials::Signature {
                credential: credential.clone(),
                present: self.types()[0],
                accept: vec![self.types()[0]],
            },
            _ => ClientCredentials::Psk {
                identity: self.identity.clone().into_bytes(),
                key: self.key.clone(),
            },
        };
        let mut settings = ClientSettings::new(credentials);
        settings.server_name = self.name.clone();
        settings.connection_id = match (self.cid, self.own_cid) {
            (false, _) => CidOffer::Not,
            (true, false) => CidOffer::SendOnly,
            (true, true) => CidOffer::Both,
        };
        settings
    }

    fn types(&self) -> Vec<CertificateType> {
        if self.raw {
            vec![CertificateType::RawPublicKey]
        } else {
            vec![CertificateType::X509, CertificateType::RawPublicKey]
        }
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("cannot read {text}"))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).map_err(|_| "no hex".to_string())?;
        u8::from_str_radix(pair, 16).map_err(|error| error.to_string())
    });
    digits.collect()
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

fn suite(name: &str) -> Result<CipherSuite, String> {
    let mut all = CipherSuite::ALL.into_iter();
    all.find(|suite| suite.to_string() == name)
        .ok_or(format!("unknown suite {name}"))
}
