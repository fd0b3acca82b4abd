//! The public operations of a crate that can fail, by what its source says; and the table in a
//! test's docs of what shows how they do.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Holds the table of a test file, `| operations | tests |`, against these folders of source and of
/// tests: each operation is in it, and each name in it is there.
pub(crate) fn check(table: &str, sources: &[PathBuf], tests: &Path) {
    let operations: BTreeSet<_> = sources
        .iter()
        .flat_map(|folder| operations(folder))
        .collect();
    let rows: Vec<_> = table.lines().filter_map(row).skip(1).collect();
    let listed: BTreeSet<_> = rows.iter().flat_map(|(names, _)| quoted(names)).collect();
    let shown: BTreeSet<_> = rows.iter().flat_map(|(_, names)| quoted(names)).collect();
    assert_eq!(
        operations.difference(&listed).collect::<Vec<_>>(),
        [&""; 0],
        "these are in no row"
    );
    assert_eq!(
        listed.difference(&operations).collect::<Vec<_>>(),
        [&""; 0],
        "these are no operations"
    );
    let tests: String = files(tests)
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for name in shown {
        assert!(
            tests.contains(&format!("fn {name}(")),
            "there is no test {name}"
        );
    }
}

fn row(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("//! | ")?.split_once(" | ")
}

fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// All files of Rust in a folder and its folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The public functions that return a `Result`: `Type::name`, or `name`.
fn operations(folder: &Path) -> BTreeSet<String> {
    files(folder)
        .iter()
        .flat_map(|file| operations_of(&fs::read_to_string(file).unwrap()))
        .collect()
}

/// Formatted source is read: a block of a type begins and ends at the start of a line.
fn operations_of(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<_> = source.lines().collect();
    let (mut found, mut owner) = (Vec::new(), Owner::default());
    for (index, line) in lines.iter().enumerate() {
        owner = owner.at(line);
        let Some(name) = owner.function(line) else {
            continue;
        };
        let signature = lines[index..]
            .split_inclusive(|line| ends(line))
            .next()
            .unwrap_or_default()
            .concat();
        if signature
            .split_once("->")
            .is_some_and(|(_, answer)| answer.contains("Result<"))
        {
            found.push(name);
        }
    }
    found
}

/// Whether a function's signature ends with this line.
fn ends(line: &str) -> bool {
    line.ends_with('{') || line.ends_with(';') || line.ends_with('}')
}

/// Whose functions are read.
#[derive(Default)]
struct Owner {
    name: Option<String>,
    is_trait: bool,
}

impl Owner {
    fn at(self, line: &str) -> Self {
        let block = |rest: &str, is_trait| {
            let name = rest
                .split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or_default();
            Self {
                name: Some(name.to_owned()),
                is_trait,
            }
        };
        let line = line.replace("pub unsafe trait", "pub trait");
        match (line.strip_prefix("impl "), line.strip_prefix("pub trait ")) {
            (Some(rest), _) if !rest.contains(" for ") => block(rest, false),
            (_, Some(rest)) => block(rest, true),
            _ if line == "}" => Self::default(),
            _ => self,
        }
    }

    fn function(&self, line: &str) -> Option<String> {
        let start = match (&self.name, self.is_trait) {
            (None, _) => "pub ",
            (Some(_), false) => "    pub ",
            (Some(_), true) => "    ",
        };
        let rest = line.strip_prefix(start)?;
        let rest = rest
            .strip_prefix("unsafe ")
            .unwrap_or(rest)
            .strip_prefix("fn ")?;
        let name = rest.split(['(', '<']).next()?;
        Some(
            self.name
                .as_ref()
                .map_or_else(|| name.to_owned(), |owner| format!("{owner}::{name}")),
        )
    }
}

#[test]
fn fallible_operations_are_found_in_the_source() {
    let source = "impl Ioas {\n    pub fn id(&self) -> u32 {\n    }\n    pub unsafe fn map(\n        &self,\n    ) -> Result<u64, Error> {\n    }\n    fn hidden() -> Result<(), ()> {\n    }\n}\npub unsafe trait Dma: Send {\n    fn unmap(&self) -> Result<u64, Error>;\n}\nimpl Dma for Ioas {\n    fn unmap(&self) -> Result<u64, Error> {\n    }\n}\npub fn open() -> Result<(), ()> {\n}\n#[cfg(test)]\npub fn not() -> Result<(), ()> {\n}\n";
    assert_eq!(operations_of(source), ["Ioas::map", "Dma::unmap", "open"]);
}
