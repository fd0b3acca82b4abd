//! On and off, yes and no, for elements that are present or absent besides.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// On or off, as the value of an attribute that can be absent.
    pub enum OnOff {
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }
}

words! {
    /// Yes or no, as the value of an element that can be absent.
    pub enum YesNo {
        /// Yes.
        Yes = "yes",
        /// No.
        No = "no",
    }
}

/// A feature that is on or off. An element without `state` means on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Toggle {
    /// On, off or absent.
    pub state: Option<OnOff>,
}

impl Element for Toggle {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("state", &mut self.state);
    }
}
