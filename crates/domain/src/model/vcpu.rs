//! `<vcpu>`, `<vcpus>`: the virtual CPUs.

use crate::model::idset::IdSet;
use crate::xml::span::SourceSpan;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The chooser of CPUs or NUMA nodes of the host.
    pub enum Placement {
        /// The user, by a set in the document; without a set, the host's scheduler.
        Static = "static",
        /// A placement service (numad).
        Auto = "auto",
    }
}

/// `<vcpu>`: number and placement of the virtual CPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vcpu {
    /// Chooser of the host's CPUs.
    pub placement: Option<Placement>,
    /// CPUs of the host on which the virtual CPUs may run.
    pub cpuset: Option<IdSet>,
    /// Number of virtual CPUs at start. If it is absent, all of them.
    pub current: Option<u32>,
    /// Largest number of virtual CPUs.
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

/// `<vcpus>`: settings of single virtual CPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vcpus {
    /// The settings.
    pub vcpus: Vec<SingleVcpu>,
}

/// `<vcpu>` of `<vcpus>`: the settings of one virtual CPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SingleVcpu {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Number of the virtual CPU.
    pub id: u32,
    /// Presence at start.
    pub enabled: Option<bool>,
    /// Permission to unplug the virtual CPU.
    pub hotpluggable: Option<bool>,
    /// Position in the order in which CPUs are plugged in, from 1.
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
