//! How elements are read and written: one description for both directions.
//!
//! An element describes itself once, in [`Element::visit`]: its attributes, its children, its text.
//! [`Reader`](reader::Reader) fills the fields from a document, [`Writer`](writer::Writer) makes a
//! document from the fields. What an element does not describe is an error when it is read, so
//! nothing of the user's text is dropped in silence.

pub(crate) mod describe;
pub(crate) mod limits;
pub(crate) mod reader;
pub(crate) mod slot;
pub(crate) mod span;
pub(crate) mod suggest;
pub(crate) mod text;
pub(crate) mod value;
pub(crate) mod writer;

use slot::{ManyElements, ManyValues, OneElement, OneValue, RequiredSlot};
use span::SourceSpan;

/// A visitor of the parts of an element: the reader, the writer, or the one who tells what there
/// is.
///
/// Every method takes the slot that the part is kept in. The reader fills the slot, the writer
/// takes from it and leaves it as it was. Slots are trait objects, so each element's description is
/// compiled once for all visitors.
pub(crate) trait Visitor {
    /// Whether slots are filled (reader) rather than read (writer).
    fn reading(&self) -> bool;

    /// An attribute that may be absent.
    fn attr(&mut self, name: &'static str, slot: &mut dyn OneValue);

    /// An attribute that must be there. The reader leaves the slot as it was when it is missing,
    /// and reports it.
    fn required(&mut self, name: &'static str, slot: &mut dyn RequiredSlot);

    /// A `yes`/`no` attribute. Absent stays `None`: what the user did not say stays unsaid.
    fn yes_no(&mut self, name: &'static str, slot: &mut Option<bool>);

    /// An `on`/`off` attribute, with the same three values.
    fn on_off(&mut self, name: &'static str, slot: &mut Option<bool>);

    /// The text between the tags, spaces around it removed.
    fn text(&mut self, slot: &mut dyn OneValue);

    /// The text between the tags with the spaces around it.
    fn whole_text(&mut self, slot: &mut Option<String>);

    /// A child element that holds only text: `<name>value</name>`.
    fn leaf(&mut self, name: &'static str, slot: &mut dyn OneValue);

    /// A child element that may be absent; given twice it is an error.
    fn child(&mut self, name: &'static str, slot: &mut dyn OneElement);

    /// Child elements of one name, in their order.
    fn children(&mut self, name: &'static str, slot: &mut dyn ManyElements);

    /// A child element that is one attribute: `<name attr='value'/>`.
    fn child_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn OneValue);

    /// Child elements of one name that are one attribute each.
    fn children_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn ManyValues);

    /// An empty child element whose presence says yes.
    fn flag(&mut self, name: &'static str, slot: &mut bool);

    /// A child that is kept to the letter and has no effect (`<metadata>`).
    fn verbatim(&mut self, name: &'static str, slot: &mut Option<String>);

    /// Where the element stands in the source. The writer ignores it.
    fn span(&mut self, slot: &mut SourceSpan);

    /// Reports what is wrong with this element. Nothing happens when writing.
    fn error(&mut self, message: String);
}

/// A part of the domain that is an element of its document.
pub(crate) trait Element {
    /// Shows every part of the element to the visitor.
    fn visit(&mut self, v: &mut dyn Visitor);
}

/// An element that is rare, and kept apart so that the others take less memory.
impl<E: Element> Element for Box<E> {
    fn visit(&mut self, v: &mut dyn Visitor) {
        (**self).visit(v);
    }
}
