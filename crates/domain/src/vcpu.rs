//! `<vcpu>`: the virtual CPUs.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Who places the virtual CPUs.
    pub enum Placement {
        /// The `cpuset`, or the host's scheduler.
        Static = "static",
        /// A placement service (numad).
        Auto = "auto",
    }
}

/// Number and placement of virtual CPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vcpu {
    /// Who places them.
    pub placement: Option<Placement>,
    /// The host's CPUs that they may run on, as `0-3,^2,8`.
    pub cpuset: Option<String>,
    /// How many are there at start; all when absent.
    pub current: Option<u32>,
    /// How many there can be.
    pub count: Option<u32>,
}

impl Element for Vcpu {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("placement", &mut self.placement);
        v.attr("cpuset", &mut self.cpuset);
        v.attr("current", &mut self.current);
        v.text(&mut self.count);
        if v.reading() && self.count.is_none_or(|n| n == 0) {
            v.error("<vcpu> needs a number above zero".into());
        }
        if v.reading() && self.current.is_some_and(|n| n == 0 || self.count.is_some_and(|max| n > max)) {
            v.error("'current' of <vcpu> must be from 1 to the number of CPUs".into());
        }
    }
}
