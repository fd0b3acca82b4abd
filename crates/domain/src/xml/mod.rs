//! Reading and writing of elements, both by one description.
//!
//! An element describes its attributes, children and text once, in [`Element::visit`]. The
//! [`Reader`](reader::Reader) fills the element's fields from a document, and the
//! [`Writer`](writer::Writer) makes a document from the fields. A part of the document that no
//! description names is an error, so that nothing of the user's text is dropped silently.

pub(crate) mod describe;
mod element;
mod escape;
pub(crate) mod findings;
pub(crate) mod limits;
pub(crate) mod node;
pub(crate) mod passwords;
pub(crate) mod reader;
pub(crate) mod slot;
pub(crate) mod span;
pub(crate) mod suggest;
pub(crate) mod syntax;
pub(crate) mod text;
pub(crate) mod value;
pub(crate) mod writer;

pub(crate) use element::{Element, Visitor};
