//! The command line of dunlin: one file per command in [`command`], and what several of them need beside it.
//!
//! Exit status: 0 done, 1 failed (one line on stderr that says what to do), 2 wrong usage (clap says which).

mod api;
mod arguments;
mod command;
mod sse;
mod table;
mod view;

use std::process::ExitCode;

use clap::Parser;

/// LwM2M Server, Bootstrap-Server, Client and fleet in one program.
#[derive(Parser)]
#[command(
    name = "dunlin",
    version,
    disable_help_subcommand = true,
    after_help = "Example:\n  dunlin demo\n  dunlin list\n  dunlin read lamp /3/0"
)]
struct Dunlin {
    #[command(subcommand)]
    command: command::Command,
}

fn main() -> ExitCode {
    match Dunlin::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has closed it (`dunlin events | head`): that is no failure of ours.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dunlin: {}", table::plain(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
