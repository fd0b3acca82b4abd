//! Writes the reference of the domain XML (docs/domain-xml.md and docs/domain-xml/) from the
//! descriptions that the reader and the writer of domains use.
//!
//! - `xml-docs write` writes all pages; `cargo xtask docs` runs it.
//! - `xml-docs check` fails if a page is stale; `cargo xtask check` runs it.
#![allow(clippy::print_stderr, reason = "a program for a terminal")]

mod chapters;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use passthru_domain::{Description, Domain, Values};

use chapters::{CHAPTERS, Chapter, Element, Extension};

const INDEX: &str = "domain-xml.md";
const CHAPTERS_FOLDER: &str = "domain-xml";
const HEAD: &str = include_str!("head.md");

fn main() -> ExitCode {
    let result = match env::args().nth(1).as_deref() {
        Some("write") => write(),
        Some("check") => check(),
        _ => Err("usage: xml-docs write|check".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Writes all pages, and removes the pages of former chapters.
fn write() -> Result<(), String> {
    let pages = pages();
    for page in former(&pages)? {
        fs::remove_file(&page).map_err(|error| failed(&page, &error))?;
    }
    let folder = docs().join(CHAPTERS_FOLDER);
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    for (name, text) in pages {
        let page = docs().join(name);
        fs::write(&page, text).map_err(|error| failed(&page, &error))?;
    }

    Ok(())
}

/// Fails if a page differs from the descriptions, or if a file is not the page of a chapter.
fn check() -> Result<(), String> {
    let pages = pages();
    if let Some(page) = former(&pages)?.first() {
        return Err(format!(
            "{} does not belong to a chapter: `cargo xtask docs` removes it",
            page.display()
        ));
    }

    for (name, text) in pages {
        let page = docs().join(&name);
        let found = fs::read_to_string(&page).map_err(|error| failed(&page, &error))?;
        if found != text {
            return Err(format!(
                "docs/{name} is stale: `cargo xtask docs` writes it anew"
            ));
        }
    }

    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Returns the files in the chapters' folder that are not the page of a chapter.
fn former(pages: &BTreeMap<String, String>) -> Result<Vec<PathBuf>, String> {
    let folder = docs().join(CHAPTERS_FOLDER);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut former = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, &error))? {
        let entry = entry.map_err(|error| failed(&folder, &error))?;
        let name = format!("{CHAPTERS_FOLDER}/{}", entry.file_name().to_string_lossy());
        if !pages.contains_key(&name) {
            former.push(entry.path());
        }
    }

    Ok(former)
}

/// Returns the text of each page, by its name below docs/.
fn pages() -> BTreeMap<String, String> {
    let domain = Domain::description();
    let mut pages = BTreeMap::from([(INDEX.to_owned(), index(&domain))]);
    for chapter in CHAPTERS {
        pages.insert(
            format!("{CHAPTERS_FOLDER}/{}.md", chapter.file),
            page(chapter, &domain),
        );
    }

    pages
}

fn index(domain: &Description) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## Chapters\n\n| chapter | elements |\n|---|---|\n");
    for chapter in CHAPTERS {
        let page = format!("{CHAPTERS_FOLDER}/{}.md", chapter.file);
        let links: Vec<_> = chapter
            .elements
            .iter()
            .map(|element| {
                let path = element.path;
                format!("[`<{}>`]({page}#{})", name(path), anchor(path))
            })
            .collect();
        let _ = writeln!(
            text,
            "| [{}]({page}) | {} |",
            chapter.title,
            links.join(" ")
        );
    }

    text.push_str("\n## `<domain>`\n\n");
    rows(
        &mut text,
        &Description {
            children: Vec::new(),
            ..domain.clone()
        },
        "domain",
        &[],
    );
    text
}

fn page(chapter: &Chapter, domain: &Description) -> String {
    let mut text = format!(
        "# {}\n\n[Domain XML](../{INDEX}) has the other chapters.\n",
        chapter.title
    );
    for element in chapter.elements {
        if let Some(description) = description(domain, element.path) {
            section(&mut text, element, description);
        }
    }

    text
}

/// Returns the description of the element at a path.
fn description<'a>(domain: &'a Description, path: &str) -> Option<&'a Description> {
    match path.strip_prefix("devices/") {
        Some(device) => child(child(domain, "devices")?, device),
        None => child(domain, path),
    }
}

fn child<'a>(parent: &'a Description, name: &str) -> Option<&'a Description> {
    parent.children.iter().find(|child| child.name == name)
}

fn name(path: &str) -> &str {
    path.trim_start_matches("devices/")
}

/// Returns the heading of an element's section.
fn heading(path: &str) -> String {
    let place = if path.starts_with("devices/") {
        " of `<devices>`"
    } else {
        ""
    };
    format!("`<{}>`{place}", name(path))
}

/// Returns the anchor of an element's heading, as renderers of Markdown form it.
fn anchor(path: &str) -> String {
    let heading = heading(path).to_lowercase().replace(' ', "-");
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}

fn section(text: &mut String, element: &Element, description: &Description) {
    let _ = write!(text, "\n## {}\n\n", heading(element.path));
    let facts = [
        ("Becomes", element.becomes),
        ("Since", element.since),
        ("For", element.arch),
    ];
    let facts: Vec<_> = facts
        .iter()
        .filter(|(_, fact)| !fact.is_empty())
        .map(|(name, fact)| format!("{name}: {fact}."))
        .collect();
    let _ = writeln!(text, "{}\n", wrap(&facts.join(" ")));
    rows(text, description, description.name, element.extensions);
}

/// Breaks a paragraph into lines of at most 100 columns.
fn wrap(paragraph: &str) -> String {
    let mut wrapped = String::new();
    let mut width = 0;
    for word in paragraph.split(' ') {
        let length = word.chars().count();
        if width > 0 {
            let fits = width + 1 + length <= 100;
            wrapped.push(if fits { ' ' } else { '\n' });
            width = if fits { width + 1 } else { 0 };
        }
        wrapped.push_str(word);
        width += length;
    }

    wrapped
}

/// Adds a table of an element, its attributes and its children.
fn rows(text: &mut String, element: &Description, path: &str, extensions: &[Extension]) {
    text.push_str("| element | attribute | values |\n|---|---|---|\n");
    row(text, element, path, extensions);
}

fn row(text: &mut String, element: &Description, path: &str, extensions: &[Extension]) {
    let several = if element.repeats { " …" } else { "" };
    let mut name = format!("`{path}`{several}");
    if let Some(content) = &element.text {
        line(text, &mut name, "", &format!("text: {}", shown(content)));
    } else if element.attributes.is_empty() {
        line(text, &mut name, "", "");
    }

    for (attribute, values) in &element.attributes {
        let mut values = shown(values);
        if extensions.contains(&(path, attribute)) {
            values.push_str("; **extension of passthru**");
        }
        line(text, &mut name, &format!("`{attribute}`"), &values);
    }

    for child in &element.children {
        row(text, child, &format!("{path}/{}", child.name), extensions);
    }
}

/// Adds a line of a table. Only the first line of an element has its name.
fn line(text: &mut String, name: &mut String, attribute: &str, values: &str) {
    let name = std::mem::take(name);
    let _ = writeln!(text, "| {name} | {attribute} | {values} |");
}

fn shown(values: &Values) -> String {
    match values {
        Values::Text => "any text".into(),
        Values::Words(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Values::Form(form) => form.replace('|', "\\|"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the paths of all elements that a domain has.
    fn paths() -> Vec<String> {
        let domain = Domain::description();
        let mut paths = Vec::new();
        for part in &domain.children {
            if part.name == "devices" {
                paths.extend(
                    part.children
                        .iter()
                        .map(|device| format!("devices/{}", device.name)),
                );
            } else {
                paths.push(part.name.to_owned());
            }
        }

        paths.sort();
        paths
    }

    #[test]
    fn reference_is_up_to_date() {
        check().unwrap();
    }

    #[test]
    fn each_element_stands_in_one_chapter() {
        let chapters = CHAPTERS.iter().flat_map(|chapter| chapter.elements);
        let mut elements: Vec<_> = chapters.map(|element| element.path.to_owned()).collect();
        elements.sort();
        assert_eq!(elements, paths());
    }

    #[test]
    fn each_extension_is_marked_in_the_reference() {
        let elements = CHAPTERS.iter().flat_map(|chapter| chapter.elements);
        let extensions = elements.flat_map(|element| element.extensions).count();
        let pages = pages();
        let marks = pages.values().map(|text| {
            let lines = text.lines();
            lines
                .filter(|line| line.contains("**extension of passthru**"))
                .count()
        });

        assert_eq!(marks.sum::<usize>(), extensions);
        assert!(extensions > 0);
    }

    #[test]
    fn anchors_are_as_renderers_make_them() {
        assert_eq!(anchor("devices/hostdev"), "hostdev-of-devices");
        assert_eq!(anchor("qemu:commandline"), "qemucommandline");
        assert_eq!(anchor("on_crash"), "on_crash");
    }
}
