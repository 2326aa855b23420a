//! Extensions of the two hellos that mean something to us; others are skipped.

use alloc::vec::Vec;

use super::codec::{Malformed, Reader, put_u16, put_vector8, put_vector16};

/// Numbers of the IANA registry.
pub(crate) mod number {
    pub(crate) const SERVER_NAME: u16 = 0;
    pub(crate) const MAX_FRAGMENT_LENGTH: u16 = 1;
    pub(crate) const SUPPORTED_GROUPS: u16 = 10;
    pub(crate) const EC_POINT_FORMATS: u16 = 11;
    pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(crate) const CLIENT_CERTIFICATE_TYPE: u16 = 19;
    pub(crate) const SERVER_CERTIFICATE_TYPE: u16 = 20;
    pub(crate) const ENCRYPT_THEN_MAC: u16 = 22;
    pub(crate) const EXTENDED_MASTER_SECRET: u16 = 23;
    pub(crate) const RECORD_SIZE_LIMIT: u16 = 28;
    pub(crate) const SESSION_TICKET: u16 = 35;
    pub(crate) const CONNECTION_ID: u16 = 54;
    pub(crate) const RENEGOTIATION_INFO: u16 = 0xff01;
}

/// The only curve (RFC 7925 §4.2): secp256r1.
pub(crate) const GROUP_P256: u16 = 23;
/// The only signature scheme: ecdsa_secp256r1_sha256.
pub(crate) const SCHEME_ECDSA_P256_SHA256: u16 = 0x0403;
/// A hello with more extensions than this is not from an honest peer.
const EXTENSIONS_MAX: usize = 64;

/// What a certificate message holds (RFC 7250 §3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CertificateType {
    /// A chain of X.509 certificates.
    X509,
    /// A bare SubjectPublicKeyInfo.
    RawPublicKey,
}

impl CertificateType {
    pub(crate) fn code(self) -> u8 {
        match self {
            CertificateType::X509 => 0,
            CertificateType::RawPublicKey => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<CertificateType> {
        match code {
            0 => Some(CertificateType::X509),
            2 => Some(CertificateType::RawPublicKey),
            _ => None,
        }
    }
}

/// How much plaintext fits into one record (RFC 6066 §4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // The number says it.
pub enum MaxFragmentLength {
    Bytes512,
    Bytes1024,
    Bytes2048,
    Bytes4096,
}

impl MaxFragmentLength {
    /// The limit in bytes of plaintext.
    pub fn bytes(self) -> usize {
        256 << self.code()
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            MaxFragmentLength::Bytes512 => 1,
            MaxFragmentLength::Bytes1024 => 2,
            MaxFragmentLength::Bytes2048 => 3,
            MaxFragmentLength::Bytes4096 => 4,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<MaxFragmentLength> {
        match code {
            1 => Some(MaxFragmentLength::Bytes512),
            2 => Some(MaxFragmentLength::Bytes1024),
            3 => Some(MaxFragmentLength::Bytes2048),
            4 => Some(MaxFragmentLength::Bytes4096),
            _ => None,
        }
    }
}

/// Which hello the extensions belong to: some are spelled differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hello {
    Client,
    Server,
}

/// The extensions of one hello. Lists stay bytes until somebody asks.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Extensions<'a> {
    /// Empty in a ServerHello: the name was used.
    pub(crate) server_name: Option<&'a [u8]>,
    /// The code as sent; unknown ones are for the handshake to refuse.
    pub(crate) max_fragment_length: Option<u8>,
    pub(crate) record_size_limit: Option<u16>,
    pub(crate) supported_groups: Option<&'a [u8]>,
    pub(crate) ec_point_formats: Option<&'a [u8]>,
    pub(crate) signature_algorithms: Option<&'a [u8]>,
    pub(crate) client_certificate_type: Option<&'a [u8]>,
    pub(crate) server_certificate_type: Option<&'a [u8]>,
    pub(crate) encrypt_then_mac: bool,
    pub(crate) extended_master_secret: bool,
    pub(crate) session_ticket: Option<&'a [u8]>,
    pub(crate) connection_id: Option<&'a [u8]>,
    pub(crate) renegotiation_info: Option<&'a [u8]>,
}

impl<'a> Extensions<'a> {
    /// Reads the list that ends a hello; no list at all is an empty one.
    pub(crate) fn decode(
        reader: &mut Reader<'a>,
        hello: Hello,
    ) -> Result<Extensions<'a>, Malformed> {
        let mut extensions = Extensions::default();
        if reader.is_empty() {
            return Ok(extensions);
        }
        let mut list = Reader::new(reader.vector16()?);
        let mut seen: Vec<u16> = Vec::new();
        while !list.is_empty() {
            let number = list.u16()?;
            let body = list.vector16()?;
            if seen.contains(&number) {
                return Err(list.malformed("an extension twice"));
            }
            if seen.len() == EXTENSIONS_MAX {
                return Err(list.malformed("too many extensions"));
            }
            seen.push(number);
            extensions.take(number, body, hello)?;
        }
        Ok(extensions)
    }

    fn take(&mut self, number: u16, body: &'a [u8], hello: Hello) -> Result<(), Malformed> {
        let mut reader = Reader::new(body);
        match number {
            number::SERVER_NAME => self.server_name = Some(server_name(&mut reader, hello)?),
            number::MAX_FRAGMENT_LENGTH => self.max_fragment_length = Some(reader.u8()?),
            number::RECORD_SIZE_LIMIT => self.record_size_limit = Some(reader.u16()?),
            number::SUPPORTED_GROUPS => self.supported_groups = Some(reader.vector16()?),
            number::EC_POINT_FORMATS => self.ec_point_formats = Some(reader.vector8()?),
            number::SIGNATURE_ALGORITHMS => self.signature_algorithms = Some(reader.vector16()?),
            number::CLIENT_CERTIFICATE_TYPE => {
                self.client_certificate_type = Some(certificate_types(&mut reader, hello)?);
            }
            number::SERVER_CERTIFICATE_TYPE => {
                self.server_certificate_type = Some(certificate_types(&mut reader, hello)?);
            }
            number::ENCRYPT_THEN_MAC => self.encrypt_then_mac = true,
            number::EXTENDED_MASTER_SECRET => self.extended_master_secret = true,
            number::SESSION_TICKET => {
                let length = body.len();
                self.session_ticket = Some(reader.take(length)?);
            }
            number::CONNECTION_ID => self.connection_id = Some(reader.vector8()?),
            number::RENEGOTIATION_INFO => self.renegotiation_info = Some(reader.vector8()?),
            _ => return Ok(()),
        }
        reader.finish()
    }

    /// Appends the list with its length; nothing at all if it is empty.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, hello: Hello) {
        let mut list = Vec::new();
        let mut put = |number: u16, body: &[u8]| {
            put_u16(&mut list, number);
            put_vector16(&mut list, body);
        };
        let short = |bytes: &[u8]| {
            let mut body = Vec::with_capacity(1 + bytes.len());
            put_vector8(&mut body, bytes);
            body
        };
        let long = |bytes: &[u8]| {
            let mut body = Vec::with_capacity(2 + bytes.len());
            put_vector16(&mut body, bytes);
            body
        };
        let types = |codes: &[u8]| match hello {
            Hello::Client => short(codes),
            Hello::Server => codes.to_vec(),
        };
        if let Some(info) = self.renegotiation_info {
            put(number::RENEGOTIATION_INFO, &short(info));
        }
        match (self.server_name, hello) {
            (Some(name), Hello::Client) => {
                let mut entry = Vec::with_capacity(3 + name.len());
                entry.push(0);
                put_vector16(&mut entry, name);
                put(number::SERVER_NAME, &long(&entry));
            }
            (Some(_), Hello::Server) => put(number::SERVER_NAME, &[]),
            (None, _) => {}
        }
        if let Some(code) = self.max_fragment_length {
            put(number::MAX_FRAGMENT_LENGTH, &[code]);
        }
        if let Some(limit) = self.record_size_limit {
            put(number::RECORD_SIZE_LIMIT, &limit.to_be_bytes());
        }
        if let Some(groups) = self.supported_groups {
            put(number::SUPPORTED_GROUPS, &long(groups));
        }
        if let Some(formats) = self.ec_point_formats {
            put(number::EC_POINT_FORMATS, &short(formats));
        }
        if let Some(schemes) = self.signature_algorithms {
            put(number::SIGNATURE_ALGORITHMS, &long(schemes));
        }
        if let Some(codes) = self.client_certificate_type {
            put(number::CLIENT_CERTIFICATE_TYPE, &types(codes));
        }
        if let Some(codes) = self.server_certificate_type {
            put(number::SERVER_CERTIFICATE_TYPE, &types(codes));
        }
        if self.encrypt_then_mac {
            put(number::ENCRYPT_THEN_MAC, &[]);
        }
        if self.extended_master_secret {
            put(number::EXTENDED_MASTER_SECRET, &[]);
        }
        if let Some(ticket) = self.session_ticket {
            put(number::SESSION_TICKET, ticket);
        }
        if let Some(cid) = self.connection_id {
            put(number::CONNECTION_ID, &short(cid));
        }
        if !list.is_empty() {
            put_vector16(out, &list);
        }
    }

    /// True if the list of 16-bit codes holds this one, or if there is no list at all: an absent
    /// extension leaves the choice to us (RFC 8422 §4).
    pub(crate) fn allows(list: Option<&[u8]>, code: u16) -> bool {
        list.is_none_or(|list| list.chunks_exact(2).any(|pair| pair == code.to_be_bytes()))
    }
}

/// The first host name of the list (RFC 6066 §3); a ServerHello has none.
fn server_name<'a>(reader: &mut Reader<'a>, hello: Hello) -> Result<&'a [u8], Malformed> {
    if hello == Hello::Server {
        return Ok(&[]);
    }
    let mut list = Reader::new(reader.vector16()?);
    let mut first = None;
    while !list.is_empty() {
        let name_type = list.u8()?;
        let name = list.vector16()?;
        if name_type == 0 && first.is_none() {
            first = Some(name);
        }
    }
    first
        .filter(|name| !name.is_empty())
        .ok_or(list.malformed("no host name"))
}

/// A list in a ClientHello, one choice in a ServerHello (RFC 7250 §3).
fn certificate_types<'a>(reader: &mut Reader<'a>, hello: Hello) -> Result<&'a [u8], Malformed> {
    match hello {
        Hello::Client => reader.vector8(),
        Hello::Server => reader.take(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Extensions<'static> {
        Extensions {
            server_name: Some(b"lwm2m.example"),
            max_fragment_length: Some(2),
            record_size_limit: Some(513),
            supported_groups: Some(&[0, 23]),
            ec_point_formats: Some(&[0]),
            signature_algorithms: Some(&[4, 3]),
            client_certificate_type: Some(&[2, 0]),
            server_certificate_type: Some(&[2]),
            encrypt_then_mac: true,
            extended_master_secret: true,
            session_ticket: Some(b"ticket"),
            connection_id: Some(b""),
            renegotiation_info: Some(b""),
        }
    }

    #[test]
    fn the_extensions_of_a_client_hello_come_back() {
        let mut bytes = Vec::new();
        all().encode(&mut bytes, Hello::Client);
        let decoded = Extensions::decode(&mut Reader::new(&bytes), Hello::Client);
        assert_eq!(decoded, Ok(all()));
    }

    #[test]
    fn rfc7250_3_a_server_hello_names_one_type() {
        let sent = Extensions {
            client_certificate_type: Some(&[2]),
            ..Extensions::default()
        };
        let mut bytes = Vec::new();
        sent.encode(&mut bytes, Hello::Server);
        assert_eq!(bytes, [0, 5, 0, 19, 0, 1, 2]);
        let decoded = Extensions::decode(&mut Reader::new(&bytes), Hello::Server);
        assert_eq!(decoded, Ok(sent));
    }

    #[test]
    fn an_extension_may_come_once_only() {
        let bytes = [0, 8, 0, 23, 0, 0, 0, 23, 0, 0];
        assert!(Extensions::decode(&mut Reader::new(&bytes), Hello::Client).is_err());
        let unknown_twice = [0, 8, 0x5a, 0x5a, 0, 0, 0x5a, 0x5a, 0, 0];
        assert!(Extensions::decode(&mut Reader::new(&unknown_twice), Hello::Client).is_err());
    }

    #[test]
    fn unknown_extensions_are_skipped() {
        let bytes = [0, 6, 0x5a, 0x5a, 0, 2, 9, 9];
        let decoded = Extensions::decode(&mut Reader::new(&bytes), Hello::Client);
        assert_eq!(decoded, Ok(Extensions::default()));
    }
}
