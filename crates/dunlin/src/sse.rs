//! Following the event stream: reading its lines, and coming back to where it broke off.

use std::io::BufRead;
use std::time::Duration;

use anyhow::bail;
use serde_json::Value as Json;

use crate::api::Api;

/// How often a stream that broke off is asked for again before it is given up.
const ATTEMPTS_MAX: u32 = 10;

/// The pause before the first of these; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// An event as it came.
#[derive(Debug)]
pub(crate) struct Event {
    /// Its position, if it is stored.
    pub(crate) id: Option<String>,
    /// Its type.
    pub(crate) kind: String,
    /// What it says.
    pub(crate) data: Json,
}

/// A reader of the stream that resumes it.
pub(crate) struct Follower<'a> {
    api: &'a Api,
    query: String,
    last: Option<String>,
    lines: Box<dyn BufRead>,
}

impl<'a> Follower<'a> {
    /// Opens the stream, after a position or from now on.
    pub(crate) fn open(
        api: &'a Api,
        query: &str,
        after: Option<String>,
    ) -> anyhow::Result<Follower<'a>> {
        let lines = Box::new(api.events(query, after.as_deref())?);
        Ok(Follower {
            api,
            query: query.to_string(),
            last: after,
            lines,
        })
    }

    /// Waits for the next event. When the stream breaks off, it is resumed after the last one.
    pub(crate) fn next(&mut self) -> anyhow::Result<Event> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..ATTEMPTS_MAX {
            if let Some(event) = self.read() {
                return Ok(event);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            match self.api.events(&self.query, self.last.as_deref()) {
                Ok(lines) => self.lines = Box::new(lines),
                Err(error) => eprintln!(
                    "dunlin: {}; trying again",
                    crate::table::plain(&format!("{error:#}"))
                ),
            }
        }
        bail!(
            "the event stream broke off and does not come back; --after {} goes on from there",
            self.resume()
        )
    }

    fn resume(&self) -> &str {
        self.last.as_deref().unwrap_or("start")
    }

    /// The next event of this connection; `None` when it has ended.
    fn read(&mut self) -> Option<Event> {
        let (mut id, mut kind, mut data) = (None, String::from("message"), String::new());
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                // An id without data says how far the stream is, and nothing else.
                if id.is_some() {
                    self.last.clone_from(&id);
                }
                if data.is_empty() {
                    id = None;
                    continue;
                }
                let data = serde_json::from_str(&data).unwrap_or_default();
                return Some(Event { id, kind, data });
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => id = Some(value.to_string()),
                "event" => kind = value.to_string(),
                "data" => data.push_str(value),
                _ => {}
            }
        }
    }
}
