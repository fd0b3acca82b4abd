//! [`Table`]: a table in docs that names the tests of each kernel call.

use std::path::Path;
use std::{fs, io};

/// A table `| call | succeeds | fails |` in the docs of a file.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads the table in the docs at the head of a file. Without one, the result has no rows.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(file: &Path) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(file)?))
    }

    fn parse(docs: &str) -> Self {
        let lines = docs
            .lines()
            .skip_while(|line| *line != "//! | call | succeeds | fails |")
            .skip(2);
        let rows = lines.map_while(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"));
        Self {
            rows: rows
                .map(|row| row.split(" | ").map(str::to_owned).collect())
                .collect(),
        }
    }

    /// Returns whether a row's call begins with `call`.
    pub fn has(&self, call: &str) -> bool {
        self.calls().any(|row| row.starts_with(call))
    }

    /// Returns the calls, in order.
    pub fn calls(&self) -> impl Iterator<Item = &str> {
        self.rows
            .iter()
            .filter_map(|row| row.first())
            .map(String::as_str)
    }

    /// Returns the faults of the table, given the text of the tests.
    ///
    /// Each call needs a test of success and a test of failure, or words that explain the lack.
    /// `the same` stands for one test of both.
    pub fn faults(&self, tests: &str) -> Vec<String> {
        let none = self.rows.is_empty().then(|| "no table".to_owned());
        none.into_iter()
            .chain(self.rows.iter().filter_map(|row| fault(row, tests)))
            .collect()
    }
}

/// Reads all files of a folder, without subfolders, into one text.
///
/// # Errors
/// If a file cannot be read.
pub fn read_folder(folder: &Path) -> io::Result<String> {
    let files = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files
        .iter()
        .filter(|path| path.is_file())
        .map(fs::read_to_string)
        .collect()
}

fn fault(row: &[String], tests: &str) -> Option<String> {
    let [call, succeeds, fails] = row else {
        return Some(format!("{row:?} has not three columns"));
    };
    let missing = names(succeeds)
        .chain(names(fails))
        .find(|name| !tests.contains(&format!("fn {name}(")));
    if let Some(name) = missing {
        return Some(format!("{call}: there is no test {name}"));
    }
    if !is_shown(succeeds) {
        return Some(format!("{call}: nothing shows that it succeeds"));
    }
    let has_same_test = fails == "the same" && names(succeeds).next().is_some();
    if !is_shown(fails) && !has_same_test {
        return Some(format!("{call}: nothing shows that it fails"));
    }
    None
}

/// Returns whether a column names a test, or has words enough to explain the lack of one.
fn is_shown(column: &str) -> bool {
    names(column).next().is_some() || column.split(' ').count() > 3
}

/// Returns the names in a column, which stand between backticks.
fn names(column: &str) -> impl Iterator<Item = &str> {
    column.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(row: &str) -> Vec<String> {
        let table = Table::parse(&format!(
            "//! | call | succeeds | fails |\n//! |---|---|---|\n//! {row}\n"
        ));
        table.faults("fn one() {} fn other(with: u8) {}")
    }

    #[test]
    fn row_without_a_test_of_each_outcome_is_a_fault() {
        for row in [
            "| `A` | `one` | `other` |",
            "| `A` | `one`, `other` | the same |",
            "| `A` | no device has it | `one` |",
        ] {
            assert_eq!(faults(row), [""; 0], "{row}");
        }

        for (row, fault) in [
            ("| `A` | `one` |  |", "`A`: nothing shows that it fails"),
            (
                "| `A` | `one` | never |",
                "`A`: nothing shows that it fails",
            ),
            (
                "| `A` | the same | `one` |",
                "`A`: nothing shows that it succeeds",
            ),
            (
                "| `A` | no device has it | the same |",
                "`A`: nothing shows that it fails",
            ),
            ("| `A` | `one` | `third` |", "`A`: there is no test third"),
            (
                "| `A` | `one` |",
                "[\"`A`\", \"`one`\"] has not three columns",
            ),
        ] {
            assert_eq!(faults(row), [fault]);
        }

        assert_eq!(Table::parse("//! No table.\n").faults(""), ["no table"]);
    }
}
