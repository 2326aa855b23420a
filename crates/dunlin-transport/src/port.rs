//! Which of our doors a datagram came in at, and leaves by.

/// A door of ours: the role that listens there, in the clear or under DTLS. A Client has
/// [`Port::Coap`] and [`Port::Coaps`] alone, whomever it speaks to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Port {
    /// `coap://`, by default 5683 (RFC 7252 §6.1).
    #[default]
    Coap,
    /// `coaps://`, by default 5684 (RFC 7252 §6.2).
    Coaps,
    /// The Bootstrap-Server's own, in the clear.
    BootstrapCoap,
    /// The Bootstrap-Server's own, under DTLS.
    BootstrapCoaps,
}

impl Port {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Coap,
        Self::Coaps,
        Self::BootstrapCoap,
        Self::BootstrapCoaps,
    ];

    /// Whether datagrams here are records of DTLS.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Coaps | Self::BootstrapCoaps)
    }

    /// Whether it is the Bootstrap-Server's own: who comes here may bootstrap and nothing else.
    #[must_use]
    pub const fn is_bootstrap(self) -> bool {
        matches!(self, Self::BootstrapCoap | Self::BootstrapCoaps)
    }

    /// The word used in configuration, logs and REST.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coap => "coap",
            Self::Coaps => "coaps",
            Self::BootstrapCoap => "bootstrap-coap",
            Self::BootstrapCoaps => "bootstrap-coaps",
        }
    }

    /// Its place in [`Port::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_at_its_index() {
        for (index, port) in Port::ALL.into_iter().enumerate() {
            assert_eq!(port.index(), index);
            assert_eq!(port.is_secure(), port.name().ends_with("coaps"));
            assert_eq!(port.is_bootstrap(), port.name().starts_with("bootstrap-"));
        }
    }
}
