//! The table of measures, and the places that break a rule.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, ensure};

/// A rule that single places can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    QuestionDoc,
    LongSentence,
    WideLine,
    EmptyName,
    LongTestName,
    RiddleTestName,
    BoundClosure,
    TupleLet,
    MissingTest,
    UnlistedUnsafe,
    MixedImports,
}

/// Rules that no place may break.
const NEVER_BROKEN: &[Rule] = &[
    Rule::LongSentence,
    Rule::WideLine,
    Rule::EmptyName,
    Rule::LongTestName,
    Rule::RiddleTestName,
    Rule::MissingTest,
    Rule::UnlistedUnsafe,
    Rule::MixedImports,
];

/// Everything measured in a set of files.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Lines of Rust source.
    pub(crate) lines: usize,
    /// Doc comments of items.
    pub(crate) docs: usize,
    /// Tests.
    pub(crate) tests: usize,
    /// Tokens a line, of each function of three lines or more.
    pub(crate) densities: Vec<f64>,
    /// Names of all functions.
    functions: BTreeSet<String>,
    /// Names of tests in pages.
    quotes: Vec<Place>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    rule: Rule,
    file: String,
    line: usize,
    text: String,
}

/// A row of the table.
struct Row {
    measure: &'static str,
    value: f64,
    aim: f64,
    unit: &'static str,
}

impl Row {
    fn is_above_aim(&self) -> bool {
        self.value > self.aim
    }
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::QuestionDoc => "doc begins with a question word",
            Self::LongSentence => "sentence of more than 25 words",
            Self::WideLine => "line of more than 100 columns",
            Self::EmptyName => "type with an empty name",
            Self::LongTestName => "test name of more than 60 characters",
            Self::RiddleTestName => "test name that begins with what_, who_ or of_",
            Self::BoundClosure => "closure bound to a name",
            Self::TupleLet => "tuple bound to a tuple of names",
            Self::MissingTest => "page names a test that does not exist",
            Self::MixedImports => "import outside its group (std, other crates, our own)",
            Self::UnlistedUnsafe => "unsafe code that ARCHITECTURE.md does not list",
        }
    }
}

impl Report {
    /// Notes a place that breaks a rule.
    pub(crate) fn note(&mut self, rule: Rule, file: &str, line: usize, text: &str) {
        let text = text.trim().to_owned();
        self.places.push(Place {
            rule,
            file: file.to_owned(),
            line,
            text,
        });
    }

    /// Notes that a page names a test.
    pub(crate) fn quote(&mut self, file: &str, line: usize, name: &str) {
        self.quotes.push(Place {
            rule: Rule::MissingTest,
            file: file.to_owned(),
            line,
            text: name.to_owned(),
        });
    }

    /// Notes a function that exists.
    pub(crate) fn define(&mut self, function: String) {
        self.functions.insert(function);
    }

    /// Turns quotes of tests that do not exist into places that break a rule.
    pub(crate) fn compare_quotes(&mut self) {
        let mut quotes = std::mem::take(&mut self.quotes);
        quotes.retain(|quote| !self.functions.contains(&quote.text));
        self.places.append(&mut quotes);
    }

    /// Returns each place that breaks a rule, a line each.
    pub(crate) fn places(&self) -> String {
        self.list(|_| true)
    }

    /// Returns each place that breaks a rule without exception, a line each.
    pub(crate) fn forbidden_places(&self) -> String {
        self.list(|rule| NEVER_BROKEN.contains(&rule))
    }

    fn list(&self, is_listed: impl Fn(Rule) -> bool) -> String {
        let mut list = String::new();
        for place in &self.places {
            if is_listed(place.rule) {
                list.push_str(&format!("{place}\n"));
            }
        }

        list
    }

    /// Checks the measures against their aims.
    ///
    /// # Errors
    /// If one is above its aim.
    pub(crate) fn hold(&self) -> Result<()> {
        let mut broken = Vec::new();
        for row in self.rows() {
            if row.is_above_aim() {
                broken.push(row.measure);
            }
        }

        ensure!(broken.is_empty(), "above the aim: {}", broken.join("; "));
        Ok(())
    }

    fn count(&self, rule: Rule) -> f64 {
        self.places
            .iter()
            .filter(|place| place.rule == rule)
            .count() as f64
    }

    fn rows(&self) -> Vec<Row> {
        let per_10_000 = 10_000.0 / self.lines.max(1) as f64;
        let percent = 100.0 / self.docs.max(1) as f64;
        let mut rows = vec![
            Row {
                measure: "tokens a line, median of functions",
                value: median(&self.densities),
                aim: 6.5,
                unit: "",
            },
            self.row(Rule::QuestionDoc, percent, 3.0, "% of docs"),
            self.row(Rule::BoundClosure, per_10_000, 15.0, "in 10,000 lines"),
            self.row(Rule::TupleLet, per_10_000, 3.0, "in 10,000 lines"),
        ];
        for rule in NEVER_BROKEN {
            rows.push(self.row(*rule, 1.0, 0.0, "places"));
        }
        rows
    }

    fn row(&self, rule: Rule, factor: f64, aim: f64, unit: &'static str) -> Row {
        Row {
            measure: rule.name(),
            value: self.count(rule) * factor,
            aim,
            unit,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.rule.name();
        let text: String = self.text.chars().take(120).collect();
        write!(f, "{}:{}: {rule}: {text}", self.file, self.line)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.rows() {
            let mark = if row.is_above_aim() { '!' } else { ' ' };
            let Row {
                measure,
                value,
                aim,
                unit,
            } = row;
            writeln!(f, "{mark} {measure:<54} {value:>7.1}  aim {aim} {unit}")?;
        }

        let functions = self.densities.len();
        let lines = self.lines;
        writeln!(
            f,
            "  {lines} lines, {} docs, {} tests, {functions} functions",
            self.docs, self.tests
        )
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
