//! What Linux knows of itself, as Resources of the Device Object, and a thermometer.

use std::f64::consts::TAU;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use dunlin_client::{Client, Now};
use dunlin_lwm2m::{ResourceInstanceId, ResourceValue, Value};

/// A thermometer of the machine, in thousandths of a degree.
const THERMAL_ZONE: &str = "/sys/class/thermal/thermal_zone0/temp";

/// The battery of a laptop.
const BATTERY: &str = "/sys/class/power_supply/BAT0/capacity";

/// The made-up temperature goes up and down in this time.
const WAVE_S: f64 = 120.0;

/// Values for paths.
pub(super) type Samples = Vec<(&'static str, ResourceValue)>;

/// Measures.
#[derive(Debug)]
pub(super) struct Sampler {
    begin: Instant,
}

impl Sampler {
    pub(super) fn new() -> Self {
        Self {
            begin: Instant::now(),
        }
    }

    /// What does not change while the program runs.
    pub(super) fn introduce(&self) -> Samples {
        let text = |value: &str| ResourceValue::Single(Value::String(value.into()));
        let mut samples = vec![
            ("/3/0/0", text("dunlin")),
            ("/3/0/1", text(&model())),
            ("/3/0/2", text(&host_name())),
            ("/3/0/3", text(env!("CARGO_PKG_VERSION"))),
            ("/3/0/17", text("linux")),
            ("/3/0/18", text(std::env::consts::ARCH)),
            ("/3303/0/5701", text("Cel")),
        ];
        if let Some(release) = line_of("/proc/sys/kernel/osrelease") {
            samples.push(("/3/0/19", text(&release)));
        }
        if let Some(offset) = utc_offset() {
            samples.push(("/3/0/14", text(&offset)));
        }
        if let Some(zone) = timezone() {
            samples.push(("/3/0/15", text(&zone)));
        }
        samples
    }

    /// What moves.
    pub(super) fn measure(&self) -> Samples {
        let integer = |value| ResourceValue::Single(Value::Integer(value));
        let mut samples = vec![(
            "/3303/0/5700",
            ResourceValue::Single(Value::Float(self.temperature())),
        )];
        if let Ok(memory) = fs::read_to_string("/proc/meminfo") {
            let known = [("/3/0/10", "MemAvailable:"), ("/3/0/21", "MemTotal:")];
            samples.extend(
                known
                    .iter()
                    .filter_map(|(path, name)| Some((*path, integer(kilobytes(&memory, name)?)))),
            );
        }
        if let Some(level) = line_of(BATTERY).and_then(|text| text.parse().ok()) {
            let internal = [(ResourceInstanceId(0), Value::Integer(1))];
            let sources = ResourceValue::Multiple(internal.into_iter().collect());
            samples.push(("/3/0/6", sources));
            samples.push(("/3/0/9", integer(level)));
        }
        samples
    }

    /// The machine's own, or else one that is made up and moves.
    fn temperature(&self) -> f64 {
        let measured = line_of(THERMAL_ZONE).and_then(|text| text.parse::<f64>().ok());
        let degrees = measured.map_or_else(
            || {
                let seconds = self.begin.elapsed().as_secs_f64();
                21.0 + 3.0 * (seconds / WAVE_S * TAU).sin()
            },
            |thousandths| thousandths / 1_000.0,
        );
        (degrees * 10.0).round() / 10.0
    }
}

/// Sets values. Those of the time zone only where no Server has written others.
pub(super) fn set(client: &mut Client, now: Now, samples: Samples) {
    for (path, value) in samples {
        let written = matches!(path, "/3/0/14" | "/3/0/15");
        let there = path.parse().ok().and_then(|path| client.read(path));
        if written && there.is_some() {
            continue;
        }
        set_one(client, now, path, value);
    }
}

/// Sets one value.
pub(super) fn set_one(
    client: &mut Client,
    now: Now,
    path: &'static str,
    value: impl Into<ResourceValue>,
) {
    let parsed = path.parse().expect("paths in this program are paths");
    if let Err(refusal) = client.set(now, parsed, value) {
        // The system says something that the definition does not allow, such as a name too long.
        tracing::debug!(
            path,
            what = refusal.what,
            "a value of this machine is left out"
        );
    }
}

/// The name of this machine.
pub(super) fn host_name() -> String {
    line_of("/proc/sys/kernel/hostname").unwrap_or_else(|| "host".into())
}

fn model() -> String {
    line_of("/sys/class/dmi/id/product_name")
        .or_else(|| line_of("/proc/device-tree/model"))
        .unwrap_or_else(|| format!("Linux on {}", std::env::consts::ARCH))
}

/// The first line of a small file of the system, if it says anything.
fn line_of(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim_matches(['\0', ' ', '\t']);
    (!line.is_empty()).then(|| line.to_owned())
}

fn kilobytes(memory: &str, name: &str) -> Option<i64> {
    let rest = memory.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The offset from UTC now, as `+02:00`: the system's own program knows the zone's rules.
fn utc_offset() -> Option<String> {
    let output = Command::new("date")
        .arg("+%:z")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    is_offset(text).then(|| text.to_owned())
}

fn is_offset(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 6
        && matches!(bytes[0], b'+' | b'-')
        && bytes[3] == b':'
        && [1, 2, 4, 5].iter().all(|at| bytes[*at].is_ascii_digit())
}

/// The name of the zone in the database of time zones.
fn timezone() -> Option<String> {
    let linked = fs::canonicalize("/etc/localtime").ok()?;
    let linked = linked.to_str()?;
    let (_, zone) = linked.split_once("/zoneinfo/")?;
    Some(zone.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_its_name() {
        let memory = "MemTotal:       16384 kB\nMemAvailable:    8000 kB\nHugePages_Total: 0\n";
        assert_eq!(kilobytes(memory, "MemTotal:"), Some(16_384));
        assert_eq!(kilobytes(memory, "MemAvailable:"), Some(8_000));
        assert_eq!(kilobytes(memory, "HugePages_Total:"), None);
        assert_eq!(kilobytes(memory, "SwapFree:"), None);
    }

    #[test]
    fn only_offsets_are_offsets() {
        assert!(is_offset("+02:00") && is_offset("-03:30"));
        for text in ["", "UTC", "+2:00", "+02.00", "+02:0x", "+02:00 "] {
            assert!(!is_offset(text), "{text:?}");
        }
    }
}
