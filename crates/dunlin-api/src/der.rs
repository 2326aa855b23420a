//! As much of X.509 (RFC 5280 §4.1) as a person wants to see of a certificate: for whom it is, and until when. Whether it is
//! to be trusted is not judged here.

use crate::time::Timestamp;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The subject's common name.
    pub(crate) common_name: Option<String>,
    /// When it ends.
    pub(crate) not_after: Option<Timestamp>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Everything before the point in an uncompressed SubjectPublicKeyInfo on P-256 (RFC 5480 §2), and the point's mark.
const P256_HEAD: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// Whether this is the SubjectPublicKeyInfo of a P-256 key in the one form that TLS compares.
pub(crate) fn is_p256_public_key(der: &[u8]) -> bool {
    der.len() == P256_HEAD.len() + 64 && der.starts_with(&P256_HEAD)
}

/// Reads a certificate. `None` if it is none.
pub(crate) fn names(der: &[u8]) -> Option<Names> {
    let mut outer = Reader(der);
    let mut certificate = Reader(outer.take(SEQUENCE)?);
    if !outer.0.is_empty() {
        return None;
    }
    let mut tbs = Reader(certificate.take(SEQUENCE)?);
    // Version, which is not there in version 1.
    if tbs.0.first() == Some(&0xa0) {
        tbs.next()?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        tbs.next()?;
    }
    let mut validity = Reader(tbs.take(SEQUENCE)?);
    validity.next()?;
    let not_after = validity.next().and_then(|(tag, text)| moment(tag, text));
    let subject = tbs.take(SEQUENCE)?;
    tbs.take(SEQUENCE)?;
    Some(Names {
        common_name: common_name(subject),
        not_after,
    })
}

fn common_name(subject: &[u8]) -> Option<String> {
    let mut sets = Reader(subject);
    while let Some(set) = sets.take(SET) {
        let mut attributes = Reader(set);
        while let Some(attribute) = attributes.take(SEQUENCE) {
            let mut attribute = Reader(attribute);
            if attribute.take(OBJECT_ID) == Some(COMMON_NAME) {
                let (_, text) = attribute.next()?;
                return String::from_utf8(text.to_vec()).ok();
            }
        }
    }
    None
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5).
fn moment(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits
            .iter()
            .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                &digits[2..],
            )
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&rest[at..at + 2]));
    Timestamp::of_date((year, month, day), (hour, minute, second))
}

/// Elements one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: its tag and what it holds.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (
                    bytes
                        .iter()
                        .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
                    rest,
                )
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next element, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = Reader(self.0);
        let (found, content) = ahead.next()?;
        (found == tag).then(|| {
            self.0 = ahead.0;
            content
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_have_two_forms() {
        let text = |tag, text: &str| moment(tag, text.as_bytes()).map(|at| at.to_string());
        assert_eq!(
            text(UTC_TIME, "491231235959Z").unwrap(),
            "2049-12-31T23:59:59.000Z"
        );
        assert_eq!(
            text(GENERALIZED_TIME, "20500101000000Z").unwrap(),
            "2050-01-01T00:00:00.000Z"
        );
        for (tag, wrong) in [
            (UTC_TIME, "500101000000Z"),
            (UTC_TIME, "20500101000000Z"),
            (GENERALIZED_TIME, "20500230000000Z"),
            (GENERALIZED_TIME, "2050010100000xZ"),
            (SEQUENCE, "20500101000000Z"),
        ] {
            assert_eq!(text(tag, wrong), None, "{wrong}");
        }
    }

    fn certificate() -> Vec<u8> {
        let text = crate::credential::tests::CERTIFICATE;
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        data_encoding::BASE64.decode(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_certificate_that_is_cut_is_none() {
        let whole = certificate();
        assert!(names(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(names(&whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = names(&bytes);
        }

        #[test]
        fn altered_certificates_never_panic(at in 0usize..400, byte: u8) {
            let mut der = certificate();
            let at = at % der.len();
            der[at] = byte;
            let _ = names(&der);
        }
    }
}
