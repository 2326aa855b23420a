//! What a server has acknowledged, in a file: one JSON object a line, in the order of the answers.
//!
//! A test that kills the server compares the ledger with what the server remembers afterwards:
//! whatever stands here was promised. Lines are written when the answer arrives, and reach the file
//! at the latest every second and at the end.
//!
//! | `what` | further keys |
//! | --- | --- |
//! | `registered` | `location`, `lifetime_s` |
//! | `updated` | `lifetime_s`; only Updates that changed it |
//! | `notified` | `path`, `id` (rises per Client), `value`; only Confirmable ones |
//! | `deregistered` | |
//!
//! Every line has `at_ms` (wall time, milliseconds since 1970) and `endpoint`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// One acknowledged fact about a Client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Acknowledged<'a> {
    Registered { location: &'a str, lifetime_s: u32 },
    Updated { lifetime_s: u32 },
    Notified { path: &'a str, id: u32, value: f64 },
    Deregistered,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Ledger<W: Write = BufWriter<File>> {
    out: W,
}

impl Ledger {
    pub(crate) fn create(file: &Path) -> io::Result<Self> {
        Ok(Ledger {
            out: BufWriter::with_capacity(1 << 16, File::create(file)?),
        })
    }
}

impl<W: Write> Ledger<W> {
    pub(crate) fn write(
        &mut self,
        at_ms: u64,
        endpoint: &str,
        fact: Acknowledged<'_>,
    ) -> io::Result<()> {
        let out = &mut self.out;
        write!(out, r#"{{"at_ms":{at_ms},"endpoint":"#)?;
        // Names and paths come from a file and from a server: they are escaped, numbers need not be.
        serde_json::to_writer(&mut *out, endpoint)?;
        match fact {
            Acknowledged::Registered {
                location,
                lifetime_s,
            } => {
                write!(out, r#","what":"registered","location":"#)?;
                serde_json::to_writer(&mut *out, location)?;
                write!(out, r#","lifetime_s":{lifetime_s}"#)?;
            }
            Acknowledged::Updated { lifetime_s } => {
                write!(out, r#","what":"updated","lifetime_s":{lifetime_s}"#)?;
            }
            Acknowledged::Notified { path, id, value } => {
                write!(
                    out,
                    r#","what":"notified","path":"{path}","id":{id},"value":{value}"#
                )?;
            }
            Acknowledged::Deregistered => write!(out, r#","what":"deregistered""#)?,
        }
        out.write_all(b"}\n")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_json_object() {
        let mut ledger = Ledger { out: Vec::new() };
        let endpoint = "urn:\"odd\"-0000001";
        for fact in [
            Acknowledged::Registered {
                location: "/rd/a\"b",
                lifetime_s: 60,
            },
            Acknowledged::Updated { lifetime_s: 61 },
            Acknowledged::Notified {
                path: "/3303/0/5700",
                id: 7,
                value: 1.75,
            },
            Acknowledged::Deregistered,
        ] {
            ledger.write(5, endpoint, fact).expect("memory");
        }
        let text = String::from_utf8(ledger.out).expect("text");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert!(
            lines
                .iter()
                .all(|line| line["endpoint"] == endpoint && line["at_ms"] == 5)
        );
        assert_eq!(lines[0]["location"], "/rd/a\"b");
        assert_eq!(lines[1]["lifetime_s"], 61);
        assert_eq!(
            (&lines[2]["id"], &lines[2]["value"]),
            (&7.into(), &1.75.into())
        );
        assert_eq!(lines[3]["what"], "deregistered");
    }
}
