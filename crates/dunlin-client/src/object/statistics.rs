//! Object 7, Connectivity Statistics: what the device has sent and received in a period that a Server begins
//! and ends (TS 1.0 §E.8).
//!
//! The device hands in its counters as they are ([`Traffic`]); this Object turns them into what was counted since
//! Start.

use dunlin_lwm2m::definition::ResourceDefinition;
use dunlin_lwm2m::operation::Arguments;
use dunlin_lwm2m::{Instance, Resource, ResourceId, Value};
use dunlin_transport::{Instant, Now};

use super::{Action, Behaviour};
use crate::tree::Refusal;

/// SMS Tx Counter.
const SMS_TX: u16 = 0;
/// SMS Rx Counter.
const SMS_RX: u16 = 1;
/// Tx Data, kilobytes.
const TX_DATA: u16 = 2;
/// Rx Data, kilobytes.
const RX_DATA: u16 = 3;
/// Max Message Size, bytes.
const MAX_MESSAGE_SIZE: u16 = 4;
/// Average Message Size, bytes.
const AVERAGE_MESSAGE_SIZE: u16 = 5;
/// Start.
const START: u16 = 6;
/// Stop.
const STOP: u16 = 7;
/// Collection Period, seconds; 0 for none.
const COLLECTION_PERIOD: u16 = 8;

/// A kilobyte of Tx Data and Rx Data.
const KILOBYTE: u64 = 1_000;

/// The counters of a device at one moment, counted from whenever it likes. A counter that is smaller than before
/// has begun anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of IP sent.
    pub tx_bytes: u64,
    /// Bytes of IP received.
    pub rx_bytes: u64,
    /// IP messages sent and received.
    pub messages: u64,
    /// The longest IP message that was ever seen, in bytes, where the device knows.
    pub longest_message: Option<u32>,
    /// SMS sent, where there are any.
    pub sms_tx: Option<u64>,
    /// SMS received.
    pub sms_rx: Option<u64>,
}

impl Traffic {
    fn since(&self, before: &Self) -> Self {
        let more = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        let optional = |now: Option<u64>, before: Option<u64>| {
            now.map(|now| more(now, before.unwrap_or_default()))
        };
        Self {
            tx_bytes: more(self.tx_bytes, before.tx_bytes),
            rx_bytes: more(self.rx_bytes, before.rx_bytes),
            messages: more(self.messages, before.messages),
            longest_message: self.longest_message,
            sms_tx: optional(self.sms_tx, before.sms_tx),
            sms_rx: optional(self.sms_rx, before.sms_rx),
        }
    }

    fn add(&mut self, more: &Self) {
        let sum = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        sum(&mut self.tx_bytes, more.tx_bytes);
        sum(&mut self.rx_bytes, more.rx_bytes);
        sum(&mut self.messages, more.messages);
        self.longest_message = self.longest_message.max(more.longest_message);
        let optional = |sum: Option<u64>, more: Option<u64>| match (sum, more) {
            (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
            (sum, more) => sum.or(more),
        };
        self.sms_tx = optional(self.sms_tx, more.sms_tx);
        self.sms_rx = optional(self.sms_rx, more.sms_rx);
    }
}

/// Object 7.
#[derive(Clone, Debug, Default)]
pub struct ConnectivityStatistics {
    /// The counters as they were handed in last.
    last: Option<Traffic>,
    /// What was counted since Start, while it runs.
    counted: Option<Traffic>,
    /// When the collection period ends, if it does by itself.
    ends: Option<Instant>,
}

impl ConnectivityStatistics {
    /// The instance of a device that counts IP and no SMS.
    #[must_use]
    pub fn instance() -> Instance {
        let zero = |id| Resource::single(id, Value::Integer(0));
        [TX_DATA, RX_DATA, AVERAGE_MESSAGE_SIZE, COLLECTION_PERIOD]
            .into_iter()
            .fold(Instance::new(0), |instance, id| instance.with(zero(id)))
    }
}

impl Behaviour for ConnectivityStatistics {
    fn check(&self, written: &Instance) -> Result<(), Refusal> {
        let period = written.value(COLLECTION_PERIOD).and_then(Value::as_integer);
        if period.is_some_and(|seconds| u32::try_from(seconds).is_err()) {
            let code = dunlin_lwm2m::operation::ResponseCode::BadRequest;
            let what = "the Collection Period is negative or beyond 32 bits";
            return Err(Refusal::new(code, what));
        }
        Ok(())
    }

    fn executes(&self, definition: &ResourceDefinition) -> bool {
        matches!(definition.id.0, START | STOP)
    }

    fn execute(
        &mut self,
        instance: &mut Instance,
        resource: ResourceId,
        _arguments: &Arguments,
        now: Now,
    ) -> Result<Action, Refusal> {
        if resource.0 == STOP {
            self.counted = None;
            return Ok(Action::Nothing);
        }
        for id in SMS_TX..=AVERAGE_MESSAGE_SIZE {
            if instance.resource(id).is_some() {
                instance.insert(Resource::single(id, Value::Integer(0)));
            }
        }
        let period = instance
            .value(COLLECTION_PERIOD)
            .and_then(Value::as_integer);
        let period = period.and_then(|seconds| u32::try_from(seconds).ok());
        self.ends = period
            .filter(|seconds| *seconds > 0)
            .map(|seconds| now.instant + core::time::Duration::from_secs(seconds.into()));
        self.counted = Some(Traffic::default());
        Ok(Action::Nothing)
    }

    fn count(&mut self, instance: &mut Instance, traffic: &Traffic, now: Now) {
        let last = self.last.replace(*traffic);
        let Some(counted) = &mut self.counted else {
            return;
        };
        if let Some(last) = last {
            counted.add(&traffic.since(&last));
        }
        for (id, number) in values(counted) {
            if let Some(number) = number {
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                instance.insert(Resource::single(id, Value::Integer(number)));
            }
        }
        // The counters that find the period over are the last ones that count.
        if self.ends.is_some_and(|ends| ends <= now.instant) {
            self.counted = None;
        }
    }

    fn creatable(&self) -> bool {
        false
    }

    fn deletable(&self) -> bool {
        false
    }
}

fn values(counted: &Traffic) -> [(u16, Option<u64>); 6] {
    let bytes = counted.tx_bytes.saturating_add(counted.rx_bytes);
    [
        (SMS_TX, counted.sms_tx),
        (SMS_RX, counted.sms_rx),
        (TX_DATA, Some(counted.tx_bytes / KILOBYTE)),
        (RX_DATA, Some(counted.rx_bytes / KILOBYTE)),
        (MAX_MESSAGE_SIZE, counted.longest_message.map(u64::from)),
        (
            AVERAGE_MESSAGE_SIZE,
            Some(bytes.checked_div(counted.messages).unwrap_or(0)),
        ),
    ]
}
