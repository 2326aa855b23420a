//! An Object that is data: values are kept, and what is executed is told to the embedder.

use super::Behaviour;

/// No behaviour of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Behaviour for Plain {}
