//! `<source>` of a SCSI hostdev: a device behind an adapter of the host, or a unit of an iSCSI
//! target.

use crate::model::device::secret::Auth;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// A SCSI device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScsiSource {
    /// How it is reached; behind an adapter of the host where nothing is said.
    pub protocol: Option<ScsiProtocol>,
    /// Name of the iSCSI target, with the unit behind a slash: `iqn.2026-01.org.example:disks/1`.
    pub name: Option<String>,
    /// Adapter of the host, as the kernel names it: `scsi_host0`.
    pub adapter: Option<String>,
    /// Where the device is behind the adapter.
    pub address: Option<ScsiHostAddress>,
    /// Where the iSCSI target is.
    pub host: Option<ScsiPortal>,
    /// As whom the target is asked.
    pub auth: Option<Auth>,
    /// As what the target is asked.
    pub initiator: Option<Initiator>,
}

words! {
    /// How a SCSI device is reached.
    pub enum ScsiProtocol {
        /// Behind an adapter of the host.
        Adapter = "adapter",
        /// Over the network.
        Iscsi = "iscsi",
    }
}

/// Where a device is behind an adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScsiHostAddress {
    /// Bus of the adapter.
    pub bus: u32,
    /// Target of the bus.
    pub target: u32,
    /// Unit of the target.
    pub unit: u64,
}

/// Where an iSCSI target is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScsiPortal {
    /// Name or address of the host.
    pub name: String,
    /// TCP port; 3260 where nothing is said.
    pub port: Option<u16>,
}

/// `<initiator>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Initiator {
    /// Name of the initiator.
    pub iqn: Option<String>,
}

impl ScsiSource {
    /// Whether the device is a unit of an iSCSI target.
    pub fn is_iscsi(&self) -> bool {
        self.protocol == Some(ScsiProtocol::Iscsi)
    }

    /// Returns the iSCSI target's name and the number of the unit.
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
        let lacks = if self.is_iscsi() {
            self.name.is_none() || self.host.is_none()
        } else {
            self.adapter.is_none() || self.address.is_none()
        };
        if lacks {
            v.error(if self.is_iscsi() {
                "<source> of an iSCSI device needs the attribute 'name' and a <host>".into()
            } else {
                "<source> of a SCSI device needs an <adapter> and an <address>".into()
            });
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
