//! `<source>` of a SCSI hostdev: a device behind an adapter of the host, or a unit of an iSCSI
//! target.

use crate::model::device::secret::Auth;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// A SCSI device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScsiSource {
    /// Way to the device. If it is absent, an adapter of the host.
    pub protocol: Option<ScsiProtocol>,
    /// Name of the iSCSI target, with the unit after a slash: `iqn.2026-01.org.example:disks/1`.
    pub name: Option<String>,
    /// Adapter of the host by its kernel name, such as `scsi_host0`.
    pub adapter: Option<String>,
    /// Address of the device behind the adapter.
    pub address: Option<ScsiHostAddress>,
    /// Portal of the iSCSI target.
    pub host: Option<ScsiPortal>,
    /// Login to the target.
    pub auth: Option<Auth>,
    /// Name of the initiator.
    pub initiator: Option<Initiator>,
}

words! {
    /// The way to a SCSI device.
    pub enum ScsiProtocol {
        /// Through an adapter of the host.
        Adapter = "adapter",
        /// Through iSCSI.
        Iscsi = "iscsi",
    }
}

/// The address of a device behind an adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScsiHostAddress {
    /// Number of the adapter's bus.
    pub bus: u32,
    /// Number of the target.
    pub target: u32,
    /// Number of the unit.
    pub unit: u64,
}

/// The network address of an iSCSI target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScsiPortal {
    /// Name or address of the host.
    pub name: String,
    /// TCP port. If it is absent, 3260.
    pub port: Option<u16>,
}

/// `<initiator>`: the name of the iSCSI initiator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Initiator {
    /// iSCSI qualified name of the initiator.
    pub iqn: Option<String>,
}

impl ScsiSource {
    /// Returns whether the device is a unit of an iSCSI target.
    pub fn is_iscsi(&self) -> bool {
        self.protocol == Some(ScsiProtocol::Iscsi)
    }

    /// Returns the name of the iSCSI target and the number of the unit.
    pub fn target_and_unit(&self) -> (&str, &str) {
        let name = self.name.as_deref().unwrap_or_default();
        name.rsplit_once('/').unwrap_or((name, "0"))
    }
}

impl Element for ScsiSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("protocol", &mut self.protocol);
        v.attr("name", &mut self.name);
        v.child_word("adapter", "name", &mut self.adapter);
        v.child("address", &mut self.address);
        v.child("host", &mut self.host);
        v.child("auth", &mut self.auth);
        v.child("initiator", &mut self.initiator);
        if self.is_iscsi() {
            if self.name.is_none() || self.host.is_none() {
                let message = "<source> of an iSCSI device needs the attribute 'name' and a <host>";
                v.error(message.into());
            }
        } else if self.adapter.is_none() || self.address.is_none() {
            v.error("<source> of a SCSI device needs an <adapter> and an <address>".into());
        }
    }
}

impl Element for ScsiHostAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("bus", &mut self.bus);
        v.required("target", &mut self.target);
        v.required("unit", &mut self.unit);
    }
}

impl Element for ScsiPortal {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("name", &mut self.name);
        v.attr("port", &mut self.port);
    }
}

impl Element for Initiator {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child_word("iqn", "name", &mut self.iqn);
    }
}

impl std::fmt::Display for ScsiSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.adapter, &self.address) {
            (Some(adapter), Some(at)) => {
                write!(f, "{adapter}:{}:{}:{}", at.bus, at.target, at.unit)
            }
            _ => f.write_str(self.name.as_deref().unwrap_or_default()),
        }
    }
}
