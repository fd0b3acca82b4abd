//! Names, positions and verbatim text of a document's nodes.

use std::ops::Range;

use roxmltree::Node;

use super::escape::escape;

/// Namespace of libvirt's QEMU-specific elements (`<qemu:commandline>` …).
pub(crate) const QEMU_NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// Prefix of QEMU-specific elements in a description. The document may use another prefix.
const QEMU_PREFIX: &str = "qemu:";

/// Returns an element's name as descriptions spell it.
pub(super) fn described_name(node: Node<'_, '_>) -> String {
    let is_qemu = node.tag_name().namespace() == Some(QEMU_NAMESPACE);
    let prefix = if is_qemu { QEMU_PREFIX } else { "" };
    format!("{prefix}{}", node.tag_name().name())
}

/// Returns whether a node is an element that a description calls `name`.
pub(super) fn is_named(node: &Node<'_, '_>, name: &str) -> bool {
    let tag = node.tag_name();
    let (namespace, local) = match name.strip_prefix(QEMU_PREFIX) {
        Some(local) => (Some(QEMU_NAMESPACE), local),
        None => (None, name),
    };
    node.is_element() && tag.name() == local && tag.namespace() == namespace
}

/// Returns the bytes of an element's start tag, from `<` to `>`.
pub(crate) fn start_tag(node: Node<'_, '_>, source: &str) -> Range<usize> {
    let range = node.range();
    let text = source.get(range.clone()).unwrap_or("");
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return range.start..range.start + at + 1,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }

    range
}

/// Returns the text between an element's tags.
pub(super) fn text_of(node: Node<'_, '_>) -> String {
    node.children()
        .filter(|child| child.is_text())
        .filter_map(|child| child.text())
        .collect()
}

/// Returns the source of an element that is kept to the letter.
///
/// Namespace prefixes that an outer element declares are declared in the result, so that the text
/// can stand elsewhere.
pub(super) fn verbatim(node: Node<'_, '_>, source: &str) -> Option<String> {
    let text = source.get(node.range())?;
    let own_tag = source.get(start_tag(node, source))?;
    let inherited = node
        .parent_element()
        .into_iter()
        .flat_map(|parent| parent.namespaces());
    let mut declared = String::new();
    for namespace in inherited {
        let Some(prefix) = namespace.name().filter(|p| *p != "xml") else {
            continue;
        };
        let is_used = text.contains(&format!("{prefix}:"));
        if is_used && !declares(own_tag, prefix) {
            let uri = escape(namespace.uri());
            declared.push_str(&format!(" xmlns:{prefix}=\"{uri}\""));
        }
    }

    let name_end = 1 + node.tag_name().name().len();
    let head = text.get(..name_end)?;
    let rest = text.get(name_end..)?;
    Some(format!("{head}{declared}{rest}"))
}

/// Returns whether a start tag declares a namespace prefix.
fn declares(tag: &str, prefix: &str) -> bool {
    let declaration = format!("xmlns:{prefix}");
    tag.split(declaration.as_str())
        .skip(1)
        .any(|rest| rest.trim_start().starts_with('='))
}
