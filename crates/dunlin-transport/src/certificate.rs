//! The names in a certificate: the subject's common name, and its alternative names of type DNS and
//! URI (RFC 5280 §4.1.2.6, §4.2.1.6). Nothing is verified here; the verdict has been given before.
//!
//! A reader of DER (X.690) that knows no more than it takes to get there. Whatever it does not
//! understand it passes over: a certificate without names that can be read has none.

use alloc::string::String;
use alloc::vec::Vec;

/// More alternative names than this in one certificate are not kept; a device has a few.
pub const ALTERNATIVE_NAMES_MAX: usize = 16;

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0] version` and `[3] extensions` of a TBSCertificate.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `[2] dNSName` and `[6] uniformResourceIdentifier` of a GeneralName.
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;

/// 2.5.4.3, commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17, subjectAltName.
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// What a certificate calls its subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// The subject's common name; the last one, where there are several.
    pub common_name: Option<String>,
    /// Its alternative names of type DNS and URI, at most [`ALTERNATIVE_NAMES_MAX`].
    pub alternative_names: Vec<String>,
}

/// The names in a certificate (DER). Empty where it cannot be read.
#[must_use]
pub fn certificate_names(der: &[u8]) -> CertificateNames {
    let mut names = CertificateNames::default();
    // What was read before something unreadable is kept.
    let _ = read(der, &mut names);
    names
}

fn read(der: &[u8], names: &mut CertificateNames) -> Option<()> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut rest, _) = expect(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer, validity.
    rest = expect(rest, INTEGER)?.1;
    for _ in 0..3 {
        rest = expect(rest, SEQUENCE)?.1;
    }
    let (subject, rest) = expect(rest, SEQUENCE)?;
    read_subject(subject, names);
    let mut rest = expect(rest, SEQUENCE)?.1;
    while !rest.is_empty() {
        let (tag, content, more) = element(rest)?;
        if tag == EXTENSIONS {
            return read_extensions(expect(content, SEQUENCE)?.0, names);
        }
        rest = more;
    }
    Some(())
}

/// A Name: relative names, each a set of attributes.
fn read_subject(mut subject: &[u8], names: &mut CertificateNames) -> Option<()> {
    while !subject.is_empty() {
        let (mut set, more) = expect(subject, SET)?;
        while !set.is_empty() {
            let (attribute, others) = expect(set, SEQUENCE)?;
            let (kind, value) = expect(attribute, OBJECT_IDENTIFIER)?;
            let (tag, text, _) = element(value)?;
            let readable = matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING);
            if kind == COMMON_NAME && readable {
                names.common_name = core::str::from_utf8(text).ok().map(Into::into);
            }
            set = others;
        }
        subject = more;
    }
    Some(())
}

fn read_extensions(mut extensions: &[u8], names: &mut CertificateNames) -> Option<()> {
    while !extensions.is_empty() {
        let (extension, more) = expect(extensions, SEQUENCE)?;
        let (kind, mut rest) = expect(extension, OBJECT_IDENTIFIER)?;
        if kind == SUBJECT_ALTERNATIVE_NAME {
            // `critical` may stand between.
            while *rest.first()? != OCTET_STRING {
                rest = element(rest)?.2;
            }
            let (value, _) = expect(rest, OCTET_STRING)?;
            return read_alternative_names(expect(value, SEQUENCE)?.0, names);
        }
        extensions = more;
    }
    Some(())
}

fn read_alternative_names(mut rest: &[u8], names: &mut CertificateNames) -> Option<()> {
    while !rest.is_empty() && names.alternative_names.len() < ALTERNATIVE_NAMES_MAX {
        let (tag, content, more) = element(rest)?;
        if matches!(tag, DNS_NAME | URI)
            && let Ok(name) = core::str::from_utf8(content)
        {
            names.alternative_names.push(name.into());
        }
        rest = more;
    }
    Some(())
}

/// The content of an element with this tag, and what follows it.
fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content and rest; X.690 §8.1. Tags above 30 and indefinite lengths do not occur.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => {
            let (digits, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*digits)), rest)
        }
        // No certificate that DTLS carries is longer than 64 KB.
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn issued(common_name: Option<&str>, names: &[&str]) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "nobody");
        if let Some(name) = common_name {
            parameters
                .distinguished_name
                .push(rcgen::DnType::CommonName, name);
        }
        for name in names {
            let name = (*name).try_into().unwrap();
            let is_uri = <rcgen::string::Ia5String as AsRef<str>>::as_ref(&name).contains(':');
            parameters.subject_alt_names.push(if is_uri {
                rcgen::SanType::URI(name)
            } else {
                rcgen::SanType::DnsName(name)
            });
        }
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn rfc5280_4_1_2_6_the_names_of_the_subject_are_read() {
        let der = issued(Some("lamp-1"), &["lamp-1.example", "urn:dev:mac:0024"]);
        let names = certificate_names(&der);
        assert_eq!(names.common_name.as_deref(), Some("lamp-1"));
        assert_eq!(
            names.alternative_names,
            ["lamp-1.example", "urn:dev:mac:0024"]
        );
        assert_eq!(
            certificate_names(&issued(None, &[])),
            CertificateNames::default()
        );
    }

    #[test]
    fn a_certificate_that_is_cut_off_keeps_what_was_read() {
        let der = issued(Some("lamp-1"), &["lamp-1.example"]);
        for length in 0..der.len() {
            assert_eq!(
                certificate_names(&der[..length]),
                CertificateNames::default(),
                "the outer length does not fit"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_names_within_bounds(
            noise in proptest::collection::vec(any::<u8>(), 0..300),
            at in 0usize..400,
            byte: u8,
        ) {
            let _ = certificate_names(&noise);
            let mut der = issued(Some("lamp-1"), &["lamp-1.example"]);
            let at = at % der.len();
            der[at] = byte;
            let names = certificate_names(&der);
            prop_assert!(names.alternative_names.len() <= ALTERNATIVE_NAMES_MAX);
        }
    }
}
