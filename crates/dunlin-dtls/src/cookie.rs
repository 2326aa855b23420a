//! Cookies without memory (RFC 6347 §4.2.1): a MAC over the address and the ClientHello, so that
//! a client has to show that it hears what is sent to its address before it costs us anything.

use core::time::Duration;

use rand_core::Rng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::crypto::hmac;
use crate::message::client_hello::AroundCookie;
use crate::{Instant, Random};

/// Short, as every byte is paid for on a narrow radio; guessing one is hopeless all the same.
pub(crate) const COOKIE_LENGTH: usize = 16;
/// A secret makes cookies for this long and is good for as long again: longer than the slowest
/// round trip, shorter than it pays to collect cookies.
const SECRET_LIFETIME: Duration = Duration::from_secs(120);

/// The current secret and the one before.
pub(crate) struct Cookies {
    current: Zeroizing<[u8; 32]>,
    previous: Zeroizing<[u8; 32]>,
    current_until: Instant,
}

impl Cookies {
    pub(crate) fn new(random: &mut Random) -> Cookies {
        let mut draw = || {
            let mut secret = Zeroizing::new([0; 32]);
            random.fill_bytes(&mut secret[..]);
            secret
        };
        Cookies {
            current: draw(),
            previous: draw(),
            current_until: Instant::ZERO,
        }
    }

    /// Makes new secrets when it is time.
    pub(crate) fn rotate(&mut self, now: Instant, random: &mut Random) {
        if now < self.current_until {
            return;
        }
        if now >= self.current_until + SECRET_LIFETIME {
            // Nobody asked for long: what the current secret made has expired too.
            random.fill_bytes(&mut self.previous[..]);
        } else {
            self.previous.copy_from_slice(&self.current[..]);
        }
        random.fill_bytes(&mut self.current[..]);
        self.current_until = now + SECRET_LIFETIME;
    }

    /// The cookie for this ClientHello from this address.
    pub(crate) fn make(&self, from: Address, hello: &AroundCookie<'_>) -> [u8; COOKIE_LENGTH] {
        mac(&self.current, from, hello)
    }

    /// Did we make this cookie, not long ago?
    pub(crate) fn verify(&self, from: Address, hello: &AroundCookie<'_>, cookie: &[u8]) -> bool {
        let by = |secret| mac(secret, from, hello)[..].ct_eq(cookie);
        (by(&self.current) | by(&self.previous)).into()
    }
}

fn mac(secret: &[u8; 32], from: Address, hello: &AroundCookie<'_>) -> [u8; COOKIE_LENGTH] {
    let mac = hmac(secret, &[&from.to_bytes(), hello.before, hello.after]);
    let mut cookie = [0; COOKIE_LENGTH];
    cookie.copy_from_slice(&mac[..COOKIE_LENGTH]);
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    const HELLO: AroundCookie<'_> = AroundCookie {
        before: b"before",
        after: b"after",
    };

    #[test]
    fn rfc6347_4_2_1_a_cookie_holds_for_its_address_and_hello() {
        let mut random = Random::from_seed([1; 32]);
        let mut cookies = Cookies::new(&mut random);
        cookies.rotate(Instant::ZERO, &mut random);
        let (here, there) = (Address::other([1; 16], 1), Address::other([1; 16], 2));
        let cookie = cookies.make(here, &HELLO);
        assert!(cookies.verify(here, &HELLO, &cookie));
        assert!(!cookies.verify(there, &HELLO, &cookie));
        let other = AroundCookie {
            before: b"before",
            after: b"after.",
        };
        assert!(!cookies.verify(here, &other, &cookie));
        assert!(!cookies.verify(here, &HELLO, b""));
    }

    #[test]
    fn a_cookie_outlives_one_rotation_and_not_two() {
        let mut random = Random::from_seed([1; 32]);
        let mut cookies = Cookies::new(&mut random);
        let here = Address::other([1; 16], 1);
        cookies.rotate(Instant::ZERO, &mut random);
        let cookie = cookies.make(here, &HELLO);
        cookies.rotate(SECRET_LIFETIME, &mut random);
        assert_ne!(cookies.make(here, &HELLO), cookie);
        assert!(cookies.verify(here, &HELLO, &cookie));
        cookies.rotate(SECRET_LIFETIME * 2, &mut random);
        assert!(!cookies.verify(here, &HELLO, &cookie));
    }

    #[test]
    fn after_a_long_silence_no_old_cookie_holds() {
        let mut random = Random::from_seed([1; 32]);
        let mut cookies = Cookies::new(&mut random);
        let here = Address::other([1; 16], 1);
        cookies.rotate(Instant::ZERO, &mut random);
        let cookie = cookies.make(here, &HELLO);
        cookies.rotate(SECRET_LIFETIME * 3, &mut random);
        assert!(!cookies.verify(here, &HELLO, &cookie));
    }
}
