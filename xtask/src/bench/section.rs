//! Sections of docs/benchmarks.md. Each bench replaces its own.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result, bail};

use crate::cargo::root;

const HEAD: &str = "# Benchmarks\n\nRatios, so that they hold on other machines too. \
    Each section is written by the command in its heading.\n";

/// Replaces the section of a bench in the document. If there is none, appends the section.
pub(super) fn write(bench: &str, text: &str) -> Result<()> {
    let path = root().join("docs/benchmarks.md");
    let document = match fs::read_to_string(&path) {
        Ok(document) => document,
        Err(e) if e.kind() == ErrorKind::NotFound => HEAD.into(),
        Err(e) => bail!("{}: {e}", path.display()),
    };
    let document = replace_section(&document, bench, text);
    fs::write(&path, document).with_context(|| path.display().to_string())
}

fn replace_section(document: &str, bench: &str, text: &str) -> String {
    let begin = format!("<!-- begin {bench} -->\n");
    let end = format!("<!-- end {bench} -->\n");
    let section = format!(
        "{begin}## `cargo xtask bench {bench}`\n\n{}\n{end}",
        text.trim_end()
    );
    let old = document
        .find(&begin)
        .zip(document.find(&end))
        .filter(|(from, to)| from < to);
    match old {
        Some((from, to)) => format!(
            "{}{section}{}",
            &document[..from],
            &document[to + end.len()..]
        ),
        None => format!("{}\n\n{section}", document.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_is_replaced_and_the_others_stay() {
        let document = replace_section(&replace_section(HEAD, "one", "1"), "two", "2");
        assert!(document.starts_with(HEAD.trim_end()));
        let again = replace_section(&document, "one", "new");
        assert_eq!(again, document.replace("\n1\n", "\nnew\n"));
        assert_eq!(replace_section(&again, "two", "2"), again);
    }
}
