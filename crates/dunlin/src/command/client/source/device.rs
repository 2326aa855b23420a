//! Object 3: what Linux knows of the machine, its memory and where its power comes from.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use dunlin_client::object::ErrorCode;
use dunlin_client::{Now, Sample, Source};
use dunlin_lwm2m::{ResourceInstanceId, ResourceValue, Value};

use super::{line_of, names_in, number_of, text_of};

/// A battery with less than this many percent is low.
const BATTERY_LOW_PERCENT: i64 = 10;

/// With less than this share of the memory free, in percent, it has run out.
const MEMORY_LOW_PERCENT: i64 = 2;

#[derive(Debug)]
pub(crate) struct Device {
    root: PathBuf,
    introduced: bool,
}

/// A source of power: its number in Object 3, and what it says of itself.
#[derive(Debug, PartialEq)]
struct Power {
    kind: i64,
    millivolts: Option<i64>,
    milliamperes: Option<i64>,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self {
            root: "/".into(),
            introduced: false,
        }
    }

    /// What does not change while the program runs.
    fn introduce(&self) -> Vec<Sample> {
        let file = |path: &str| line_of(&self.root.join(path));
        let model = file("sys/class/dmi/id/product_name")
            .or_else(|| file("proc/device-tree/model"))
            .unwrap_or_else(|| format!("Linux on {}", std::env::consts::ARCH));
        let known = [
            (0, Some("dunlin".to_owned())),
            (1, Some(model)),
            (2, Some(host_name())),
            (3, Some(env!("CARGO_PKG_VERSION").to_owned())),
            (14, utc_offset()),
            (15, timezone()),
            (17, Some("linux".to_owned())),
            (18, Some(std::env::consts::ARCH.to_owned())),
            (19, file("proc/sys/kernel/osrelease")),
        ];
        let known = known.into_iter();
        known
            .filter_map(|(id, text)| Some(Sample::single([3, 0, id], Value::String(text?))))
            .collect()
    }

    fn memory(&self, samples: &mut Vec<Sample>) {
        let Some(memory) = text_of(&self.root.join("proc/meminfo")) else {
            return;
        };
        let (free, total) = (
            kilobytes(&memory, "MemAvailable:"),
            kilobytes(&memory, "MemTotal:"),
        );
        for (id, kilobytes) in [(10, free), (21, total)] {
            if let Some(kilobytes) = kilobytes {
                samples.push(Sample::single([3, 0, id], Value::Integer(kilobytes)));
            }
        }
        if let (Some(free), Some(total)) = (free, total) {
            let low = free * 100 < total * MEMORY_LOW_PERCENT;
            samples.push(error(ErrorCode::OutOfMemory, low));
        }
    }

    fn power(&self, samples: &mut Vec<Sample>) {
        let folder = self.root.join("sys/class/power_supply");
        let mut sources = Vec::new();
        let (mut mains, mut mains_on, mut battery) = (false, false, None);
        for name in names_in(&folder) {
            let at = folder.join(name);
            // A battery in a mouse is not the device's.
            if line_of(&at.join("scope")).as_deref() == Some("Device") {
                continue;
            }
            let online = number_of(&at.join("online")) != Some(0);
            let kind = match line_of(&at.join("type")).as_deref() {
                Some("Battery") => {
                    battery = battery.or(Some(at.clone()));
                    1
                }
                Some("Mains") => {
                    mains = true;
                    mains_on |= online;
                    6
                }
                Some("USB") => 5,
                _ => continue,
            };
            if online {
                let thousandths = |file: &str| Some(number_of(&at.join(file))? / 1_000);
                sources.push(Power {
                    kind,
                    millivolts: thousandths("voltage_now"),
                    milliamperes: thousandths("current_now"),
                });
            }
        }
        if sources.is_empty() && !mains {
            return;
        }
        samples.extend(power_samples(&sources));
        samples.push(error(ErrorCode::ExternalPowerOff, mains && !mains_on));
        match battery {
            Some(at) => {
                let level = number_of(&at.join("capacity"));
                let status = line_of(&at.join("status")).unwrap_or_default();
                let discharging = status == "Discharging";
                let low = discharging && level.is_some_and(|level| level < BATTERY_LOW_PERCENT);
                if let Some(level) = level.filter(|level| (0..=100).contains(level)) {
                    samples.push(Sample::single([3, 0, 9], Value::Integer(level)));
                }
                let status = match status.as_str() {
                    _ if low => 4,
                    "Discharging" => 0,
                    "Charging" => 1,
                    "Full" | "Not charging" => 2,
                    _ => 6,
                };
                samples.push(Sample::single([3, 0, 20], Value::Integer(status)));
                samples.push(error(ErrorCode::LowBattery, low));
            }
            None => samples.push(Sample::single([3, 0, 20], Value::Integer(5))),
        }
    }
}

impl Source for Device {
    fn measure(&mut self, _now: Now) -> Vec<Sample> {
        let mut samples = Vec::new();
        if !self.introduced {
            self.introduced = true;
            samples = self.introduce();
        }
        self.memory(&mut samples);
        self.power(&mut samples);
        samples
    }
}

fn error(code: ErrorCode, there: bool) -> Sample {
    if there {
        Sample::Raised(code)
    } else {
        Sample::Cleared(code)
    }
}

/// Resources 6, 7 and 8: one instance for each source, with the same number in all three.
fn power_samples(sources: &[Power]) -> Vec<Sample> {
    let several = |resource: u16, value: &dyn Fn(&Power) -> Option<i64>| {
        let numbers = (0..).map(ResourceInstanceId).zip(sources);
        let numbers: std::collections::BTreeMap<_, _> = numbers
            .filter_map(|(id, power)| Some((id, Value::Integer(value(power)?))))
            .collect();
        match numbers.is_empty() {
            true => Sample::Gone([3, 0, resource].into()),
            false => Sample::Value(
                [3, 0, resource].into(),
                ResourceValue::Multiple(numbers.into_iter().collect()),
            ),
        }
    };
    vec![
        several(6, &|power| Some(power.kind)),
        several(7, &|power| power.millivolts),
        several(8, &|power| power.milliamperes),
    ]
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    line_of("/proc/sys/kernel/hostname".as_ref()).unwrap_or_else(|| "host".into())
}

/// In kilobytes of 1000, as Object 3 counts; Linux counts in 1024.
fn kilobytes(memory: &str, name: &str) -> Option<i64> {
    let rest = memory.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: i64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.checked_mul(1_024)? / 1_000)
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
    use crate::command::client::source::put;

    #[test]
    fn memory_is_read_by_its_name() {
        let memory = "MemTotal:       16384 kB\nMemAvailable:    8000 kB\nHugePages_Total: 0\n";
        assert_eq!(kilobytes(memory, "MemTotal:"), Some(16_777));
        assert_eq!(kilobytes(memory, "MemAvailable:"), Some(8_192));
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

    fn measured(root: &std::path::Path) -> Vec<Sample> {
        let mut device = Device::new();
        device.root = root.to_owned();
        device.introduced = true;
        device.measure(Now::default())
    }

    #[test]
    fn ts_e_4_power_sources_have_the_same_number_in_all_three_resources() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(measured(root), []);
        put(root, "sys/class/power_supply/AC/type", "Mains\n");
        put(root, "sys/class/power_supply/AC/online", "1\n");
        put(root, "sys/class/power_supply/BAT0/type", "Battery\n");
        put(root, "sys/class/power_supply/BAT0/capacity", "73\n");
        put(root, "sys/class/power_supply/BAT0/status", "Charging\n");
        put(
            root,
            "sys/class/power_supply/BAT0/voltage_now",
            "12100000\n",
        );
        put(root, "sys/class/power_supply/mouse/type", "Battery\n");
        put(root, "sys/class/power_supply/mouse/scope", "Device\n");
        let samples = measured(root);
        let several = |values: &[(u16, i64)]| {
            let values = values.iter();
            let values =
                values.map(|(id, value)| (ResourceInstanceId(*id), Value::Integer(*value)));
            ResourceValue::Multiple(values.collect())
        };
        for sample in [
            Sample::Value([3, 0, 6].into(), several(&[(0, 6), (1, 1)])),
            Sample::Value([3, 0, 7].into(), several(&[(1, 12_100)])),
            Sample::Gone([3, 0, 8].into()),
            Sample::single([3, 0, 9], Value::Integer(73)),
            Sample::single([3, 0, 20], Value::Integer(1)),
            Sample::Cleared(ErrorCode::LowBattery),
            Sample::Cleared(ErrorCode::ExternalPowerOff),
        ] {
            assert!(samples.contains(&sample), "{sample:?} in {samples:?}");
        }
    }

    #[test]
    fn ts_e_4_a_low_battery_and_memory_that_has_run_out_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, "sys/class/power_supply/AC/type", "Mains\n");
        put(root, "sys/class/power_supply/AC/online", "0\n");
        put(root, "sys/class/power_supply/BAT0/type", "Battery\n");
        put(root, "sys/class/power_supply/BAT0/capacity", "4\n");
        put(root, "sys/class/power_supply/BAT0/status", "Discharging\n");
        put(
            root,
            "proc/meminfo",
            "MemTotal: 100000 kB\nMemAvailable: 1000 kB\n",
        );
        let samples = measured(root);
        for sample in [
            Sample::single([3, 0, 20], Value::Integer(4)),
            Sample::Raised(ErrorCode::LowBattery),
            Sample::Raised(ErrorCode::ExternalPowerOff),
            Sample::Raised(ErrorCode::OutOfMemory),
        ] {
            assert!(samples.contains(&sample), "{sample:?} in {samples:?}");
        }
    }
}
