//! The table of measures, and the places that break a rule.

use std::fmt;

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
}

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

    /// Returns each place that breaks a rule, a line each.
    pub(crate) fn places(&self) -> String {
        let mut text = String::new();
        for Place {
            rule,
            file,
            line,
            text: found,
        } in &self.places
        {
            let found: String = found.chars().take(120).collect();
            text.push_str(&format!("{file}:{line}: {}: {found}\n", rule.name()));
        }
        text
    }

    fn count(&self, rule: Rule) -> f64 {
        self.places
            .iter()
            .filter(|place| place.rule == rule)
            .count() as f64
    }

    fn rows(&self) -> Vec<Row> {
        let per_10_000 = 10_000.0 / self.lines.max(1) as f64;
        let questions = 100.0 / self.docs.max(1) as f64 * self.count(Rule::QuestionDoc);
        let row = |measure, value, aim, unit| Row {
            measure,
            value,
            aim,
            unit,
        };
        vec![
            row("docs that begin with a question word", questions, 3.0, "%"),
            row(
                "tokens a line, median of functions",
                median(&self.densities),
                6.5,
                "",
            ),
            row(
                "closures bound to a name, per 10,000 lines",
                self.count(Rule::BoundClosure) * per_10_000,
                15.0,
                "",
            ),
            row(
                "tuple lets, per 10,000 lines",
                self.count(Rule::TupleLet) * per_10_000,
                3.0,
                "",
            ),
            row(
                "sentences of more than 25 words",
                self.count(Rule::LongSentence),
                0.0,
                "",
            ),
            row(
                "lines of more than 100 columns",
                self.count(Rule::WideLine),
                0.0,
                "",
            ),
            row(
                "types with an empty name",
                self.count(Rule::EmptyName),
                0.0,
                "",
            ),
            row(
                "test names of more than 60 characters",
                self.count(Rule::LongTestName),
                0.0,
                "",
            ),
            row(
                "test names that are riddles",
                self.count(Rule::RiddleTestName),
                0.0,
                "",
            ),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row {
            measure,
            value,
            aim,
            unit,
        } in self.rows()
        {
            let mark = if value > aim { '!' } else { ' ' };
            writeln!(f, "{mark} {measure:<44} {value:>7.1} {unit:<1}  aim {aim}")?;
        }
        let (functions, lines) = (self.densities.len(), self.lines);
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
