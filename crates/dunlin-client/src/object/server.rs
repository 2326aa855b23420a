//! Object 1, Server: what a Server may set of its own account (TS 1.0 §E.2).

use dunlin_lwm2m::operation::{Arguments, Binding, ResponseCode};
use dunlin_lwm2m::{Instance, Resource, ResourceId, Value};
use dunlin_transport::Now;

use super::{Action, Behaviour};
use crate::tree::Refusal;

/// Short Server ID.
pub(crate) const SHORT_SERVER_ID: u16 = 0;
/// Lifetime, seconds.
pub(crate) const LIFETIME: u16 = 1;
/// Default Minimum Period, seconds.
pub(crate) const DEFAULT_PMIN: u16 = 2;
/// Default Maximum Period, seconds.
pub(crate) const DEFAULT_PMAX: u16 = 3;
/// Disable.
pub(crate) const DISABLE: u16 = 4;
/// Disable Timeout, seconds.
pub(crate) const DISABLE_TIMEOUT: u16 = 5;
/// Notification Storing When Disabled or Offline.
pub(crate) const STORING: u16 = 6;
/// Binding.
pub(crate) const BINDING: u16 = 7;
/// Registration Update Trigger.
pub(crate) const UPDATE_TRIGGER: u16 = 8;

/// Object 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Server;

impl Behaviour for Server {
    fn check(&self, written: &Instance) -> Result<(), Refusal> {
        let bad = |what| Err(Refusal::new(ResponseCode::BadRequest, what));
        for seconds in [LIFETIME, DEFAULT_PMIN, DEFAULT_PMAX, DISABLE_TIMEOUT] {
            let value = written.value(seconds).and_then(Value::as_integer);
            if value.is_some_and(|value| u32::try_from(value).is_err()) {
                return bad("a time in seconds is negative or beyond 32 bits");
            }
        }
        let binding = written.value(BINDING).and_then(Value::as_str);
        if binding.is_some_and(|text| Binding::parse(text).is_none()) {
            return bad("the Binding is none of U, UQ, S, SQ, US, UQS");
        }
        Ok(())
    }

    fn fill(&self, created: &mut Instance) {
        if created.resource(STORING).is_none() {
            created.insert(Resource::single(STORING, Value::Boolean(true)));
        }
    }

    fn execute(
        &mut self,
        _instance: &mut Instance,
        resource: ResourceId,
        _arguments: &Arguments,
        _now: Now,
    ) -> Result<Action, Refusal> {
        Ok(match resource.0 {
            DISABLE => Action::Disable,
            UPDATE_TRIGGER => Action::Update,
            _ => Action::Tell,
        })
    }
}
