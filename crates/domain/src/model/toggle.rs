//! Features that are on or off.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// On or off.
    pub enum OnOff {
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }
}

words! {
    /// A yes or no that is an element of its own.
    pub enum YesNo {
        /// Yes.
        Yes = "yes",
        /// No.
        No = "no",
    }
}

/// A feature that is on or off; given without a state it is on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Toggle {
    /// On, off or unsaid.
    pub state: Option<OnOff>,
}

impl Element for Toggle {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("state", &mut self.state);
    }
}
