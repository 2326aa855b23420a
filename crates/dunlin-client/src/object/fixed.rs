//! An Object whose instances are the Client's own: Connectivity Monitoring (4) and Location (6). The device sets
//! the values, Servers read them.

use super::Behaviour;

/// Servers neither create nor delete instances.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed;

impl Behaviour for Fixed {
    fn creatable(&self) -> bool {
        false
    }

    fn deletable(&self) -> bool {
        false
    }
}
