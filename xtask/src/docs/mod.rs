//! `cargo xtask docs`: docs/domain-xml.md, made from the descriptions that reader and writer of the domain XML follow.

mod effects;

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, ensure};
use passthru_domain::{Description, Domain, Values};

use crate::cargo::root;
use effects::{Effect, of};

const FILE: &str = "docs/domain-xml.md";

/// Writes the document anew.
pub(crate) fn run() -> Result<u8> {
    fs::write(root().join(FILE), document()).context(FILE)?;
    Ok(0)
}

/// Fails when the document is not what the code says.
pub(crate) fn check() -> Result<()> {
    let found = fs::read_to_string(root().join(FILE)).context(FILE)?;
    ensure!(found == document(), "{FILE} is stale: `cargo xtask docs` writes it anew");
    Ok(())
}

const HEAD: &str = include_str!("head.md");

fn document() -> String {
    let domain = Domain::description();
    let mut text = HEAD.to_owned();
    text.push_str("\n## `<domain>`\n\n");
    let (parts, devices): (Vec<_>, Vec<_>) = domain.children.iter().partition(|part| part.name != "devices");
    rows(&mut text, &Description { children: Vec::new(), ..domain.clone() }, "domain");
    for part in parts {
        section(&mut text, part, part.name);
    }
    for device in devices.iter().flat_map(|devices| &devices.children) {
        section(&mut text, device, &format!("devices/{}", device.name));
    }
    text
}

fn section(text: &mut String, element: &Description, path: &str) {
    let Effect { since, arch, becomes, .. } = of(path);
    let _ = write!(text, "\n### `<{}>`", element.name);
    text.push_str(if path.starts_with("devices/") { " of `<devices>`\n\n" } else { "\n\n" });
    let facts = [("Becomes", becomes), ("Since", since), ("For", arch)];
    let facts: Vec<_> =
        facts.iter().filter(|f| !f.1.is_empty()).map(|f| format!("{}: {}.", f.0, f.1)).collect();
    let _ = writeln!(text, "{}\n", facts.join(" "));
    rows(text, element, element.name);
}

/// A table of an element and what is within it.
fn rows(text: &mut String, element: &Description, path: &str) {
    text.push_str("| element | attribute | values |\n|---|---|---|\n");
    row(text, element, path);
}

fn row(text: &mut String, element: &Description, path: &str) {
    let several = if element.repeats { " …" } else { "" };
    let mut name = format!("`{path}`{several}");
    let mut line = |attribute: &str, values: &str| {
        let _ = writeln!(text, "| {} | {attribute} | {values} |", std::mem::take(&mut name));
    };
    if let Some(content) = &element.text {
        line("", &format!("text: {}", shown(content)));
    } else if element.attributes.is_empty() {
        line("", "");
    }
    for (attribute, values) in &element.attributes {
        line(&format!("`{attribute}`"), &shown(values));
    }
    for child in &element.children {
        row(text, child, &format!("{path}/{}", child.name));
    }
}

fn shown(values: &Values) -> String {
    match values {
        Values::Text => "any text".into(),
        Values::Words(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Values::Form(form) => form.replace('|', "\\|"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_the_code_says() {
        check().unwrap();
    }

    #[test]
    fn what_becomes_of_it_is_said_of_every_part_and_of_nothing_else() {
        let domain = Domain::description();
        let (devices, parts): (Vec<_>, Vec<_>) =
            domain.children.iter().partition(|part| part.name == "devices");
        let devices = devices.iter().flat_map(|d| &d.children).map(|d| format!("devices/{}", d.name));
        let mut paths: Vec<_> = parts.iter().map(|part| part.name.to_owned()).chain(devices).collect();
        let mut said: Vec<_> = effects::EFFECTS.iter().map(|effect| effect.path.to_owned()).collect();
        paths.sort();
        said.sort();
        assert_eq!(said, paths);
    }
}
