//! `dunlin check`: settings and data, read as `serve` would, and what is wrong with them.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use dunlin_node::Config;
use dunlin_store::{CheckReport, FindingKind, check, repair};

/// Check the settings, and with --data the whole store
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin check --config dunlin.toml
  dunlin check --data                       scans the data folder of the settings
  dunlin check --data DIR --repair          says what a repair would drop
  dunlin check --data DIR --repair --yes    and drops it")]
pub(crate) struct Args {
    /// Settings file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Scan the store: this folder, or that of the settings
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    data: Option<Option<PathBuf>>,
    /// Say what a repair would do
    #[arg(long, requires = "data")]
    repair: bool,
    /// Do what the repair says
    #[arg(long, requires = "repair")]
    yes: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let environment: Vec<(String, String)> = std::env::vars().collect();
        let config = Config::read(self.config.as_deref(), &environment)?;
        let Some(data) = self.data else {
            println!("the settings are good");
            return Ok(());
        };
        let folder = data.unwrap_or(config.data);
        let mut validate = dunlin_node::validate;
        let report = if self.yes {
            repair(&folder, &mut validate)?
        } else {
            check(&folder, &mut validate)?
        };
        tell(&report, self.repair);
        let fatal = report
            .findings
            .iter()
            .any(|one| one.kind == FindingKind::Fatal);
        let left = report
            .findings
            .iter()
            .any(|one| one.kind == FindingKind::Repairable && !one.repaired);
        if fatal {
            anyhow::bail!(
                "{}: what is damaged cannot be repaired; restore a backup",
                folder.display()
            );
        }
        if left {
            anyhow::bail!(
                "{}: not sound; 'dunlin check --data {} --repair --yes' does what stands above",
                folder.display(),
                folder.display()
            );
        }
        println!("{}: sound", folder.display());
        Ok(())
    }
}

fn tell(report: &CheckReport, repair: bool) {
    println!(
        "{} commits, {} events, {} segments of the log ({} bytes); last commit {}",
        report.commits, report.events, report.segments, report.log_bytes, report.last.0
    );
    for (table, rows) in report.rows.iter().filter(|(_, rows)| *rows > 0) {
        println!("{table}: {rows} rows");
    }
    for finding in &report.findings {
        if repair || finding.kind != FindingKind::Note {
            println!("{finding}");
        }
    }
    if report.not_listed > 0 {
        println!("and {} findings more", report.not_listed);
    }
}
