//! Writes `docs/conformance.md`. It says what the list says; that every test named there passes is
//! what `check` proves, so the page stands for a run that was green.

use std::fmt::Write as _;
use std::path::Path;

use crate::item::{Item, List, PARTS, Part, Status};
use crate::{Fault, system};

const PAGE: &str = "docs/conformance.md";

const HEAD: &str = "# Conformance with LwM2M 1.0

Generated from `spec/lwm2m-1.0.toml` by `cargo run -p dunlin-conformance -- table`. `./test` runs every test that is named here, and fails
when one does not exist, did not run, or did not pass; so a line with a test is a line that passes. Each line with tests also records a
change of one line in the product that its test notices: `./test --mutants` makes them all, one after the other.

";

pub(crate) fn write(root: &Path, list: &List) -> Result<(), Fault> {
    std::fs::write(root.join(PAGE), page(list)).map_err(system(PAGE))
}

/// Whether the page that is committed is the one that the list makes.
pub(crate) fn compare(root: &Path, list: &List) -> Result<(), Fault> {
    let committed = std::fs::read_to_string(root.join(PAGE)).map_err(system(PAGE))?;
    if committed == page(list) {
        return Ok(());
    }
    let what = "docs/conformance.md is not what the list makes; run cargo run -p dunlin-conformance -- table";
    Err(Fault::Tests(vec![what.into()]))
}

fn page(list: &List) -> String {
    let mut page = HEAD.to_owned();
    page += "| part | items | with tests | exceptions | mandatory without a test |\n";
    page += "| --- | ---: | ---: | ---: | ---: |\n";
    for (part, _) in PARTS {
        let count = |holds: fn(&Item) -> bool| list.part(part).filter(|one| holds(one)).count();
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            part.title(),
            count(|_| true),
            count(|item| !item.tests.is_empty()),
            count(|item| item.tests.is_empty()),
            count(|item| item.tests.is_empty() && item.status == Status::Mandatory),
        );
    }
    for (part, _) in PARTS {
        add_part(&mut page, list, part);
    }
    page
}

fn add_part(page: &mut String, list: &List, part: Part) {
    let _ = write!(page, "\n## {}\n\n", part.title());
    *page += "| item | TS | | what it asks | held by |\n| --- | --- | --- | --- | --- |\n";
    for item in list.part(part) {
        let status = match item.status {
            Status::Mandatory => "M",
            Status::Optional => "O",
        };
        let mut held: Vec<String> = item
            .tests
            .iter()
            .map(|test| format!("`{}::{}` ({})", test.target, test.test, test.package))
            .collect();
        held.extend(item.exception.as_ref().map(|why| format!("*{why}*")));
        let _ = writeln!(
            page,
            "| {} | {} | {status} | {} | {} |",
            item.id,
            item.section,
            item.says,
            held.join("<br>")
        );
    }
}
