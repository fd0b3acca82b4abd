//! Tables in docs that say which test shows what of each call of the kernel's: `| call | succeeds |
//! fails |`.

use std::path::Path;
use std::{fs, io};

/// A table in the docs of a file.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Finds it in the docs at the head of a file; it has no rows where there is none.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn of(file: &Path) -> io::Result<Self> {
        Ok(Self::within(&fs::read_to_string(file)?))
    }

    fn within(docs: &str) -> Self {
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

    /// Returns whether a row's call begins so.
    pub fn has(&self, call: &str) -> bool {
        self.calls().any(|row| row.starts_with(call))
    }

    /// Returns the calls.
    pub fn calls(&self) -> impl Iterator<Item = &str> {
        self.rows
            .iter()
            .filter_map(|row| row.first())
            .map(String::as_str)
    }

    /// Returns what is wrong with it, given the text of the tests. A call is shown to succeed and
    /// to fail, each by tests that are there, or says in words why not; `the same` test can show
    /// both.
    pub fn faults(&self, tests: &str) -> Vec<String> {
        let none = self.rows.is_empty().then(|| "no table".to_owned());
        none.into_iter()
            .chain(self.rows.iter().filter_map(|row| fault(row, tests)))
            .collect()
    }
}

/// Returns the text of all files of a folder, without those of folders in it.
///
/// # Errors
/// Where they cannot be read.
pub fn text_of(folder: &Path) -> io::Result<String> {
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
    let is_shown = |column: &str| names(column).next().is_some() || column.split(' ').count() > 3;
    let is_the_same = fails == "the same" && names(succeeds).next().is_some();
    match (is_shown(succeeds), is_shown(fails) || is_the_same) {
        (true, true) => None,
        (false, _) => Some(format!("{call}: nothing shows that it succeeds")),
        (true, false) => Some(format!("{call}: nothing shows that it fails")),
    }
}

/// The names in a column, which stand between backticks.
fn names(column: &str) -> impl Iterator<Item = &str> {
    column.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(row: &str) -> Vec<String> {
        let table = Table::within(&format!(
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
        assert_eq!(Table::within("//! No table.\n").faults(""), ["no table"]);
    }
}
