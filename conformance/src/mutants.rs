//! Breaks the product, one line at a time, in a copy of the tree: each time the test that the item
//! names must fail. A test that stays green holds nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::item::{Item, List, Mutation};
use crate::run::{Outcome, build, run};
use crate::{Fault, system};

/// What became of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The test failed, as it should.
    Red,
    /// The test passed: it does not hold its item.
    Green,
    /// There is no such test.
    Missing,
    /// The changed line does not compile: the mutation says nothing.
    Broken,
    /// The line to be changed is not there any more.
    Stale,
}

/// Turns the mutations of these items, of all when none is named. The copy lives in the target
/// folder, with a target folder of its own; the tree itself is never changed.
pub(crate) fn turn(root: &Path, list: &List, only: &[&str]) -> Result<(), Fault> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (copy, built) = (target.join("mutants/tree"), target.join("mutants/target"));
    copy_tree(root, &copy)?;
    let wanted = |item: &&Item| only.is_empty() || only.contains(&item.id.as_str());
    let items = list.items.iter().filter(wanted);
    let mut turns: Vec<(&Item, &Mutation)> = items
        .filter_map(|item| Some((item, item.mutation.as_ref()?)))
        .collect();
    // What is built quickly comes first: tests of one machine, then those of the whole product.
    turns.sort_by_key(|(item, mutation)| mutation.test(item).package == env!("CARGO_PKG_NAME"));
    let count = turns.len();
    let mut faults = Vec::new();
    for (item, mutation) in turns {
        let begun = Instant::now();
        let verdict = turn_one(&copy, &built, item, mutation)?;
        println!(
            "{verdict:?}  {}  {}  ({} s)",
            item.id,
            mutation.test(item),
            begun.elapsed().as_secs()
        );
        if verdict != Verdict::Red {
            faults.push(format!("{}: {verdict:?}", item.id));
        }
    }
    println!(
        "{} of {count} mutations turned their tests red",
        count - faults.len()
    );
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Fault::Tests(faults))
    }
}

fn turn_one(copy: &Path, built: &Path, item: &Item, mutation: &Mutation) -> Result<Verdict, Fault> {
    let file = copy.join(&mutation.file);
    let whole = std::fs::read_to_string(&file).map_err(system(mutation.file.clone()))?;
    let Ok(broken) = mutation.apply(&whole) else {
        return Ok(Verdict::Stale);
    };
    std::fs::write(&file, broken).map_err(system(mutation.file.clone()))?;
    let verdict = verdict(copy, built, item, mutation);
    std::fs::write(&file, whole).map_err(system(mutation.file.clone()))?;
    verdict
}

fn verdict(copy: &Path, built: &Path, item: &Item, mutation: &Mutation) -> Result<Verdict, Fault> {
    let test = mutation.test(item);
    let arguments = match test.target.as_str() {
        "lib" => vec!["-p", &test.package, "--lib"],
        target => vec!["-p", &test.package, "--test", target],
    };
    let Some(programs) = build(copy, &arguments, Some(built), true)? else {
        return Ok(Verdict::Broken);
    };
    let Some(program) = programs.get(&(test.package.clone(), test.target.clone())) else {
        return Ok(Verdict::Missing);
    };
    let outcomes = run(program, &[&test.test])?;
    Ok(match outcomes.get(&test.test) {
        Some(Outcome::Failed) => Verdict::Red,
        Some(Outcome::Passed | Outcome::Ignored) => Verdict::Green,
        None => Verdict::Missing,
    })
}

/// Brings the copy to what the tree is, leaving alone what is the same: what has not changed is not
/// built again.
fn copy_tree(root: &Path, copy: &Path) -> Result<(), Fault> {
    let output = Command::new("git")
        .current_dir(root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .map_err(system("git ls-files"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let files: BTreeSet<&str> = text.split('\0').filter(|name| !name.is_empty()).collect();
    for name in files {
        let (from, to) = (root.join(name), copy.join(name));
        // A file that is removed and still in the index has nothing to be copied.
        let Ok(bytes) = std::fs::read(&from) else {
            continue;
        };
        if std::fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        let folder = to.parent().expect("a file is in a folder");
        std::fs::create_dir_all(folder).map_err(system(folder.display().to_string()))?;
        std::fs::write(&to, bytes).map_err(system(to.display().to_string()))?;
    }
    Ok(())
}
