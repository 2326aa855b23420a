//! The list: every item of the standard with its section, our words, and the tests that hold it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::{Fault, system};

/// Where the list is.
pub(crate) const FILE: &str = "spec/lwm2m-1.0.toml";

/// The parts of the list, each with the number of entries that it must have: an item that is lost
/// in an edit is noticed.
pub(crate) const PARTS: [(Part, usize); 5] = [
    (Part::Client, 68),
    (Part::Server, 46),
    (Part::BootstrapServer, 17),
    (Part::Text, 20),
    (Part::Case, 61),
];

/// What kind of item one is; its id says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Static conformance requirements of the Client (TS 1.0 annex B).
    Client,
    /// Those of the Server.
    Server,
    /// Derived for the Bootstrap-Server, for which annex B has none.
    BootstrapServer,
    /// Normative sentences of the text that no item of annex B covers.
    Text,
    /// Cases of the interoperability tests (ETS 1.0).
    Case,
}

impl Part {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Client => "LwM2M Client (TS 1.0 annex B)",
            Self::Server => "LwM2M Server (TS 1.0 annex B)",
            Self::BootstrapServer => {
                "LwM2M Bootstrap-Server (derived: annex B has no section for it)"
            }
            Self::Text => "What the text demands and annex B does not list",
            Self::Case => "Interoperability test cases (ETS 1.0)",
        }
    }
}

/// Whether an item may be left out.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Mandatory,
    Optional,
}

/// One item.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    pub(crate) id: String,
    /// Of the Technical Specification, version 1.0.
    pub(crate) section: String,
    pub(crate) status: Status,
    /// What it asks, in our own words.
    pub(crate) says: String,
    #[serde(default)]
    pub(crate) tests: Vec<TestName>,
    /// Why there is no test, or what the tests leave open.
    pub(crate) exception: Option<String>,
    pub(crate) mutation: Option<Mutation>,
}

/// One line of the product that is changed, and the test that must notice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutation {
    /// The first of the item's tests, if none is named.
    pub(crate) test: Option<TestName>,
    pub(crate) file: String,
    /// A line of the file, blanks around it left out. It must stand there exactly once, or once
    /// after `after`.
    pub(crate) find: String,
    /// A line that comes before, where `find` alone is not enough.
    pub(crate) after: Option<String>,
    pub(crate) replace: String,
}

/// `package/target::path::of::the::test`; `lib` is the target of unit tests.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(crate) struct TestName {
    pub(crate) package: String,
    pub(crate) target: String,
    pub(crate) test: String,
}

impl TryFrom<String> for TestName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(package, rest)| Some((package, rest.split_once("::")?)));
        let Some((package, (target, test))) = parts else {
            return Err(format!("\"{text}\" is not package/target::test"));
        };
        Ok(Self {
            package: package.into(),
            target: target.into(),
            test: test.into(),
        })
    }
}

impl fmt::Display for TestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}::{}", self.package, self.target, self.test)
    }
}

impl Item {
    /// `None`: the id follows no scheme.
    pub(crate) fn part(&self) -> Option<Part> {
        let words: Vec<&str> = self.id.split('-').collect();
        match words.as_slice() {
            ["LwM2M", _, _, "C", _] => Some(Part::Client),
            ["LwM2M", _, _, "S", _] => Some(Part::Server),
            ["BS", "D", _] => Some(Part::BootstrapServer),
            ["TX", _] => Some(Part::Text),
            ["int", ..] => Some(Part::Case),
            _ => None,
        }
    }
}

impl Mutation {
    pub(crate) fn test<'a>(&'a self, item: &'a Item) -> &'a TestName {
        self.test.as_ref().unwrap_or(&item.tests[0])
    }

    /// The text of the file with the line replaced; an error says why the line is not found.
    pub(crate) fn apply(&self, text: &str) -> Result<String, String> {
        let mut lines: Vec<&str> = text.lines().collect();
        let start = match &self.after {
            Some(after) => 1 + one(&lines, 0, after, false)?,
            None => 0,
        };
        let at = one(&lines, start, &self.find, self.after.is_some())?;
        lines[at] = &self.replace;
        Ok(lines.join("\n") + "\n")
    }
}

/// The only line like this from `start` on, or the first where more are allowed.
fn one(lines: &[&str], start: usize, wanted: &str, first: bool) -> Result<usize, String> {
    let mut found = (start..lines.len()).filter(|at| lines[*at].trim() == wanted.trim());
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (Some(at), Some(_)) if first => Ok(at),
        (None, _) => Err(format!("there is no line \"{wanted}\"")),
        (Some(_), Some(_)) => Err(format!("there are several lines \"{wanted}\"")),
    }
}

/// All items, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    #[serde(rename = "item")]
    pub(crate) items: Vec<Item>,
}

impl List {
    /// Reads the list and holds it against itself.
    pub(crate) fn read(root: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(root.join(FILE)).map_err(system(FILE))?;
        let list: Self =
            toml::from_str(&text).map_err(|error| Fault::List(vec![error.to_string()]))?;
        let faults = list.faults();
        if faults.is_empty() {
            Ok(list)
        } else {
            Err(Fault::List(faults))
        }
    }

    pub(crate) fn part(&self, part: Part) -> impl Iterator<Item = &Item> {
        let items = self.items.iter();
        items.filter(move |item| item.part() == Some(part))
    }

    /// Every test that is named, once.
    pub(crate) fn tests(&self) -> BTreeSet<&TestName> {
        let named = self.items.iter().flat_map(|item| &item.tests);
        let turned = self
            .items
            .iter()
            .filter_map(|item| item.mutation.as_ref()?.test.as_ref());
        named.chain(turned).collect()
    }

    /// The mutations whose line is not there any more, or not there alone. They want to be looked
    /// at; what the tests hold they hold all the same.
    pub(crate) fn stale(&self, root: &Path) -> Vec<String> {
        let stale = |item: &Item| {
            let mutation = item.mutation.as_ref()?;
            let applied = match std::fs::read_to_string(root.join(&mutation.file)) {
                Ok(text) => mutation.apply(&text).map(drop),
                Err(error) => Err(error.to_string()),
            };
            let fault = applied.err()?;
            Some(format!("{}: {}: {fault}", item.id, mutation.file))
        };
        self.items.iter().filter_map(stale).collect()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut ids = BTreeSet::new();
        for item in &self.items {
            if !ids.insert(&item.id) {
                faults.push(format!("{} is there twice", item.id));
            }
            faults.extend(item_fault(item).map(|fault| format!("{}: {fault}", item.id)));
        }
        for (part, count) in PARTS {
            let found = self.part(part).count();
            if found != count {
                faults.push(format!(
                    "{part:?} has {found} items and should have {count}"
                ));
            }
        }
        faults
    }
}

fn item_fault(item: &Item) -> Option<&'static str> {
    let tested = !item.tests.is_empty();
    let changes = |one: &Mutation| one.find.trim() != one.replace.trim();
    if item.mutation.as_ref().is_some_and(|one| !changes(one)) {
        return Some("a mutation that changes nothing");
    }
    match (item.part(), tested, item.mutation.is_some()) {
        (None, ..) => Some("this id follows no scheme"),
        (_, false, true) => Some("a mutation, and no test"),
        (_, false, false) if item.exception.is_none() => Some("neither a test nor an exception"),
        (_, true, false) => Some("tests, and no mutation that they notice"),
        (_, true, true) | (_, false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutation(find: &str, after: Option<&str>) -> Mutation {
        Mutation {
            test: None,
            file: String::new(),
            find: find.into(),
            after: after.map(Into::into),
            replace: "x".into(),
        }
    }

    #[test]
    fn a_mutation_replaces_the_one_line_it_names() {
        let text = "fn a() {\n    b\n}\nfn c() {\n    b\n}\n";
        let after = mutation("b", Some("fn c() {")).apply(text);
        assert_eq!(after.unwrap(), "fn a() {\n    b\n}\nfn c() {\nx\n}\n");
        assert!(
            mutation("b", None).apply(text).is_err(),
            "which of the two?"
        );
        assert!(mutation("d", None).apply(text).is_err());
        assert!(mutation("fn a() {", Some("fn c() {")).apply(text).is_err());
    }

    #[test]
    fn names_of_tests_have_three_parts() {
        let name = TestName::try_from("crate/target::module::test".to_owned()).unwrap();
        assert_eq!(name.test, "module::test");
        assert_eq!(name.to_string(), "crate/target::module::test");
        assert!(TestName::try_from("crate/test".to_owned()).is_err());
    }

    #[test]
    fn the_list_agrees_with_itself() {
        let list = List::read(&crate::root());
        assert!(list.is_ok(), "{}", list.unwrap_err());
    }
}
