//! Alerts (RFC 5246 §7.2): two bytes, and the names of those we send.

use core::fmt;

pub(crate) const LEVEL_WARNING: u8 = 1;
pub(crate) const LEVEL_FATAL: u8 = 2;

/// What an alert says; any number of the IANA registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlertDescription(pub u8);

#[allow(missing_docs)] // The names are the registry's.
impl AlertDescription {
    pub const CLOSE_NOTIFY: AlertDescription = AlertDescription(0);
    pub const UNEXPECTED_MESSAGE: AlertDescription = AlertDescription(10);
    pub const BAD_RECORD_MAC: AlertDescription = AlertDescription(20);
    pub const HANDSHAKE_FAILURE: AlertDescription = AlertDescription(40);
    pub const BAD_CERTIFICATE: AlertDescription = AlertDescription(42);
    pub const UNSUPPORTED_CERTIFICATE: AlertDescription = AlertDescription(43);
    pub const CERTIFICATE_UNKNOWN: AlertDescription = AlertDescription(46);
    pub const ILLEGAL_PARAMETER: AlertDescription = AlertDescription(47);
    pub const DECRYPT_ERROR: AlertDescription = AlertDescription(51);
    pub const PROTOCOL_VERSION: AlertDescription = AlertDescription(70);
    pub const INTERNAL_ERROR: AlertDescription = AlertDescription(80);
    pub const USER_CANCELED: AlertDescription = AlertDescription(90);
    pub const NO_RENEGOTIATION: AlertDescription = AlertDescription(100);
    pub const UNSUPPORTED_EXTENSION: AlertDescription = AlertDescription(110);
    pub const UNRECOGNIZED_NAME: AlertDescription = AlertDescription(112);
    pub const UNKNOWN_PSK_IDENTITY: AlertDescription = AlertDescription(115);

    fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            _ => return None,
        })
    }
}

impl fmt::Display for AlertDescription {
    /// The name of the registry, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}

impl fmt::Debug for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An alert as sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Alert {
    pub(crate) fatal: bool,
    pub(crate) description: AlertDescription,
}

impl Alert {
    pub(crate) fn fatal(description: AlertDescription) -> Alert {
        Alert {
            fatal: true,
            description,
        }
    }

    pub(crate) fn warning(description: AlertDescription) -> Alert {
        Alert {
            fatal: false,
            description,
        }
    }

    pub(crate) fn encode(self) -> [u8; 2] {
        [
            if self.fatal {
                LEVEL_FATAL
            } else {
                LEVEL_WARNING
            },
            self.description.0,
        ]
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Alert> {
        match *bytes {
            [LEVEL_WARNING, code] => Some(Alert::warning(AlertDescription(code))),
            [LEVEL_FATAL, code] => Some(Alert::fatal(AlertDescription(code))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn alerts_come_back_and_other_bytes_are_none() {
        for alert in [
            Alert::fatal(AlertDescription::DECRYPT_ERROR),
            Alert::warning(AlertDescription::CLOSE_NOTIFY),
        ] {
            assert_eq!(Alert::decode(&alert.encode()), Some(alert));
        }
        for bytes in [&[][..], &[1], &[0, 0], &[3, 40], &[1, 0, 0]] {
            assert_eq!(Alert::decode(bytes), None);
        }
        assert_eq!(AlertDescription(115).to_string(), "unknown_psk_identity");
        assert_eq!(AlertDescription(200).to_string(), "alert 200");
    }
}
