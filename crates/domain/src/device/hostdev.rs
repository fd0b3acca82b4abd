//! `<hostdev>`: a device of the host, given to the guest.

use super::Info;
use super::address::visit_pci;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// How the device is found.
    pub enum HostdevMode {
        /// By its address on a bus.
        Subsystem = "subsystem",
    }
}

words! {
    /// Bus of the device.
    pub enum HostdevType {
        /// PCI.
        Pci = "pci",
    }
}

words! {
    /// What gives the device to the guest.
    pub enum HostdevDriverName {
        /// VFIO.
        Vfio = "vfio",
        /// VFIO through iommufd: the seeds' spelling of `iommufd='yes'`.
        Iommufd = "iommufd",
    }
}

/// The iommufd object that devices use when they name none.
pub const DEFAULT_IOMMUFD: &str = "iommufd0";

/// A device of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hostdev {
    /// Alias and address.
    pub info: Info,
    /// How it is found.
    pub mode: Option<HostdevMode>,
    /// Its bus.
    pub kind: Option<HostdevType>,
    /// Whether it is bound to VFIO before the start and given back after.
    pub managed: Option<bool>,
    /// How VFIO is used.
    pub driver: Option<HostdevDriver>,
    /// The device on the host.
    pub source: HostdevSource,
    /// `<iommufdId>`: an iommufd object by name. The default one is kept as `iommufd='yes'`.
    pub iommufd_id: Option<String>,
    /// `<iommufdFd>`: number of an open VFIO cdev that the caller left open.
    pub iommufd_fd: Option<u32>,
}

/// `<driver>` of a hostdev.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostdevDriver {
    /// What gives the device to the guest.
    pub name: Option<HostdevDriverName>,
    /// The kernel driver to bind: `vfio-pci` or a variant.
    pub model: Option<String>,
    /// iommufd (yes), type1 (no) or unsaid.
    pub iommufd: Option<bool>,
}

/// `<source>` of a hostdev.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostdevSource {
    /// Address on the host.
    pub address: passthru_pci::Address,
}

impl Hostdev {
    /// Returns the device's own word on iommufd: yes, no or unsaid.
    pub fn iommufd(&self) -> Option<bool> {
        let named = self.iommufd_id.is_some() || self.iommufd_fd.is_some();
        self.driver.as_ref().and_then(|d| d.iommufd).or(named.then_some(true))
    }
}

impl Element for Hostdev {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("mode", &mut self.mode);
        v.attr("type", &mut self.kind);
        v.yes_no("managed", &mut self.managed);
        v.child("driver", &mut self.driver);
        let mut source = (!v.reading()).then(|| self.source.clone());
        v.child("source", &mut source);
        v.leaf("iommufdId", &mut self.iommufd_id);
        v.leaf("iommufdFd", &mut self.iommufd_fd);
        self.info.visit_with_rom(v);
        if v.reading() {
            match source {
                Some(source) => self.source = source,
                None => v.error("<hostdev> needs a <source> with the device's <address>".into()),
            }
            self.check(v);
            self.spell_as_upstream();
        }
    }
}

impl Hostdev {
    fn check<V: Visitor>(&self, v: &mut V) {
        if self.mode.is_none() {
            v.error("<hostdev> needs the attribute mode='subsystem'".into());
        }
        if self.kind.is_none() {
            v.error("<hostdev> needs the attribute 'type'".into());
        }
        let says_no = self.driver.as_ref().is_some_and(|d| d.iommufd == Some(false));
        if says_no && (self.iommufd_id.is_some() || self.iommufd_fd.is_some()) {
            v.error("iommufd='no' contradicts <iommufdId> and <iommufdFd>".into());
        }
    }

    /// The seeds' spellings become upstream's, where upstream has one.
    fn spell_as_upstream(&mut self) {
        if self.iommufd_id.as_deref() == Some(DEFAULT_IOMMUFD) {
            self.iommufd_id = None;
            self.driver.get_or_insert_default().iommufd = Some(true);
        }
        if let Some(driver) = &mut self.driver
            && driver.name == Some(HostdevDriverName::Iommufd)
        {
            driver.name = Some(HostdevDriverName::Vfio);
            driver.iommufd = Some(true);
        }
    }
}

impl Element for HostdevDriver {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("name", &mut self.name);
        v.attr("model", &mut self.model);
        v.yes_no("iommufd", &mut self.iommufd);
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if let Some(model) = &self.model
            && (model.is_empty() || !model.bytes().all(is_fit))
        {
            v.error(format!("the driver model '{}' is no name of a driver", model.escape_debug()));
        }
        if self.name == Some(HostdevDriverName::Iommufd) && self.iommufd == Some(false) {
            v.error("name='iommufd' contradicts iommufd='no'".into());
        }
    }
}

impl Element for HostdevSource {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        let mut address = (!v.reading()).then_some(SourceAddress(Some(self.address)));
        v.child("address", &mut address);
        match address {
            Some(SourceAddress(address)) => self.address = address.unwrap_or_default(),
            None => {
                v.error("<source> of a PCI device needs an <address domain= bus= slot= function=>".into())
            }
        }
    }
}

/// `<address>` of the device on the host, which has no type.
#[derive(Default)]
struct SourceAddress(Option<passthru_pci::Address>);

impl Element for SourceAddress {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        if !visit_pci(&mut self.0, v) {
            v.error("<address> of a PCI device needs domain= bus= slot= function=".into());
        }
    }
}
