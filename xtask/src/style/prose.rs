//! Sentences and line widths, of comments and of pages.

use super::report::{Report, Rule};

/// Longest sentence, in words.
const LONGEST_SENTENCE: usize = 25;

/// Widest line, in columns.
const WIDEST: usize = 100;

/// Measures a Markdown page: its lines, and the sentences of its paragraphs.
///
/// Leaves out tables, headings and code.
pub(super) fn measure_page(file: &str, text: &str, report: &mut Report) {
    let mut in_code = false;
    let mut paragraph = Paragraph::default();
    for (index, line) in text.lines().enumerate() {
        for name in quoted_tests(line) {
            report.quote(file, index + 1, name);
        }
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let is_text =
            !in_code && !line.starts_with("    ") && !line.trim_start().starts_with(['|', '#']);
        if is_text && !line.trim().is_empty() && !line.contains("```") {
            check_width(file, index + 1, line, report);
            paragraph.push(index + 1, line);
        } else {
            paragraph.end(file, report);
        }
    }

    paragraph.end(file, report);
}

/// Returns the paths of files and folders that a section of a page quotes.
pub(super) fn paths_in<'a>(page: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let section = page.split("\n## ").find(|part| part.starts_with(heading));
    let quoted = section
        .unwrap_or_default()
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|code| code.contains("/src") || code.contains("/tests"))
}

/// Returns the names of tests that a line quotes: code with at least three underscores.
fn quoted_tests(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let names = quoted.map(|code| code.rsplit("::").next().unwrap_or(code));
    names.filter(|name| name.matches('_').count() >= 3 && name.chars().all(is_in_test_name))
}

fn is_in_test_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

/// Measures the comments of a source, and the width of all of its lines.
pub(super) fn measure_comments(file: &str, text: &str, report: &mut Report) {
    let mut in_code = false;
    let mut paragraph = Paragraph::default();
    for (index, line) in text.lines().enumerate() {
        check_width(file, index + 1, line, report);
        let Some(content) = comment(line.trim_start()) else {
            in_code = false;
            paragraph.end(file, report);
            continue;
        };
        let content = content.strip_prefix(' ').unwrap_or(content);
        if content.trim_start().starts_with("```") {
            in_code = !in_code;
            paragraph.end(file, report);
        } else if in_code
            || content.trim().is_empty()
            || content.starts_with(['|', '#', ' ']) && !paragraph.is_list()
        {
            paragraph.end(file, report);
        } else {
            paragraph.push(index + 1, content);
        }
    }

    paragraph.end(file, report);
}

/// Returns the text of a comment; `None` for a line of code.
fn comment(line: &str) -> Option<&str> {
    ["///", "//!", "//"]
        .into_iter()
        .find_map(|mark| line.strip_prefix(mark))
}

/// Checks the width of a line. A row of a table may be wide, and so may a line of one word, such as
/// a link.
fn check_width(file: &str, line: usize, text: &str, report: &mut Report) {
    let content = comment(text.trim_start()).unwrap_or(text).trim_start();
    let can_be_broken = content.contains(' ') && !content.starts_with('|');
    if text.chars().count() > WIDEST && can_be_broken {
        report.note(Rule::WideLine, file, line, text);
    }
}

/// A paragraph or a list, joined into one line.
#[derive(Default)]
struct Paragraph {
    /// Number of the first line.
    line: usize,
    text: String,
}

impl Paragraph {
    fn is_list(&self) -> bool {
        self.text.starts_with("- ")
    }

    /// Adds a line. If the line begins an item of a list, ends the sentence before it.
    fn push(&mut self, line: usize, text: &str) {
        let text = text.trim();
        let begins_item = text.starts_with("- ") || text.starts_with("* ");
        if self.text.is_empty() {
            self.line = line;
        } else {
            self.text.push_str(if begins_item { ". " } else { " " });
        }

        self.text.push_str(text);
    }

    /// Checks the length of each sentence, and empties the paragraph.
    fn end(&mut self, file: &str, report: &mut Report) {
        for sentence in sentences(&self.text) {
            if words(sentence) > LONGEST_SENTENCE {
                report.note(Rule::LongSentence, file, self.line, sentence);
            }
        }

        self.text.clear();
    }
}

/// Splits a text into its sentences. A sentence ends at a mark that a space follows.
fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut rest = text;
    while let Some(end) = end_of_sentence(rest) {
        let (sentence, next) = rest.split_at(end);
        sentences.push(sentence);
        rest = next;
    }

    sentences.push(rest);
    sentences
}

fn end_of_sentence(text: &str) -> Option<usize> {
    let marks = [". ", "? ", "! ", ".) "];
    marks
        .into_iter()
        .filter_map(|mark| text.find(mark).map(|at| at + mark.len()))
        .min()
}

/// Counts the words. A mark that stands alone, such as a dash, is not a word.
fn words(sentence: &str) -> usize {
    sentence
        .split_whitespace()
        .filter(|word| word.contains(char::is_alphanumeric))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_ends_at_its_mark() {
        assert_eq!(sentences("One. Two 3.4: five"), ["One. ", "Two 3.4: five"]);
    }

    #[test]
    fn word_needs_a_letter_or_digit() {
        assert_eq!(words("a - b2 (c) … d"), 4);
    }

    #[test]
    fn long_sentence_is_noted_across_lines_of_a_comment() {
        let mut report = Report::default();
        let line = "// one two three four five six seven eight nine ten eleven twelve thirteen\n";
        measure_comments("x.rs", &format!("fn f() {{}}\n{line}{line}"), &mut report);
        assert!(
            report
                .places()
                .starts_with("x.rs:2: sentence of more than 25 words: one two")
        );
    }

    #[test]
    fn tests_in_a_line_are_code_with_three_underscores() {
        let line = "| `no_test`, `uses::disk_that_is_open_is_used` | a_word_that_is_none";
        assert_eq!(
            quoted_tests(line).collect::<Vec<_>>(),
            ["disk_that_is_open_is_used"]
        );
    }

    #[test]
    fn word_or_row_of_a_table_may_be_wide() {
        let mut report = Report::default();
        measure_comments("x.rs", &format!("// {}\n", "x".repeat(120)), &mut report);
        measure_comments(
            "x.rs",
            &format!("/// | a | {} |\n", "x ".repeat(60)),
            &mut report,
        );
        assert_eq!(report.places(), "");

        measure_comments(
            "x.rs",
            &format!("    f({});\n", "x, ".repeat(40)),
            &mut report,
        );
        assert!(
            report
                .places()
                .starts_with("x.rs:1: line of more than 100 columns")
        );
    }
}
