//! What the device itself knows, and how it comes into the Objects.
//!
//! A [`Source`] is asked now and then by whoever drives the Client, and what it says is handed in with
//! [`Client::take`]: all of one moment at once, so that a Server that observes a whole instance never sees half of
//! it. Nothing else is needed for Servers to be told.

use alloc::vec::Vec;
use core::fmt;

use dunlin_lwm2m::{ObjectId, ObjectInstanceId, Path, ResourceValue, Value};
use dunlin_transport::{Now, WallTime};

use crate::client::Client;
use crate::object::{ErrorCode, Traffic};

/// Something that measures: the one trait between a device and the Objects 3, 4, 6 and 7, or any other.
pub trait Source: fmt::Debug + Send {
    /// What is so now. What has not changed may be left out or said again.
    fn measure(&mut self, now: Now) -> Vec<Sample>;
}

/// One thing that a [`Source`] says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Sample {
    /// A Resource has this value.
    Value(Path, ResourceValue),
    /// A Resource has no value any more.
    Gone(Path),
    /// The counters of the network stand here; for Object 7.
    Traffic(Traffic),
    /// This error is there (`/3/0/11`).
    Raised(ErrorCode),
    /// This error is not there, or not any more.
    Cleared(ErrorCode),
}

impl Sample {
    /// A single value.
    #[must_use]
    pub fn single(path: impl Into<Path>, value: Value) -> Self {
        Self::Value(path.into(), ResourceValue::Single(value))
    }
}

/// Where the device is, for Object 6 (TS 1.0 §E.7).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fix {
    /// Degrees north in WGS 84.
    pub latitude: f64,
    /// Degrees east in WGS 84.
    pub longitude: f64,
    /// Metres above the sea.
    pub altitude: Option<f64>,
    /// Metres around the place, in which the device is with a confidence of 95 %.
    pub radius: Option<f64>,
    /// As 3GPP TS 23.032 encodes it.
    pub velocity: Option<Vec<u8>>,
    /// Metres a second.
    pub speed: Option<f64>,
    /// When this was measured.
    pub at: WallTime,
}

impl Fix {
    /// The values of `/6/0`; what is not known is gone.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let at = |id: u16| Path::from([ObjectId::LOCATION.0, 0, id]);
        let seconds = i64::try_from(self.at.0 / 1_000).unwrap_or(i64::MAX);
        let optional = |id, value: Option<Value>| match value {
            Some(value) => Sample::single(at(id), value),
            None => Sample::Gone(at(id)),
        };
        alloc::vec![
            Sample::single(at(0), Value::Float(self.latitude)),
            Sample::single(at(1), Value::Float(self.longitude)),
            optional(2, self.altitude.map(Value::Float)),
            optional(3, self.radius.map(Value::Float)),
            optional(4, self.velocity.clone().map(Value::Opaque)),
            Sample::single(at(5), Value::Time(seconds)),
            optional(6, self.speed.map(Value::Float)),
        ]
    }
}

impl Client {
    /// Takes in what a [`Source`] says, all at once. Gives what does not fit the Objects, with the reason: an Object
    /// that this Client does not have, or a value that its definition does not allow.
    pub fn take(
        &mut self,
        now: Now,
        samples: impl IntoIterator<Item = Sample>,
    ) -> Vec<(Path, &'static str)> {
        self.now = now;
        let mut changed = Vec::new();
        let mut refused = Vec::new();
        for sample in samples {
            match sample {
                Sample::Value(path, value) => match self.tree.set(path, value) {
                    Ok(paths) => changed.extend(paths),
                    Err(refusal) => refused.push((path, refusal.what)),
                },
                Sample::Gone(path) => changed.extend(self.tree.unset(path)),
                Sample::Traffic(traffic) => {
                    let object = ObjectId::CONNECTIVITY_STATISTICS;
                    changed.extend(self.tree.count(object, &traffic, now));
                }
                Sample::Raised(code) => changed.extend(self.set_error(code, true)),
                Sample::Cleared(code) => changed.extend(self.set_error(code, false)),
            }
        }
        if !changed.is_empty() {
            self.values_changed(&changed);
        }
        self.proceed(now);
        refused
    }

    fn set_error(&mut self, code: ErrorCode, there: bool) -> Option<Path> {
        let slot = self.tree.slot_mut(ObjectId::DEVICE)?;
        let device = slot.instances.get_mut(&ObjectInstanceId(0))?;
        crate::object::device::set_error(device, code, there)
            .then(|| Path::from([ObjectId::DEVICE.0, 0, crate::object::device::ERROR_CODE]))
    }
}
