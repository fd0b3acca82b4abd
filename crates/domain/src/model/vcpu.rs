//! `<vcpu>`: the virtual CPUs.

use crate::model::idset::IdSet;
use crate::xml::span::SourceSpan;
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
    pub cpuset: Option<IdSet>,
    /// How many are there at start; all when absent.
    pub current: Option<u32>,
    /// How many there can be.
    pub count: Option<u32>,
}

impl Element for Vcpu {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("placement", &mut self.placement);
        v.attr("cpuset", &mut self.cpuset);
        v.attr("current", &mut self.current);
        v.text(&mut self.count);
        if v.reading() && self.count.is_none_or(|n| n == 0) {
            v.error("<vcpu> needs a number above zero".into());
        }
        if v.reading()
            && self
                .current
                .is_some_and(|n| n == 0 || self.count.is_some_and(|max| n > max))
        {
            v.error("'current' of <vcpu> must be from 1 to the number of CPUs".into());
        }
    }
}

/// `<vcpus>`: the virtual CPUs one by one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vcpus {
    /// Those that are said.
    pub vcpus: Vec<SingleVcpu>,
}

/// `<vcpu>` of `<vcpus>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SingleVcpu {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Its number.
    pub id: u32,
    /// Whether it is there at start.
    pub enabled: Option<bool>,
    /// Whether it can be taken away.
    pub hotpluggable: Option<bool>,
    /// Its place in the order in which CPUs are added, from 1.
    pub order: Option<u32>,
}

impl Element for Vcpus {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("vcpu", &mut self.vcpus);
    }
}

impl Element for SingleVcpu {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.required("id", &mut self.id);
        v.yes_no("enabled", &mut self.enabled);
        v.yes_no("hotpluggable", &mut self.hotpluggable);
        v.attr("order", &mut self.order);
        if self.enabled.is_none() {
            v.error("<vcpu> of <vcpus> needs the attribute 'enabled'".into());
        }
        if v.reading() && self.order == Some(0) {
            v.error("'order' of <vcpu> must be 1 or more".into());
        }
    }
}
