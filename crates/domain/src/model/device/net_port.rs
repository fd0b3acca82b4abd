//! Parts of `<interface>`: settings of the host's switch port.

use crate::model::uuid::Uuid;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The tagging of a port's native VLAN.
    pub enum NativeMode {
        /// Packets are tagged.
        Tagged = "tagged",
        /// Packets are not tagged.
        Untagged = "untagged",
    }
}

words! {
    /// The kind of a virtual switch port.
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

/// `<filterref>`: a packet filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filterref {
    /// Name of the filter.
    pub filter: Option<String>,
    /// Values of the filter's variables.
    pub parameters: Vec<FilterParameter>,
}

impl Element for Filterref {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("filter", &mut self.filter);
        v.children("parameter", &mut self.parameters);
    }
}

/// `<parameter>` of a filter: the value of one variable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterParameter {
    /// Name of the variable.
    pub name: Option<String>,
    /// Value of the variable.
    pub value: Option<String>,
}

impl Element for FilterParameter {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.attr("value", &mut self.value);
    }
}

/// `<vlan>`: VLANs of the port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vlan {
    /// Trunk port, which carries several VLANs.
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

/// `<tag>`: one VLAN of the port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VlanTag {
    /// Number of the VLAN.
    pub id: u16,
    /// Tagging of the native VLAN.
    pub native_mode: Option<NativeMode>,
}

impl Element for VlanTag {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("id", &mut self.id);
        v.attr("nativeMode", &mut self.native_mode);
    }
}

/// `<bandwidth>`: limits of the bandwidth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bandwidth {
    /// Limits for packets to the guest.
    pub inbound: Option<Rate>,
    /// Limits for packets from the guest.
    pub outbound: Option<Rate>,
}

impl Element for Bandwidth {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("inbound", &mut self.inbound);
        v.child("outbound", &mut self.outbound);
    }
}

/// `<inbound>` or `<outbound>`: limits for one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Average rate in KiB per second.
    pub average: Option<u64>,
    /// Largest rate in KiB per second.
    pub peak: Option<u64>,
    /// Guaranteed rate in KiB per second.
    pub floor: Option<u64>,
    /// Size of a burst in KiB.
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

/// `<virtualport>`: a virtual switch port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Virtualport {
    /// Kind of the port.
    pub kind: Option<VirtualportType>,
    /// Parameters of the port.
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
    /// Id of the VSI manager (802.1Qbg).
    pub managerid: Option<u32>,
    /// Id of the VSI type (802.1Qbg).
    pub typeid: Option<u32>,
    /// Version of the VSI type (802.1Qbg).
    pub typeidversion: Option<u32>,
    /// Id of the VSI instance (802.1Qbg).
    pub instanceid: Option<Uuid>,
    /// Id of the interface (Open vSwitch, MidoNet).
    pub interfaceid: Option<Uuid>,
    /// Name of the port profile.
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
