//! The four interfaces as data: registration and bootstrap requests go up, management, reporting
//! and bootstrap operations go down (TS 5.2 to 5.5).
//!
//! `dunlin-transport` spells them in CoAP; the roles decide what they mean. All sets are closed:
//! matches name every variant, so that the compiler finds every place when one is added.

mod arguments;
mod bootstrap;
mod management;
mod registration;
mod response;

pub use arguments::{Argument, Arguments, ArgumentsError};
pub use bootstrap::{BootstrapRequest, BootstrapRequestError};
pub use management::{Operation, WriteMode};
pub use registration::{
    BINDING_BYTES_MAX, Binding, Deregister, LIFETIME_S_DEFAULT, PARAMETER_BYTES_MAX,
    PARAMETERS_MAX, Register, RegistrationError, SMS_NUMBER_DIGITS_MAX, SmsNumber, Strictness,
    Update,
};
pub use response::{Response, ResponseCode};

/// What a Client asks of a Server or Bootstrap-Server, without being asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Uplink {
    /// I am here (TS 5.3.1).
    Register(Register),
    /// I am still here, or something has changed (TS 5.3.2).
    Update(Update),
    /// I am leaving (TS 5.3.3).
    Deregister(Deregister),
    /// Please tell me my Servers (TS 5.2.7.1).
    BootstrapRequest(BootstrapRequest),
}
