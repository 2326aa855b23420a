//! Object 0, Security: written in bootstrap or by the factory, out of reach for every Server
//! (TS 1.0 §E.1).

use super::Behaviour;

/// Object 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Security;

impl Behaviour for Security {
    fn creatable(&self) -> bool {
        false
    }

    fn deletable(&self) -> bool {
        false
    }
}
