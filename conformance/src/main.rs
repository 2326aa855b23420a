//! Which test holds which item of LwM2M 1.0, whether it passes, and whether it can fail.
//!
//! ```sh
//! cargo run -p dunlin-conformance -- check      # runs the tests that spec/lwm2m-1.0.toml names
//! cargo run -p dunlin-conformance -- table      # writes docs/conformance.md from it
//! cargo run -p dunlin-conformance -- mutants    # breaks the product item by item, in a copy
//! ```
//!
//! `item` reads the list and holds it against itself, `run` finds and runs the tests, `table`
//! writes the page, `mutants` turns the recorded mutations.

mod item;
mod mutants;
mod run;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mutants::Choice;

const USAGE: &str = "usage: dunlin-conformance check|table|mutants
  check   [--workspace]    run every test that the list names; all must exist, run and pass
  table   [--check]        write docs/conformance.md, or say whether it is up to date
  mutants [--rest|--only ID,…]
                           apply every mutation in a copy of the tree; its test must fail. Writes
                           docs/mutants.md. --rest goes on where a run was interrupted";

/// Why a run ended badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The list contradicts itself or the tree.
    #[error("spec/lwm2m-1.0.toml:\n{}", .0.join("\n"))]
    List(Vec<String>),
    /// A file, or a program that was started.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// Tests that are missing, did not run, or failed.
    #[error("{}", .0.join("\n"))]
    Tests(Vec<String>),
    /// The program was called in a way it does not know.
    #[error("{USAGE}")]
    Usage,
}

/// Names what was tried when the system refuses.
pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Fault {
    let what = what.into();
    |error| Fault::System { what, error }
}

/// The folder of the workspace: where the list, the crates and the page are.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("this crate is a folder of the workspace")
        .into()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match obey(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

fn obey(words: &[&str]) -> Result<(), Fault> {
    let root = root();
    let list = item::List::read(&root)?;
    match words {
        ["check"] => run::check(&root, &list, false),
        ["check", "--workspace"] => run::check(&root, &list, true),
        ["table"] => table::write(&root, &list),
        ["table", "--check"] => table::compare(&root, &list),
        ["mutants"] => mutants::turn(&root, &list, Choice::All),
        ["mutants", "--rest"] => mutants::turn(&root, &list, Choice::Rest),
        ["mutants", "--only", ids] => {
            let ids: Vec<&str> = ids.split(',').collect();
            mutants::turn(&root, &list, Choice::Only(&ids))
        }
        _ => Err(Fault::Usage),
    }
}
