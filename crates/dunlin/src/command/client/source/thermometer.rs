//! Object 3303: the machine's own thermometer, or one that is made up and moves.

use std::f64::consts::TAU;
use std::path::PathBuf;
use std::time::Duration;

use dunlin_client::{Now, Sample, Source};
use dunlin_lwm2m::Value;

/// A thermometer of the machine, in thousandths of a degree.
const THERMAL_ZONE: &str = "sys/class/thermal/thermal_zone0/temp";

/// The made-up temperature goes up and down in this time.
const WAVE_S: f64 = 120.0;

#[derive(Debug)]
pub(crate) struct Thermometer {
    root: PathBuf,
    begin: Option<Duration>,
}

impl Thermometer {
    pub(crate) fn new() -> Self {
        Self {
            root: "/".into(),
            begin: None,
        }
    }
}

impl Source for Thermometer {
    fn measure(&mut self, now: Now) -> Vec<Sample> {
        let mut samples = Vec::new();
        if self.begin.is_none() {
            samples.push(Sample::single([3303, 0, 5701], Value::from("Cel")));
        }
        let begin = *self.begin.get_or_insert(now.instant);
        let measured = super::number_of(&self.root.join(THERMAL_ZONE));
        let degrees = measured.map_or_else(
            || 21.0 + 3.0 * ((now.instant - begin).as_secs_f64() / WAVE_S * TAU).sin(),
            |thousandths| thousandths as f64 / 1_000.0,
        );
        let tenths = (degrees * 10.0).round() / 10.0;
        samples.push(Sample::single([3303, 0, 5700], Value::Float(tenths)));
        samples
    }
}
