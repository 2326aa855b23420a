//! Object 5, Firmware Update, as data: its Resources and what may be executed when (TS 1.0 §E.6).
//! What happens over time - packages that come, checks, installation - is in `firmware.rs`.

use dunlin_lwm2m::operation::{Arguments, ResponseCode};
use dunlin_lwm2m::{Instance, Resource, ResourceId, ResourceInstanceId, Value};
use dunlin_transport::Now;

use super::{Action, Behaviour};
use crate::tree::Refusal;

/// Package.
pub(crate) const PACKAGE: u16 = 0;
/// Package URI.
pub(crate) const PACKAGE_URI: u16 = 1;
/// Update.
const UPDATE: u16 = 2;
/// State.
pub(crate) const STATE: u16 = 3;
/// Update Result.
pub(crate) const UPDATE_RESULT: u16 = 5;
/// PkgName.
pub(crate) const PACKAGE_NAME: u16 = 6;
/// PkgVersion.
pub(crate) const PACKAGE_VERSION: u16 = 7;
/// Firmware Update Protocol Support.
pub(crate) const PROTOCOLS: u16 = 8;
/// Firmware Update Delivery Method.
pub(crate) const DELIVERY: u16 = 9;

/// Object 5. Its instance is made with [`FirmwareUpdate::instance`]; the package itself is never
/// among the values, it goes to where [`PackageStep`](crate::PackageStep) says.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirmwareUpdate;

/// A protocol by which a package can be pulled (`/5/0/8`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PullProtocol {
    /// CoAP, block by block: the machine does it itself.
    Coap = 0,
    /// CoAP over DTLS.
    Coaps = 1,
    /// HTTP 1.1: the driver does it.
    Http = 2,
    /// HTTP 1.1 over TLS.
    Https = 3,
}

/// How packages come (`/5/0/9`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The Client downloads them.
    Pull = 0,
    /// The Server writes them.
    Push = 1,
    /// Either.
    Both = 2,
}

impl FirmwareUpdate {
    /// The instance of a device without a package, in state Idle.
    #[must_use]
    pub fn instance(protocols: &[PullProtocol], delivery: Delivery) -> Instance {
        let listed = (0..).zip(protocols).map(|(id, protocol)| {
            let number = Value::Integer(*protocol as i64);
            (ResourceInstanceId(id), number)
        });
        Instance::new(0)
            // Nobody reads it; it says that the Resource is there.
            .with(Resource::single(PACKAGE, Value::Opaque(Default::default())))
            .with(Resource::single(
                PACKAGE_URI,
                Value::String(Default::default()),
            ))
            .with(Resource::single(STATE, Value::Integer(0)))
            .with(Resource::single(UPDATE_RESULT, Value::Integer(0)))
            .with(Resource::multiple(PROTOCOLS, listed))
            .with(Resource::single(DELIVERY, Value::Integer(delivery as i64)))
    }
}

impl Behaviour for FirmwareUpdate {
    fn execute(
        &mut self,
        instance: &mut Instance,
        resource: ResourceId,
        _arguments: &Arguments,
        _now: Now,
    ) -> Result<Action, Refusal> {
        if resource.0 != UPDATE {
            return Ok(Action::Tell);
        }
        if instance.value(STATE) != Some(&Value::Integer(2)) {
            let what = "there is no package that is downloaded";
            return Err(Refusal::new(ResponseCode::MethodNotAllowed, what));
        }
        instance.insert(Resource::single(STATE, Value::Integer(3)));
        instance.insert(Resource::single(UPDATE_RESULT, Value::Integer(0)));
        Ok(Action::Install)
    }

    fn creatable(&self) -> bool {
        false
    }

    fn deletable(&self) -> bool {
        false
    }
}
