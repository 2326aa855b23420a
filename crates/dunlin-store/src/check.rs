//! Check and repair: everything is read, and what does not fit is told.
//!
//! A check changes nothing that a start would not change as well. Each finding says what a repair
//! would do about it and what that would drop; [`repair`] does it. What was dropped from the log
//! stays beside it as `log.replaced` until the next repair.

use core::fmt;
use core::ops::ControlFlow;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::batch::{Batch, Fact, Table};
use crate::error::StoreError;
use crate::fjall::{COMMITS_SKIPPED_AFTER_LOSS, FjallStore, StoreSettings, tables::Tables};
use crate::folder::{Folder, Watermark};
use crate::journal::Journal;
use crate::log::salvage::{Hole, Survey, survey};
use crate::log::{Log, OpenLog, sync_folder};
use crate::position::CommitNumber;

/// The newest facts of the log are compared with the tables up to this many bytes: enough for the
/// last hours of a busy fleet, and little enough for a small machine.
const COMPARED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A repair sets right this many rows in one commit.
const ROWS_PER_COMMIT: usize = 1000;

/// More findings than this are counted and not listed.
const FINDINGS_MAX: usize = 100;

/// Says whether a value is a record that this dunlin reads, and why not. The store itself knows
/// nothing of its values.
pub type Validate<'a> = dyn FnMut(Table, &[u8], &[u8]) -> Result<(), String> + 'a;

/// What a check has read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Segments of the log.
    pub segments: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Commits in the log.
    pub commits: u64,
    /// Events in the log.
    pub events: u64,
    /// The last commit that reads.
    pub last: CommitNumber,
    /// Rows of each table, as last flushed.
    pub rows: Vec<(Table, u64)>,
    /// Rows compared with the fact in the log that set them.
    pub compared: u64,
    /// What does not fit, in the order of the reading.
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub not_listed: u64,
}

impl CheckReport {
    /// True when nothing was found that a start would refuse or a reader would miss.
    pub fn is_sound(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.kind == FindingKind::Note)
    }

    fn found(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.not_listed += 1;
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// Worth knowing; nothing is lost.
    Note,
    /// A repair can make the store start again, and drops what the finding says.
    Repairable,
    /// Only a backup helps.
    Fatal,
}

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub kind: FindingKind,
    /// The file or folder.
    pub path: PathBuf,
    /// What does not fit, in words.
    pub what: String,
    /// What a repair does, and what that drops.
    pub repair: String,
    /// [`repair`] has done it.
    pub repaired: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            path, what, repair, ..
        } = self;
        let done = if self.repaired { "repaired" } else { "repair" };
        write!(f, "{}: {what}; {done}: {repair}", path.display())
    }
}

/// Reads the whole data folder.
///
/// # Errors
/// When it cannot be read at all: in use, not a data folder, of a newer version.
pub fn check(
    root: impl AsRef<Path>,
    validate: &mut Validate<'_>,
) -> Result<CheckReport, StoreError> {
    Ok(Checker::open(root.as_ref())?.run(validate)?.report)
}

/// Reads the whole data folder, and does what the findings say. The report tells what was done.
///
/// # Errors
/// As [`check`], and when something cannot be written; it can be run again.
pub fn repair(
    root: impl AsRef<Path>,
    validate: &mut Validate<'_>,
) -> Result<CheckReport, StoreError> {
    Checker::open(root.as_ref())?.run(validate)?.repair()
}

struct Checker {
    folder: Folder,
    virtual_shards: u16,
    report: CheckReport,
    watermark: Option<Watermark>,
    survey: Survey,
    /// Rows to be set right.
    rows: Batch,
    log_must_be_rewritten: bool,
}

/// The last value the log gives a row, up to `applied`.
#[derive(Default)]
struct LastFacts {
    rows: HashMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    bytes: usize,
    /// The last commit seen.
    commit: u64,
}

impl Checker {
    fn open(root: &Path) -> Result<Checker, StoreError> {
        let (folder, virtual_shards) = Folder::open_existing(root)?;
        Ok(Checker {
            folder,
            virtual_shards,
            report: CheckReport::default(),
            watermark: None,
            survey: Survey::default(),
            rows: Batch::default(),
            log_must_be_rewritten: false,
        })
    }

    fn run(mut self, validate: &mut Validate<'_>) -> Result<Checker, StoreError> {
        self.read_watermark()?;
        let last_facts = self.read_log(validate)?;
        self.judge_log();
        self.read_tables(validate, last_facts)?;
        Ok(self)
    }

    fn read_watermark(&mut self) -> Result<(), StoreError> {
        let path = self.folder.watermark();
        match Watermark::read(&path) {
            Ok(watermark) => self.watermark = Some(watermark),
            Err(error @ StoreError::FormatVersion { .. }) => return Err(error),
            Err(error) => self.report.found(Finding {
                kind: FindingKind::Repairable,
                path,
                what: error.to_string(),
                repair: "it is written anew from the log; that the newest commits are there can \
                         then not be known"
                    .into(),
                repaired: false,
            }),
        }
        Ok(())
    }

    fn read_log(&mut self, validate: &mut Validate<'_>) -> Result<LastFacts, StoreError> {
        let applied = self.watermark.map_or(0, |watermark| watermark.applied);
        let synced = self.watermark.is_none_or(|watermark| watermark.synced);
        let (log, secret) = (self.folder.log(), self.folder.secret);
        let mut last_facts = LastFacts::default();
        let mut bad = Vec::new();
        let (mut commits, mut events, mut newest_ms) = (0, 0, 0);
        self.survey = survey(&log, secret, synced, &mut |number, batch| {
            commits += 1;
            events += batch.events.len() as u64;
            for fact in &batch.facts {
                let Some(value) = fact.value() else { continue };
                // What is in the tables is validated there.
                if number > applied
                    && let Err(why) = validate(fact.table(), fact.key(), value)
                {
                    bad.push((number, fact.table(), fact.key().to_vec(), why));
                }
            }
            newest_ms = newest_ms.max(batch.at_ms);
            last_facts.take(number, batch.facts, applied);
            Ok(())
        })?;
        self.rows.at_ms = newest_ms;
        if self.survey.last < applied {
            last_facts.forget();
        }
        for (number, table, key, why) in bad {
            self.report.found(Finding {
                kind: FindingKind::Note,
                path: log.clone(),
                what: format!("commit {number} sets {}: {why}", row_name(table, &key)),
                repair: "start once, so that it comes into its table, and check again".into(),
                repaired: false,
            });
        }
        (self.report.commits, self.report.events) = (commits, events);
        self.report.segments = self.survey.segments;
        self.report.log_bytes = self.survey.bytes;
        self.report.last = CommitNumber(self.survey.last);
        Ok(last_facts)
    }

    /// What of the log would keep the store from starting, or a reader from reading.
    fn judge_log(&mut self) {
        let applied = self.watermark.map_or(0, |watermark| watermark.applied);
        for Hole {
            path,
            offset,
            first,
            last,
            why,
        } in self.survey.holes.clone()
        {
            self.log_must_be_rewritten = true;
            let commits = match last {
                Some(last) if last > first => format!("commits {first} to {last}"),
                Some(_) => format!("commit {first}"),
                None => format!("commit {first} and what followed"),
            };
            let facts = match last {
                Some(last) if last <= applied => "their facts are in the tables",
                _ => "their facts are lost as well",
            };
            self.report.found(Finding {
                kind: FindingKind::Repairable,
                path,
                what: format!("damaged at byte {offset} ({why})"),
                repair: format!("{commits} are dropped from the log, the others stay; {facts}"),
                repaired: false,
            });
        }
        if let Some((path, offset)) = self.survey.torn.clone() {
            self.report.found(Finding {
                kind: FindingKind::Note,
                path,
                what: format!("an unfinished write at byte {offset}; nobody was told of it"),
                repair: "the next start cuts it off".into(),
                repaired: false,
            });
        }
        if self.survey.healed > 0 {
            self.report.found(Finding {
                kind: FindingKind::Note,
                path: self.folder.log(),
                what: format!(
                    "{} records have a damaged marker and are whole",
                    self.survey.healed
                ),
                repair: "nothing is needed; look at the disk".into(),
                repaired: false,
            });
        }
        self.judge_ends();
    }

    fn judge_ends(&mut self) {
        let Some(watermark) = self.watermark else {
            return;
        };
        // A restored store may have no log yet.
        let last = if self.survey.first.is_none() {
            watermark.applied
        } else {
            self.survey.last
        };
        if last < watermark.commit && (watermark.synced || last < watermark.applied) {
            self.report.found(Finding {
                kind: FindingKind::Repairable,
                path: self.folder.log(),
                what: format!(
                    "it ends with commit {last}, but commit {} was acknowledged",
                    watermark.commit
                ),
                repair: "the loss is accepted; numbers go on above it".into(),
                repaired: false,
            });
        }
        let first = self.survey.first.unwrap_or(last + 1);
        if first > watermark.oldest && self.survey.holes.is_empty() {
            self.report.found(Finding {
                kind: FindingKind::Repairable,
                path: self.folder.log(),
                what: format!(
                    "commits {} to {} are missing at the beginning",
                    watermark.oldest,
                    first - 1
                ),
                repair: "the loss of these events is accepted".into(),
                repaired: false,
            });
        }
    }

    fn read_tables(
        &mut self,
        validate: &mut Validate<'_>,
        last_facts: LastFacts,
    ) -> Result<(), StoreError> {
        let path = self.folder.tables();
        let outcome =
            Tables::open(&path, StoreSettings::default().cache_bytes).and_then(|tables| {
                tables.check_flushed(self.watermark.map_or(0, |watermark| watermark.applied))?;
                self.read_rows(&tables, validate, last_facts)
            });
        match outcome {
            Err(error) if error.is_loss() => {
                self.report.found(Finding {
                    kind: FindingKind::Fatal,
                    path,
                    what: error.to_string(),
                    repair: "none; restore a backup".into(),
                    repaired: false,
                });
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn read_rows(
        &mut self,
        tables: &Tables,
        validate: &mut Validate<'_>,
        last_facts: LastFacts,
    ) -> Result<(), StoreError> {
        let snapshot = tables.snapshot();
        for table in Table::ALL {
            let mut bad = Vec::new();
            let count = tables.replay(&snapshot, table, &mut |key, value| {
                if let Err(why) = validate(table, key, value) {
                    bad.push((key.to_vec(), why));
                }
                ControlFlow::Continue(())
            })?;
            self.report.rows.push((table, count));
            for (key, why) in bad {
                let what = format!("{}: {why}", row_name(table, &key));
                self.row_finding(what, "the row is dropped", Fact::delete(table, key));
            }
        }
        if tables.flushed()? > self.survey.last {
            // The log has lost its end: the tables know more than it says.
            return Ok(());
        }
        for ((table, key), wanted) in last_facts.rows {
            self.report.compared += 1;
            if tables.get(table, &key)? != wanted {
                let what = format!("{} is not what the log says", row_name(table, &key));
                let fact = match wanted {
                    Some(value) => Fact::put(table, key, value),
                    None => Fact::delete(table, key),
                };
                self.row_finding(what, "it is set as the log says", fact);
            }
        }
        Ok(())
    }

    fn row_finding(&mut self, what: String, repair: &str, fact: Fact) {
        self.rows.facts.push(fact);
        self.report.found(Finding {
            kind: FindingKind::Repairable,
            path: self.folder.tables(),
            what,
            repair: repair.into(),
            repaired: false,
        });
    }

    fn repair(mut self) -> Result<CheckReport, StoreError> {
        if self
            .report
            .findings
            .iter()
            .any(|finding| finding.kind == FindingKind::Fatal)
        {
            return Ok(self.report);
        }
        if self.log_must_be_rewritten {
            self.rewrite_log()?;
        }
        if !self.report.is_sound() {
            self.accept()?;
        }
        let root = self.folder.root.clone();
        // Lets go of the folder.
        drop(self.folder);
        if !self.rows.facts.is_empty() {
            // Through the log like every change, so that log and tables agree.
            let settings = StoreSettings {
                virtual_shards: self.virtual_shards,
                ..StoreSettings::default()
            };
            let store = FjallStore::open(root, settings)?;
            for facts in self.rows.facts.chunks(ROWS_PER_COMMIT) {
                store.commit(&Batch {
                    facts: facts.to_vec(),
                    ..Batch::new(self.rows.at_ms)
                })?;
            }
            store.close()?;
        }
        for finding in &mut self.report.findings {
            finding.repaired = finding.kind == FindingKind::Repairable;
        }
        Ok(self.report)
    }

    /// Copies everything that reads into a new log, and puts it in place of the old one.
    fn rewrite_log(&self) -> Result<(), StoreError> {
        let log = self.folder.log();
        let (aside, replaced) = (log.with_extension("new"), log.with_extension("replaced"));
        for path in [&aside, &replaced] {
            if path.exists() {
                fs::remove_dir_all(path).map_err(StoreError::io("cannot remove", path))?;
            }
        }
        fs::create_dir(&aside).map_err(StoreError::io("cannot create", &aside))?;
        let options = OpenLog {
            secret: self.folder.secret,
            segment_bytes: StoreSettings::default().segment_bytes,
            applied: 0,
            oldest: 1,
            synced: true,
        };
        let mut copy = Log::open(&aside, options, &mut |_, _| Ok(()))?;
        let synced = self.watermark.is_none_or(|watermark| watermark.synced);
        survey(&log, self.folder.secret, synced, &mut |number, batch| {
            if number <= copy.last().0 {
                return Ok(());
            }
            copy.jump_to(number);
            copy.append(std::slice::from_ref(&batch))?;
            copy.publish();
            Ok(())
        })?;
        copy.sync_after(0)?;
        fs::rename(&log, &replaced).map_err(StoreError::io("cannot rename", &log))?;
        fs::rename(&aside, &log).map_err(StoreError::io("cannot rename", &aside))?;
        sync_folder(&self.folder.root)
    }

    /// Writes a watermark that says what is there now.
    fn accept(&self) -> Result<(), StoreError> {
        let first = self.survey.first;
        let before = self.watermark.unwrap_or(Watermark {
            // Applying all that is kept once more is always right.
            applied: first.map_or(0, |first| first - 1),
            ..Watermark::new_store()
        });
        let last = if first.is_none() {
            before.applied
        } else {
            self.survey.last
        };
        // Facts of commits that are gone may be in the tables; they stay.
        let applied = before.applied.min(last);
        let highest = before.next.max(before.commit + 1).max(last + 1);
        let watermark = Watermark {
            commit: last,
            applied,
            oldest: first.unwrap_or(last + 1),
            next: highest + COMMITS_SKIPPED_AFTER_LOSS,
            synced: true,
            restored: before.restored,
        };
        watermark.write(&self.folder.watermark())
    }
}

impl LastFacts {
    fn take(&mut self, number: u64, facts: Vec<Fact>, applied: u64) {
        if number != self.commit + 1 {
            // A commit that is missing may have changed any row.
            self.forget();
        }
        self.commit = number;
        for fact in facts {
            let key = (fact.table(), fact.key().to_vec());
            let value = fact.value().map(<[u8]>::to_vec);
            if number > applied {
                // The tables may be ahead of what is promised; then the log will set it again.
                self.rows.remove(&key);
                continue;
            }
            self.bytes += key.1.len() + value.as_ref().map_or(0, Vec::len);
            self.rows.insert(key, value);
        }
        if self.bytes > COMPARED_BYTES_MAX {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }
}

fn row_name(table: Table, key: &[u8]) -> String {
    format!("row \"{}\" of {table}", key.escape_ascii())
}
