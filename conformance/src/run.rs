//! Finds the programs that hold the tests, runs exactly the tests that are named, and reads what
//! became of each.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::item::{List, TestName};
use crate::{Fault, system};

/// A test program that runs longer has been caught in a loop.
const RUN_MAX: Duration = Duration::from_secs(300);

/// How often a running test program is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Ignored,
}

/// A program with tests, and where it wants to be started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) executable: PathBuf,
    folder: PathBuf,
}

/// The test programs by package and target.
pub(crate) type Programs = BTreeMap<(String, String), Program>;

/// One line of what cargo tells about a build.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds test programs; `None` when they do not compile, with what the compiler says on our own
/// standard error unless `quiet`.
pub(crate) fn build(
    root: &Path,
    arguments: &[&str],
    target_dir: Option<&Path>,
    quiet: bool,
) -> Result<Option<Programs>, Fault> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(root)
        .args(["test", "--quiet", "--no-run", "--message-format=json"])
        .args(arguments)
        .stdin(Stdio::null());
    if quiet {
        command.stderr(Stdio::null());
    } else {
        command.stderr(Stdio::inherit());
    }
    if let Some(target_dir) = target_dir {
        // Debug information is half of the time of such a build, and nobody reads it.
        command
            .env("CARGO_TARGET_DIR", target_dir)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_TEST_DEBUG", "0");
    }
    let output = command.output().map_err(system("cargo test --no-run"))?;
    if !output.status.success() {
        return Ok(None);
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    Ok(Some(lines.filter_map(program).collect()))
}

fn program(line: &[u8]) -> Option<((String, String), Program)> {
    let message: Message = serde_json::from_slice(line).ok()?;
    let (manifest, target) = (message.manifest_path?, message.target?);
    if message.reason != "compiler-artifact" {
        return None;
    }
    let folder = manifest.parent()?.to_path_buf();
    // Packages of the workspace bear the name of their folder, this one excepted.
    let package = match folder.file_name()?.to_str()? {
        "conformance" => env!("CARGO_PKG_NAME").to_owned(),
        other => other.to_owned(),
    };
    let target_name = match target.kind.first()?.as_str() {
        "test" => target.name,
        "lib" => "lib".into(),
        "bin" => format!("bin-{}", target.name),
        _ => return None,
    };
    let program = Program {
        executable: message.executable?,
        folder,
    };
    Some(((package, target_name), program))
}

/// Runs these tests of one program.
pub(crate) fn run(program: &Program, tests: &[&str]) -> Result<BTreeMap<String, Outcome>, Fault> {
    let what = program.executable.display().to_string();
    let mut child = Command::new(&program.executable)
        .current_dir(&program.folder)
        .arg("--exact")
        .args(tests)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(system(what.clone()))?;
    let mut stdout = child.stdout.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        // What was read before a fault is what there is.
        let _ = stdout.read_to_end(&mut text);
        text
    });
    let begun = Instant::now();
    while child.try_wait().map_err(system(what.clone()))?.is_none() {
        if begun.elapsed() > RUN_MAX {
            child.kill().map_err(system(what.clone()))?;
        }
        std::thread::sleep(LOOK);
    }
    let text = reader.join().unwrap_or_default();
    let mut outcomes = outcomes(&String::from_utf8_lossy(&text));
    // What was begun and not ended has been ended by us, or has taken the program along.
    if outcomes.is_empty() {
        let failed = tests.iter().map(|test| ((*test).into(), Outcome::Failed));
        let exists = list(program)?;
        outcomes.extend(failed.filter(|(test, _): &(String, _)| exists.contains(test)));
    }
    Ok(outcomes)
}

/// The lines `test NAME ... ok` of libtest.
fn outcomes(text: &str) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for line in text.lines() {
        let words = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "));
        let Some((name, outcome)) = words else {
            continue;
        };
        // `name - should panic` is one of the forms.
        let name = name.split(" - ").next().unwrap_or(name);
        let outcome = match outcome {
            "ok" => Outcome::Passed,
            ignored if ignored.starts_with("ignored") => Outcome::Ignored,
            _ => Outcome::Failed,
        };
        outcomes.insert(name.into(), outcome);
    }
    outcomes
}

fn list(program: &Program) -> Result<BTreeSet<String>, Fault> {
    let output = Command::new(&program.executable)
        .current_dir(&program.folder)
        .args(["--list", "--format", "terse"])
        .output()
        .map_err(system(program.executable.display().to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(ToOwned::to_owned).collect())
}

/// Runs every test that the list names; all must exist, run and pass.
pub(crate) fn check(root: &Path, list: &List, workspace: bool) -> Result<(), Fault> {
    let tests = list.tests();
    let packages: BTreeSet<&str> = tests.iter().map(|test| test.package.as_str()).collect();
    let arguments: Vec<&str> = if workspace {
        vec!["--workspace"]
    } else {
        packages
            .iter()
            .flat_map(|package| ["-p", package])
            .collect()
    };
    let programs = build(root, &arguments, None, false)?
        .ok_or_else(|| Fault::Tests(vec!["the tests do not compile".into()]))?;
    let mut faults = Vec::new();
    let mut by_program: BTreeMap<(&str, &str), Vec<&TestName>> = BTreeMap::new();
    for test in tests.iter().copied() {
        let key = (test.package.as_str(), test.target.as_str());
        by_program.entry(key).or_default().push(test);
    }
    for ((package, target), tests) in by_program {
        let Some(program) = programs.get(&(package.to_owned(), target.to_owned())) else {
            faults.push(format!("{package} has no tests \"{target}\""));
            continue;
        };
        let names: Vec<&str> = tests.iter().map(|test| test.test.as_str()).collect();
        let outcomes = run(program, &names)?;
        for test in tests {
            match outcomes.get(&test.test) {
                Some(Outcome::Passed) => {}
                Some(Outcome::Failed) => faults.push(format!("{test} failed")),
                Some(Outcome::Ignored) => faults.push(format!("{test} is ignored")),
                None => faults.push(format!("{test} does not exist")),
            }
        }
    }
    if !faults.is_empty() {
        return Err(Fault::Tests(faults));
    }
    let open = list
        .items
        .iter()
        .filter(|item| item.tests.is_empty())
        .count();
    for stale in list.stale(root) {
        println!("a mutation wants to be looked at: {stale}");
    }
    println!(
        "{} tests passed that hold {} of {} items; {open} are exceptions",
        tests.len(),
        list.items.len() - open,
        list.items.len(),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libtest_says_is_read() {
        let text = "\nrunning 4 tests\ntest a::b ... ok\ntest c - should panic ... ok\n\
                    test d ... FAILED\ntest e ... ignored, wants root\n\ntest result: FAILED.\n";
        let outcomes = outcomes(text);
        assert_eq!(outcomes["a::b"], Outcome::Passed);
        assert_eq!(outcomes["c"], Outcome::Passed);
        assert_eq!(outcomes["d"], Outcome::Failed);
        assert_eq!(outcomes["e"], Outcome::Ignored);
        assert_eq!(outcomes.len(), 4);
    }

    #[test]
    fn what_cargo_says_of_a_test_program_is_read() {
        let line =
            br#"{"reason":"compiler-artifact","manifest_path":"/a/crates/dunlin-x/Cargo.toml",
            "target":{"kind":["test"],"name":"udp"},"executable":"/a/target/udp-1"}"#;
        let ((package, target), program) = program(line).unwrap();
        assert_eq!((package.as_str(), target.as_str()), ("dunlin-x", "udp"));
        assert_eq!(program.executable, Path::new("/a/target/udp-1"));
        assert!(super::program(b"{\"reason\":\"build-finished\"}").is_none());
    }
}
