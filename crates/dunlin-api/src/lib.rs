//! REST, event stream and embedded UI over whatever can answer them.

mod address;
pub mod auth;
pub mod backend;
pub mod credential;
mod csv;
mod der;
pub mod error;
pub mod event;
mod extract;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
#[doc(hidden)]
pub mod fuzz;
mod guard;
pub mod knock;
mod profile;
mod route;
mod serve;
mod state;
mod stream;
pub mod time;
mod tree;
mod ui;
pub mod value;
pub mod view;

pub use address::{ClientAddress, NoAddress};
pub use extract::segment;
pub use route::{openapi, router};
pub use serve::serve;
pub use state::Settings;
