//! Lists the fallible public operations of a crate from its source, and checks that a table in a
//! test's docs covers them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Checks the table `| operations | tests |` of a test file against folders of source and of tests.
///
/// Each operation must be in the table, and each name in the table must exist.
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

/// Lists all files of a folder and its subfolders.
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

/// Lists the public functions that return a `Result`, as `Type::name` or `name`.
fn operations(folder: &Path) -> BTreeSet<String> {
    files(folder)
        .iter()
        .flat_map(|file| operations_of(&fs::read_to_string(file).unwrap()))
        .collect()
}

/// Lists the fallible public functions of one source.
///
/// The source is formatted: the block of a type begins and ends at the start of a line.
fn operations_of(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<_> = source.lines().collect();
    let mut found = Vec::new();
    let mut owner = Owner::default();
    for (index, line) in lines.iter().enumerate() {
        owner = owner.after(line);
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

/// Returns whether a function's signature ends with this line.
fn ends(line: &str) -> bool {
    line.ends_with('{') || line.ends_with(';') || line.ends_with('}')
}

/// The type or trait whose block is being read.
#[derive(Default)]
struct Owner {
    name: Option<String>,
    is_trait: bool,
}

impl Owner {
    fn after(self, line: &str) -> Self {
        let line = line.replace("pub unsafe trait", "pub trait");
        if let Some(rest) = line.strip_prefix("pub trait ") {
            return Self::new(rest, true);
        }
        match line.strip_prefix("impl ") {
            Some(rest) if !rest.contains(" for ") => Self::new(rest, false),
            _ if line == "}" => Self::default(),
            _ => self,
        }
    }

    fn new(block: &str, is_trait: bool) -> Self {
        let name = block.split(|c: char| !c.is_alphanumeric()).next();
        Self {
            name: name.map(str::to_owned),
            is_trait,
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

const SOURCE: &str = "\
impl Ioas {
    pub fn id(&self) -> u32 {
    }
    pub unsafe fn map(
        &self,
    ) -> Result<u64, Error> {
    }
    fn hidden() -> Result<(), ()> {
    }
}
pub unsafe trait Dma: Send {
    fn unmap(&self) -> Result<u64, Error>;
}
impl Dma for Ioas {
    fn unmap(&self) -> Result<u64, Error> {
    }
}
pub fn open() -> Result<(), ()> {
}
#[cfg(test)]
pub fn not() -> Result<(), ()> {
}
";

#[test]
fn fallible_operations_are_found_in_the_source() {
    assert_eq!(operations_of(SOURCE), ["Ioas::map", "Dma::unmap", "open"]);
}
