//! The only entropy of the operating system in dunlin.
//!
//! A machine is seeded once, when it is made; everything it draws afterwards comes from its own
//! generator. So a run of the product is as repeatable as its seed, and a generator that fails can
//! fail only here, at start.

use std::io;

/// What seeds one machine.
pub type Seed = [u8; 32];

/// Draws a fresh seed from the operating system.
///
/// # Errors
///
/// When the system has no entropy to give. Nothing that needs a secret may then go on: the caller
/// stops and says so.
pub fn draw() -> io::Result<Seed> {
    let mut seed = Seed::default();
    getrandom::fill(&mut seed).map_err(io::Error::from)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ_and_neither_is_empty() {
        let (one, other) = (draw().expect("entropy"), draw().expect("entropy"));
        assert_ne!(one, other);
        assert_ne!(one, Seed::default());
    }
}
