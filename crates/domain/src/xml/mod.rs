//! How elements are read and written: one description for both directions.
//!
//! An element describes itself once, in [`Element::visit`]: its attributes, its children, its text.
//! [`Reader`](reader::Reader) fills the fields from a document, [`Writer`](writer::Writer) makes a
//! document from the fields. What an element does not describe is an error when it is read, so
//! nothing of the user's text is dropped in silence.

pub(crate) mod describe;
pub(crate) mod limits;
pub(crate) mod place;
pub(crate) mod reader;
pub(crate) mod suggest;
pub(crate) mod text;
pub(crate) mod value;
pub(crate) mod writer;

use place::Place;
use value::Value;

/// A visitor of the parts of an element: the reader, the writer, or the one who tells what there is.
///
/// Every method takes the slot that the part is kept in. The reader fills the slot, the writer takes
/// from it and leaves it as it was.
pub(crate) trait Visitor {
    /// Whether slots are filled (reader) rather than read (writer).
    fn reading(&self) -> bool;

    /// An attribute that may be absent.
    fn attr<T: Value>(&mut self, name: &'static str, slot: &mut Option<T>);

    /// An attribute that must be there. The reader leaves the slot as it was when it is missing, and
    /// reports it.
    fn required<T: Value>(&mut self, name: &'static str, slot: &mut T);

    /// A `yes`/`no` attribute. Absent stays `None`: what the user did not say stays unsaid.
    fn yes_no(&mut self, name: &'static str, slot: &mut Option<bool>);

    /// An `on`/`off` attribute, with the same three values.
    fn on_off(&mut self, name: &'static str, slot: &mut Option<bool>);

    /// The text between the tags, spaces around it removed.
    fn text<T: Value>(&mut self, slot: &mut Option<T>);

    /// The same with the spaces around it.
    fn whole_text(&mut self, slot: &mut Option<String>);

    /// A child element that holds only text: `<name>value</name>`.
    fn leaf<T: Value>(&mut self, name: &'static str, slot: &mut Option<T>);

    /// A child element that may be absent; given twice it is an error.
    fn child<E: Element>(&mut self, name: &'static str, slot: &mut Option<E>);

    /// Child elements of one name, in their order.
    fn children<E: Element>(&mut self, name: &'static str, slot: &mut Vec<E>);

    /// A child element that is one attribute: `<name attr='value'/>`.
    fn child_word<T: Value>(&mut self, name: &'static str, attr: &'static str, slot: &mut Option<T>);

    /// Child elements of one name that are one attribute each.
    fn children_word<T: Value>(&mut self, name: &'static str, attr: &'static str, slot: &mut Vec<T>);

    /// An empty child element whose presence says yes.
    fn flag(&mut self, name: &'static str, slot: &mut bool);

    /// A child that is kept to the letter and has no effect (`<metadata>`).
    fn verbatim(&mut self, name: &'static str, slot: &mut Option<String>);

    /// Where the element stands in the source. The writer ignores it.
    fn place(&mut self, slot: &mut Place);

    /// Reports what is wrong with this element. Nothing happens when writing.
    fn error(&mut self, message: String);
}

/// A part of the domain that is an element of its document.
pub(crate) trait Element: Default {
    /// Shows every part of the element to the visitor.
    fn visit<V: Visitor>(&mut self, v: &mut V);
}
