//! Documents of devices: `<devices>`, or one device alone.

use roxmltree::{Document, Node};

use super::kind;
use crate::error::{Error, Errors, Note};
use crate::model::device::Devices;
use crate::xml::findings::Findings;
use crate::xml::node::start_tag;
use crate::xml::syntax::syntax_error;
use crate::xml::{limits, reader};

/// Most devices of a document. A guest has no more PCI buses.
const MOST_DEVICES: usize = 256;

/// Devices for a running guest, as a document describes them.
///
/// The root of the document is a `<disk>`, a `<hostdev>`, an `<interface>`, or `<devices>` with
/// several of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceDocument {
    pub(super) devices: Devices,
    /// Notes on parts without effect, by position.
    pub notes: Vec<Note>,
}

impl DeviceDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// - If the text is not well-formed XML, then the first syntax error.
    /// - If the root is not a device that can be plugged in, then that error.
    /// - Otherwise all parts of the text that are unknown or out of range, and all devices of other
    ///   kinds, each with its position.
    pub fn parse(xml: &str) -> Result<Self, Errors> {
        limits::check(xml)?;
        let document = Document::parse(xml).map_err(|error| syntax_error(xml, &error))?;
        let root = document.root_element();
        let list = list_of(root, xml)?;

        let mut findings = Findings::default();
        for child in list.children().filter(Node::is_element) {
            findings.errors.extend(foreign_kind(child, xml));
        }
        let mut devices = Devices::default();
        reader::read(list, xml, &mut devices, &mut findings);
        if findings.errors.is_empty() {
            let wrong = wrong_number(devices.items().len());
            findings
                .errors
                .extend(wrong.map(|e| e.at(start_tag(root, xml))));
        }

        findings.errors.sort();
        findings.notes.sort();
        Errors::check(findings.errors)?;
        let (notes, _) = findings.notes.into_parts();
        Ok(Self { devices, notes })
    }
}

/// Returns the error of a document with so many devices, if it has none or too many.
fn wrong_number(devices: usize) -> Option<Error> {
    match devices {
        0 => Some(Error::new("the document has no device".into())),
        1..=MOST_DEVICES => None,
        _ => Some(Error::new(format!(
            "the document has {devices} devices, and a running guest gets at most {MOST_DEVICES} \
             at once"
        ))),
    }
}

/// Returns the node whose children are the devices. That is the document itself, if its root is a
/// device.
fn list_of<'a, 'input>(root: Node<'a, 'input>, xml: &str) -> Result<Node<'a, 'input>, Error> {
    let name = root.tag_name();
    let document = root.document().root();
    match name.name() {
        "devices" if name.namespace().is_none() => Ok(root),
        tag if name.namespace().is_none() && Devices::TAGS.contains(&tag) => Ok(document),
        tag => {
            let message = format!(
                "the document's root is <{tag}>, expected <devices>, or one of {}",
                kind::TAGS
            );
            Err(Error::new(message).at(start_tag(root, xml)))
        }
    }
}

/// Returns the error of a device that cannot be plugged in, whatever its attributes are. The reader
/// reports unknown elements.
fn foreign_kind(device: Node<'_, '_>, xml: &str) -> Option<Error> {
    let name = device.tag_name();
    let tag = name.name();
    let is_known = Devices::TAGS.contains(&tag) || tag == "emulator";
    if !is_known || name.namespace().is_some() || kind::has_tag(tag) {
        return None;
    }
    let message = format!(
        "<{tag}> cannot be plugged into a running guest, only {} can",
        kind::TAGS
    );
    Some(Error::new(message).at(start_tag(device, xml)))
}
