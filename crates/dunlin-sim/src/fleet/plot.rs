//! The picture of a run: rates above, latency below, as one SVG that needs nothing to be looked at.

use std::fmt::Write;

use super::report::Report;
use super::timeline::Sample;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const PANEL: f64 = 220.0;
const TOP: f64 = 88.0;
const GAP: f64 = 64.0;

/// One line of a panel.
struct Line {
    name: &'static str,
    class: &'static str,
    value: fn(&Sample) -> f64,
}

const RATES: [Line; 4] = [
    Line {
        name: "registers",
        class: "a",
        value: |sample| sample.registers_per_s,
    },
    Line {
        name: "updates",
        class: "b",
        value: |sample| sample.updates_per_s,
    },
    Line {
        name: "notifications",
        class: "c",
        value: |sample| sample.notifications_per_s,
    },
    Line {
        name: "errors",
        class: "d",
        value: |sample| sample.errors_per_s,
    },
];

const LATENCIES: [Line; 2] = [
    Line {
        name: "99 of 100 within",
        class: "a",
        value: |sample| sample.latency_p99_ms,
    },
    Line {
        name: "half within",
        class: "b",
        value: |sample| sample.latency_p50_ms,
    },
];

/// Draws the run. `title` is free text, for example the command.
#[must_use]
pub fn svg(report: &Report, title: &str) -> String {
    let height = TOP + PANEL + GAP + PANEL + 40.0;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{}\">{STYLE}<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\
         <text class=\"title\" x=\"{LEFT}\" y=\"28\">{}</text>\
         <text x=\"{LEFT}\" y=\"48\">{}</text>",
        escaped(title),
        escaped(title),
        escaped(&summary(report)),
    );
    panel(&mut out, report, TOP, "per second", &RATES);
    panel(
        &mut out,
        report,
        TOP + PANEL + GAP,
        "milliseconds",
        &LATENCIES,
    );
    out.push_str("</svg>\n");
    out
}

const STYLE: &str = "<style>\
text{font:13px system-ui,sans-serif;fill:#3b4252}.title{font-weight:600;font-size:15px}\
.paper{fill:#fff}.grid{stroke:#d8dee9;stroke-width:1}path{fill:none;stroke-width:1.8;stroke-linejoin:round}\
.a{stroke:#2563b0}.b{stroke:#c2571a}.c{stroke:#2e7d4f}.d{stroke:#b3263a;stroke-dasharray:4 3}\
@media(prefers-color-scheme:dark){.paper{fill:#14181f}text{fill:#c9d1dc}.grid{stroke:#2c3542}\
.a{stroke:#7fb2ff}.b{stroke:#f0a36b}.c{stroke:#7fd6a1}.d{stroke:#ff8b99}}</style>";

fn summary(report: &Report) -> String {
    let limited = if report.generator_limited {
        " The generator was the limit."
    } else {
        ""
    };
    format!(
        "{} of {} Clients registered, {:.1} s, {} messages sent again, {} errors.{limited}",
        report.registered,
        report.clients,
        report.elapsed_s,
        report.retransmissions,
        report.errors.values().sum::<u64>(),
    )
}

fn panel(out: &mut String, report: &Report, top: f64, unit: &str, lines: &[Line]) {
    let samples = &report.timeline;
    let until = samples.last().map_or(1.0, |sample| sample.at_s).max(1.0);
    let most = samples
        .iter()
        .flat_map(|sample| lines.iter().map(|line| (line.value)(sample)))
        .fold(0.0, f64::max);
    let (step, most) = scale(most);
    let x = |at_s: f64| LEFT + at_s / until * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| top + PANEL - value / most * PANEL;

    let mut mark = 0.0;
    while mark <= most + step / 2.0 {
        let (at, right) = (y(mark), WIDTH - RIGHT);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            number(mark),
        );
        mark += step;
    }
    let (time_step, _) = scale(until);
    let mut mark = 0.0;
    while mark <= until {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} s</text>",
            x(mark),
            top + PANEL + 18.0,
            number(mark),
        );
        mark += time_step;
    }
    let mut legend = LEFT;
    let _ = write!(
        out,
        "<text x=\"{legend}\" y=\"{:.1}\">{unit}:</text>",
        top - 8.0
    );
    legend += 92.0;
    for line in lines {
        // A line that never leaves the ground says nothing, and hides what does.
        if samples.iter().all(|sample| (line.value)(sample) == 0.0) {
            continue;
        }
        let at = top - 12.0;
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"M{legend} {at}h22\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            legend + 28.0,
            top - 8.0,
            line.name,
            class = line.class,
        );
        legend += 156.0;
        let _ = write!(out, "<path class=\"{}\" d=\"", line.class);
        for (index, sample) in samples.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let value = (line.value)(sample);
            let _ = write!(out, "{command}{:.1} {:.1}", x(sample.at_s), y(value));
        }
        out.push_str("\"/>\n");
    }
}

/// A round step, and the lowest multiple of it that `most` does not exceed: four to ten marks.
fn scale(most: f64) -> (f64, f64) {
    if !most.is_finite() || most <= 0.0 {
        return (0.25, 1.0);
    }
    let rough = most / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power);
    (step, (most / step).ceil() * step)
}

fn number(value: f64) -> String {
    if value >= 1e6 {
        format!("{}M", (value / 1e4).round() / 100.0)
    } else if value >= 1e4 {
        format!("{}k", (value / 10.0).round() / 100.0)
    } else {
        format!("{}", (value * 1000.0).round() / 1000.0)
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no way to write the other control characters.
            other if other.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_round_and_holds_the_most() {
        for most in [0.003, 0.9, 1.0, 7.0, 99.9, 1234.0, 5e6] {
            let (step, top) = scale(most);
            assert!(top >= most, "{most}: {top}");
            let marks = (top / step).round();
            assert!((3.0..=10.0).contains(&marks), "{most}: {marks} marks");
        }
        assert_eq!(scale(0.0), (0.25, 1.0));
        assert_eq!(number(12_500.0), "12.5k");
        assert_eq!(number(0.25), "0.25");
    }

    #[test]
    fn free_text_cannot_leave_its_place() {
        assert_eq!(escaped("a<b>&\"\u{1}"), "a&lt;b&gt;&amp;&quot; ");
    }
}
