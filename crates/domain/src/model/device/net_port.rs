//! Parts of `<interface>`: what the host's switch does with its port.

use crate::model::uuid::Uuid;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// How a port belongs to a VLAN.
    pub enum NativeMode {
        /// Its packets are tagged.
        Tagged = "tagged",
        /// They are not.
        Untagged = "untagged",
    }
}

words! {
    /// Kind of a switch.
    pub enum VirtualportType {
        /// IEEE 802.1Qbg.
        Qbg = "802.1Qbg",
        /// IEEE 802.1Qbh.
        Qbh = "802.1Qbh",
        /// Open vSwitch.
        Openvswitch = "openvswitch",
        /// MidoNet.
        Midonet = "midonet",
    }
}

/// `<filterref>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filterref {
    /// Name of the filter.
    pub filter: Option<String>,
    /// What its variables are.
    pub parameters: Vec<FilterParameter>,
}

impl Element for Filterref {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("filter", &mut self.filter);
        v.children("parameter", &mut self.parameters);
    }
}

/// `<parameter>` of a filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterParameter {
    /// The variable.
    pub name: Option<String>,
    /// What it is.
    pub value: Option<String>,
}

impl Element for FilterParameter {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.attr("value", &mut self.value);
    }
}

/// `<vlan>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vlan {
    /// Whether the port carries several.
    pub trunk: Option<bool>,
    /// The VLANs.
    pub tags: Vec<VlanTag>,
}

impl Element for Vlan {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("trunk", &mut self.trunk);
        v.children("tag", &mut self.tags);
    }
}

/// `<tag>` of a VLAN.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VlanTag {
    /// Its number.
    pub id: u16,
    /// How the port belongs to it.
    pub native_mode: Option<NativeMode>,
}

impl Element for VlanTag {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("id", &mut self.id);
        v.attr("nativeMode", &mut self.native_mode);
    }
}

/// `<bandwidth>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bandwidth {
    /// To the guest.
    pub inbound: Option<Rate>,
    /// From the guest.
    pub outbound: Option<Rate>,
}

impl Element for Bandwidth {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("inbound", &mut self.inbound);
        v.child("outbound", &mut self.outbound);
    }
}

/// `<inbound>` or `<outbound>`, in KiB a second and KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// As a rule.
    pub average: Option<u64>,
    /// At most.
    pub peak: Option<u64>,
    /// At least.
    pub floor: Option<u64>,
    /// How much at the most.
    pub burst: Option<u64>,
}

impl Element for Rate {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("average", &mut self.average);
        v.attr("peak", &mut self.peak);
        v.attr("floor", &mut self.floor);
        v.attr("burst", &mut self.burst);
    }
}

/// `<virtualport>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Virtualport {
    /// Kind of the switch.
    pub kind: Option<VirtualportType>,
    /// What it is told.
    pub parameters: Option<VirtualportParameters>,
}

impl Element for Virtualport {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.child("parameters", &mut self.parameters);
    }
}

/// `<parameters>` of a virtual port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VirtualportParameters {
    /// Manager of 802.1Qbg.
    pub managerid: Option<u32>,
    /// Type of 802.1Qbg.
    pub typeid: Option<u32>,
    /// Version of that type.
    pub typeidversion: Option<u32>,
    /// Instance of 802.1Qbg.
    pub instanceid: Option<Uuid>,
    /// Interface of Open vSwitch or MidoNet.
    pub interfaceid: Option<Uuid>,
    /// Profile of the port.
    pub profileid: Option<String>,
}

impl Element for VirtualportParameters {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("managerid", &mut self.managerid);
        v.attr("typeid", &mut self.typeid);
        v.attr("typeidversion", &mut self.typeidversion);
        v.attr("instanceid", &mut self.instanceid);
        v.attr("interfaceid", &mut self.interfaceid);
        v.attr("profileid", &mut self.profileid);
    }
}
