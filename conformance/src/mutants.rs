//! Breaks the product, one line at a time, in a copy of the tree: each time the test that the item
//! names must fail. A test that stays green holds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
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

/// Which mutations are turned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice<'a> {
    All,
    /// Those that no run has seen since all were begun: the rest of a run that was interrupted.
    Rest,
    /// Those of these items.
    Only(&'a [&'a str]),
}

/// Turns mutations and writes the page of what became of them, as soon as each has been seen. The
/// copy lives in the target folder, with a target folder of its own; the tree itself is never
/// changed.
pub(crate) fn turn(root: &Path, list: &List, choice: Choice<'_>) -> Result<(), Fault> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("mutants");
    let (copy, built) = (folder.join("tree"), folder.join("target"));
    copy_tree(root, &copy)?;
    let mut seen = match choice {
        Choice::All => Seen::none(&folder)?,
        Choice::Rest | Choice::Only(_) => Seen::read(&folder),
    };
    let commit = first_line(root, "git", &["describe", "--always", "--dirty"])?;
    let date = first_line(root, "date", &["-u", "+%F"])?;
    let wanted = |item: &Item| match choice {
        Choice::All => true,
        Choice::Rest => seen.of(&item.id).is_none(),
        Choice::Only(ids) => ids.contains(&item.id.as_str()),
    };
    let mut turns: Vec<(&Item, &Mutation)> = list
        .items
        .iter()
        .filter(|item| wanted(item))
        .filter_map(|item| Some((item, item.mutation.as_ref()?)))
        .collect();
    turns.sort_by_key(|(item, mutation)| cost(item, mutation));
    let count = turns.len();
    let mut faults = Vec::new();
    for (item, mutation) in turns {
        let begun = Instant::now();
        let verdict = turn_one(&copy, &built, item, mutation)?;
        let took_s = begun.elapsed().as_secs();
        println!(
            "{verdict:?}  {}  {}  ({took_s} s)",
            item.id,
            mutation.test(item)
        );
        seen.add(
            &item.id,
            &format!("{verdict:?}\t{took_s}\t{date}\t{commit}"),
        )?;
        if verdict != Verdict::Red {
            faults.push(format!("{}: {verdict:?}", item.id));
        }
    }
    println!(
        "{} of {count} mutations turned their tests red",
        count - faults.len()
    );
    write_page(root, list, &seen)?;
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Fault::Tests(faults))
    }
}

/// What is built quickly comes first: tests of one machine, then those of the whole product. And what
/// changes the same crate stands together, because a crate that is put back is built once more.
fn cost<'a>(item: &'a Item, mutation: &'a Mutation) -> (bool, &'a str, &'a str, &'a str) {
    let test = mutation.test(item);
    let changed = mutation.file.split('/').nth(1).unwrap_or_default();
    let whole = test.package == env!("CARGO_PKG_NAME");
    (whole, changed, &test.package, &test.target)
}

fn first_line(root: &Path, program: &str, arguments: &[&str]) -> Result<String, Fault> {
    let output = Command::new(program)
        .current_dir(root)
        .args(arguments)
        .output()
        .map_err(system(program))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("unknown").to_owned())
}

/// What became of each mutation in the runs since all were begun, kept in a file so that an
/// interrupted run can go on: a line per item, the last one counts.
struct Seen {
    file: PathBuf,
    by_item: BTreeMap<String, String>,
}

impl Seen {
    fn none(folder: &Path) -> Result<Self, Fault> {
        let file = folder.join("seen.tsv");
        std::fs::write(&file, "").map_err(system(file.display().to_string()))?;
        Ok(Self {
            file,
            by_item: BTreeMap::new(),
        })
    }

    fn read(folder: &Path) -> Self {
        let file = folder.join("seen.tsv");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        let by_item = lines.map(|(item, rest)| (item.to_owned(), rest.to_owned()));
        Self {
            by_item: by_item.collect(),
            file,
        }
    }

    fn of(&self, item: &str) -> Option<[&str; 4]> {
        let mut words = self.by_item.get(item)?.split('\t');
        Some([words.next()?, words.next()?, words.next()?, words.next()?])
    }

    fn add(&mut self, item: &str, what: &str) -> Result<(), Fault> {
        self.by_item.insert(item.into(), what.into());
        let lines = self.by_item.iter();
        let text: String = lines
            .map(|(item, what)| format!("{item}\t{what}\n"))
            .collect();
        std::fs::write(&self.file, text).map_err(system(self.file.display().to_string()))
    }
}

const PAGE: &str = "docs/mutants.md";

const HEAD: &str = "# Every test of an item can fail

Generated by `./test --mutants`: for each item of [conformance.md](conformance.md) that tests hold, the one line of the product that is
changed in a copy of the tree, the test that must fail then, and whether it did. `Green` would be a test that holds nothing.

";

/// Writes the page when every mutation has been seen; before that it would say too little.
fn write_page(root: &Path, list: &List, seen: &Seen) -> Result<(), Fault> {
    let mut rows = String::new();
    let (mut red, mut count, mut took_s) = (0, 0, 0_u64);
    for item in &list.items {
        let Some(mutation) = &item.mutation else {
            continue;
        };
        let Some([verdict, seconds, date, commit]) = seen.of(&item.id) else {
            println!(
                "{} has not been turned yet: {PAGE} is left as it is",
                item.id
            );
            return Ok(());
        };
        count += 1;
        red += u32::from(verdict == "Red");
        took_s += seconds.parse::<u64>().unwrap_or(0);
        let _ = writeln!(
            rows,
            "| {} | {verdict} | {} | `{}` | {} | {} | {date} {commit} |",
            item.id,
            mutation.file,
            mutation.test(item),
            code(&mutation.find),
            code(&mutation.replace),
        );
    }
    let page = format!(
        "{HEAD}{red} of {count} mutations turned their tests red, in {} minutes with building.\n\n\
         | item | | file | test | the line | becomes | seen at |\n| --- | --- | --- | --- | --- | --- | --- |\n{rows}",
        took_s.div_ceil(60)
    );
    std::fs::write(root.join(PAGE), page).map_err(system(PAGE))
}

/// Code within a cell of a table.
fn code(line: &str) -> String {
    match line.trim() {
        "" => "nothing".into(),
        line => format!("`{}`", line.replace('|', "\\|")),
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
