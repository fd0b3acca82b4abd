//! The description of an element, and the fields that hold child elements.

use super::slot::{ManyValues, OneValue, RequiredSlot};
use super::span::{SourceSpan, TopSpans};

/// A part of the domain that is an element of its document.
pub(crate) trait Element {
    /// Shows every part of the element to the visitor.
    fn visit(&mut self, v: &mut dyn Visitor);
}

/// A rare element, boxed so that the structures around it take less memory.
impl<E: Element> Element for Box<E> {
    fn visit(&mut self, v: &mut dyn Visitor) {
        (**self).visit(v);
    }
}

/// A visitor of the parts of an element: the reader, the writer or the describer.
///
/// Every method takes the slot that holds the part. The reader fills the slot; the writer reads the
/// slot and leaves it unchanged. Slots are trait objects, so that each element's description is
/// compiled once for all visitors.
pub(crate) trait Visitor {
    /// Returns whether the visitor fills the slots (reader) or reads them (writer).
    fn reading(&self) -> bool;

    /// Returns whether the document is that of a running guest, which has the alias of each device.
    fn is_running(&self) -> bool {
        false
    }

    /// Visits an optional attribute.
    fn attr(&mut self, name: &'static str, slot: &mut dyn OneValue);

    /// Visits a required attribute. If the attribute is missing, the reader reports an error and
    /// leaves the slot unchanged.
    fn required(&mut self, name: &'static str, slot: &mut dyn RequiredSlot);

    /// Visits an optional `yes`/`no` attribute. An absent attribute is `None`.
    fn yes_no(&mut self, name: &'static str, slot: &mut Option<bool>);

    /// Visits an optional `on`/`off` attribute. An absent attribute is `None`.
    fn on_off(&mut self, name: &'static str, slot: &mut Option<bool>);

    /// Visits the text between the tags, without the spaces around it.
    fn text(&mut self, slot: &mut dyn OneValue);

    /// Visits the text between the tags, with the spaces around it.
    fn whole_text(&mut self, slot: &mut Option<String>);

    /// Visits a child element that holds only text: `<name>value</name>`.
    fn leaf(&mut self, name: &'static str, slot: &mut dyn OneValue);

    /// Visits an optional child element. A second one of this name is an error.
    fn child(&mut self, name: &'static str, slot: &mut dyn OneElement);

    /// Visits all child elements of one name, in their order.
    fn children(&mut self, name: &'static str, slot: &mut dyn ManyElements);

    /// Visits a child element that has one attribute and nothing else: `<name attr='value'/>`.
    fn child_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn OneValue);

    /// Visits all child elements of one name that have one attribute each and nothing else.
    fn children_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn ManyValues);

    /// Visits an empty child element whose presence means yes.
    fn flag(&mut self, name: &'static str, slot: &mut bool);

    /// Visits a child that is kept to the letter and has no effect (`<metadata>`).
    fn verbatim(&mut self, name: &'static str, slot: &mut Option<String>);

    /// Visits the element's position in the source. The writer ignores it.
    fn span(&mut self, slot: &mut SourceSpan);

    /// Visits the positions of the element's children and grandchildren. The writer ignores them.
    fn top_spans(&mut self, slot: &mut TopSpans);

    /// Reports an error of this element, unless an attribute, the text or a child has an error:
    /// this one may only follow from that. The writer ignores it.
    fn error(&mut self, message: String);

    /// Reports that the element lacks something, unless one of the attributes or children `parts`
    /// has an error. The writer ignores it.
    fn lacks(&mut self, parts: &[&'static str], message: String);
}

/// A field for elements of one type: at most one (`Option`), or any number of them (`Vec`).
pub(crate) trait ElementSlot {
    /// Adds an empty element and returns it. In an `Option`, the new element replaces the old one.
    fn add(&mut self) -> &mut dyn Element;

    /// Reserves room for exactly `more` further elements.
    fn reserve(&mut self, more: usize);

    /// Removes the element that was added last.
    fn drop_last(&mut self);

    /// Returns all elements of the field.
    fn elements(&mut self) -> Vec<&mut dyn Element>;
}

impl<E: Element + Default> ElementSlot for Option<E> {
    fn add(&mut self) -> &mut dyn Element {
        self.insert(E::default())
    }

    fn reserve(&mut self, _: usize) {}

    fn drop_last(&mut self) {
        *self = None;
    }

    fn elements(&mut self) -> Vec<&mut dyn Element> {
        self.iter_mut()
            .map(|element| element as &mut dyn Element)
            .collect()
    }
}

impl<E: Element + Default> ElementSlot for Vec<E> {
    fn add(&mut self) -> &mut dyn Element {
        let next = self.len();
        self.push(E::default());
        &mut self[next]
    }

    fn reserve(&mut self, more: usize) {
        self.reserve_exact(more);
    }

    fn drop_last(&mut self) {
        self.pop();
    }

    fn elements(&mut self) -> Vec<&mut dyn Element> {
        self.iter_mut()
            .map(|element| element as &mut dyn Element)
            .collect()
    }
}

/// A field for at most one element.
pub(crate) trait OneElement: ElementSlot {}

impl<E: Element + Default> OneElement for Option<E> {}

/// A field for any number of elements.
pub(crate) trait ManyElements: ElementSlot {}

impl<E: Element + Default> ManyElements for Vec<E> {}
