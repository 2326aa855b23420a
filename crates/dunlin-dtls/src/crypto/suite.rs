//! The cipher suites of LwM2M (TS 1.0 §7.1, RFC 7925 §4.2) as a table.

use core::fmt;

use super::aead::Aead;

/// A cipher suite this crate knows. All use AES-128 and SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CipherSuite {
    /// `TLS_PSK_WITH_AES_128_CCM_8` (RFC 6655): what every LwM2M device has.
    PskAes128Ccm8,
    /// `TLS_PSK_WITH_AES_128_CCM` (RFC 6655).
    PskAes128Ccm,
    /// `TLS_PSK_WITH_AES_128_GCM_SHA256` (RFC 5487).
    PskAes128Gcm,
    /// `TLS_PSK_WITH_AES_128_CBC_SHA256` (RFC 5487); never offered unless asked for.
    PskAes128Cbc,
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8` (RFC 7251).
    EcdheEcdsaAes128Ccm8,
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_CCM` (RFC 7251).
    EcdheEcdsaAes128Ccm,
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256` (RFC 5289).
    EcdheEcdsaAes128Gcm,
    /// `TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256` (RFC 5289); never offered unless asked for.
    EcdheEcdsaAes128Cbc,
}

/// How the two sides come to a shared secret and know each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyExchange {
    Psk,
    EcdheEcdsa,
}

/// How records are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protection {
    Aead(Aead),
    Cbc,
}

struct Row {
    suite: CipherSuite,
    code: u16,
    name: &'static str,
    key_exchange: KeyExchange,
    protection: Protection,
}

const fn row(
    suite: CipherSuite,
    code: u16,
    name: &'static str,
    key_exchange: KeyExchange,
    protection: Protection,
) -> Row {
    Row {
        suite,
        code,
        name,
        key_exchange,
        protection,
    }
}

/// In the order of the enum, so that a suite is its own index.
#[rustfmt::skip]
static TABLE: [Row; 8] = {
    use CipherSuite::*;
    use KeyExchange::*;
    use Protection::Cbc;
    const CCM8: Protection = Protection::Aead(Aead::Ccm8);
    const CCM: Protection = Protection::Aead(Aead::Ccm);
    const GCM: Protection = Protection::Aead(Aead::Gcm);
    [
        row(PskAes128Ccm8, 0xc0a8, "TLS_PSK_WITH_AES_128_CCM_8", Psk, CCM8),
        row(PskAes128Ccm, 0xc0a4, "TLS_PSK_WITH_AES_128_CCM", Psk, CCM),
        row(PskAes128Gcm, 0x00a8, "TLS_PSK_WITH_AES_128_GCM_SHA256", Psk, GCM),
        row(PskAes128Cbc, 0x00ae, "TLS_PSK_WITH_AES_128_CBC_SHA256", Psk, Cbc),
        row(EcdheEcdsaAes128Ccm8, 0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", EcdheEcdsa, CCM8),
        row(EcdheEcdsaAes128Ccm, 0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", EcdheEcdsa, CCM),
        row(EcdheEcdsaAes128Gcm, 0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", EcdheEcdsa, GCM),
        row(EcdheEcdsaAes128Cbc, 0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", EcdheEcdsa, Cbc),
    ]
};

impl CipherSuite {
    /// Every suite, CBC too.
    pub const ALL: [CipherSuite; 8] = [
        CipherSuite::PskAes128Ccm8,
        CipherSuite::PskAes128Ccm,
        CipherSuite::PskAes128Gcm,
        CipherSuite::PskAes128Cbc,
        CipherSuite::EcdheEcdsaAes128Ccm8,
        CipherSuite::EcdheEcdsaAes128Ccm,
        CipherSuite::EcdheEcdsaAes128Gcm,
        CipherSuite::EcdheEcdsaAes128Cbc,
    ];

    /// What is offered and accepted unless told otherwise, in order of preference: the small
    /// CCM_8 first, as LwM2M devices have it in hardware; no CBC (RFC 7457).
    pub const DEFAULT: [CipherSuite; 6] = [
        CipherSuite::PskAes128Ccm8,
        CipherSuite::EcdheEcdsaAes128Ccm8,
        CipherSuite::EcdheEcdsaAes128Gcm,
        CipherSuite::PskAes128Gcm,
        CipherSuite::EcdheEcdsaAes128Ccm,
        CipherSuite::PskAes128Ccm,
    ];

    /// The number of the IANA registry.
    pub fn code(self) -> u16 {
        self.row().code
    }

    /// The suite with this number of the IANA registry.
    pub fn from_code(code: u16) -> Option<CipherSuite> {
        TABLE
            .iter()
            .find(|row| row.code == code)
            .map(|row| row.suite)
    }

    /// True for the CBC suites, which are off by default.
    pub fn is_cbc(self) -> bool {
        self.protection() == Protection::Cbc
    }

    /// True for the suites with a pre-shared key.
    pub fn is_psk(self) -> bool {
        self.key_exchange() == KeyExchange::Psk
    }

    pub(crate) fn key_exchange(self) -> KeyExchange {
        self.row().key_exchange
    }

    pub(crate) fn protection(self) -> Protection {
        self.row().protection
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

impl fmt::Display for CipherSuite {
    /// The name of the IANA registry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_suite_is_its_own_row_and_comes_back_by_code() {
        for suite in CipherSuite::ALL {
            assert_eq!(suite.row().suite, suite);
            assert_eq!(CipherSuite::from_code(suite.code()), Some(suite));
            assert_eq!(suite.to_string().starts_with("TLS_PSK"), suite.is_psk());
            assert_eq!(suite.to_string().contains("CBC"), suite.is_cbc());
        }
        assert_eq!(CipherSuite::from_code(0x002f), None);
    }

    #[test]
    fn cbc_is_off_by_default() {
        assert!(!CipherSuite::DEFAULT.iter().any(|suite| suite.is_cbc()));
    }
}
