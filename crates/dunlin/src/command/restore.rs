//! `dunlin restore`: a new data folder from a backup.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// Make a new data folder from a backup
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin restore monday.dunlin --data /var/lib/dunlin-new
  dunlin serve --data /var/lib/dunlin-new")]
pub(crate) struct Args {
    /// The backup
    file: PathBuf,
    /// The folder to make; what is there already is never touched
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let summary = dunlin_store::restore(&self.file, &self.data)?;
        println!(
            "{}: {} rows and {} events restored; start it with 'dunlin serve --data {}'",
            self.data.display(),
            summary.rows,
            summary.events,
            self.data.display()
        );
        Ok(())
    }
}
