//! The help of every command is a file to approve, has an example, and stands in the reference.

use std::path::PathBuf;
use std::process::Command;

fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .args(words)
        .arg("--help")
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names under `Commands:`.
fn commands(help: &str) -> Vec<String> {
    let Some((_, rest)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    let block = rest.split("\n\n").next().unwrap_or_default();
    let names = block
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names.map(ToString::to_string).collect()
}

/// Every command and what is under it, with its help.
fn all() -> Vec<(Vec<String>, String)> {
    let mut all = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(words) = open.pop() {
        let text = help(&words.iter().map(String::as_str).collect::<Vec<_>>());
        for name in commands(&text) {
            open.push(words.iter().cloned().chain([name]).collect());
        }
        all.push((words, text));
    }
    all
}

/// A change of a command is a change of its file: look at the difference, then `UPDATE_GOLDEN=1 cargo test`.
#[test]
fn the_help_is_the_golden_one() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/help"));
    std::fs::create_dir_all(&folder).unwrap();
    for (words, text) in all() {
        let name = if words.is_empty() {
            "dunlin".to_string()
        } else {
            words.join("-")
        };
        let file = folder.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            golden,
            text,
            "{} has changed; UPDATE_GOLDEN=1 writes the new one",
            file.display()
        );
    }
}

#[test]
fn every_command_has_an_example() {
    for (words, text) in all() {
        let line = format!("dunlin {}", words.join(" "));
        let (_, example) = text
            .split_once("\nExample:\n")
            .unwrap_or_else(|| panic!("{line} has none"));
        assert!(
            example.contains(line.trim()),
            "the example of {line} shows something else"
        );
    }
}

#[test]
fn every_command_is_in_the_reference() {
    let page = include_str!("../../../docs/reference/commands.md");
    for (words, text) in all() {
        if words.is_empty() || !commands(&text).is_empty() {
            continue;
        }
        let line = format!("dunlin {}", words.join(" "));
        assert!(
            page.contains(&line),
            "{line} is missing in docs/reference/commands.md"
        );
        for option in text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("--"))
        {
            let name = option.split([' ', ',']).next().unwrap();
            assert!(
                page.contains(&format!("--{name}")),
                "--{name} of {line} is missing"
            );
        }
    }
}
