//! The element `<hostdev>`.

use super::source::{HostdevSource, HostdevType, MdevSource, UsbSource};
use crate::model::descriptor::Descriptor;
use crate::model::device::sgio::Sgio;
use crate::model::device::teaming::Teaming;
use crate::model::device::{Address, Info};
use crate::model::iommufd::DEFAULT_IOMMUFD;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The way to find a device on the host.
    pub enum HostdevMode {
        /// By its address on a bus.
        Subsystem = "subsystem",
    }
}

words! {
    /// The kind of device that the guest sees, for a mediated device or a SCSI target.
    pub enum HostdevModel {
        /// A PCI device.
        VfioPci = "vfio-pci",
        /// A channel device (Z).
        VfioCcw = "vfio-ccw",
        /// Crypto adapters (Z).
        VfioAp = "vfio-ap",
        /// A virtio device with the legacy and the modern interface.
        VirtioTransitional = "virtio-transitional",
        /// A virtio device with the modern interface only.
        VirtioNonTransitional = "virtio-non-transitional",
    }
}

words! {
    /// The name of the interface that gives the device to the guest.
    pub enum HostdevDriverName {
        /// VFIO.
        Vfio = "vfio",
        /// VFIO through iommufd: another spelling of `iommufd='yes'`.
        Iommufd = "iommufd",
    }
}

/// `<hostdev>`: a device of the host, given to the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hostdev {
    /// Alias and address of the device.
    pub info: Info,
    /// Way to find the device on the host; `subsystem` if absent.
    pub mode: Option<HostdevMode>,
    /// Bus of the device.
    pub kind: Option<HostdevType>,
    /// Binding to VFIO before the start, and back to the former driver afterwards.
    pub managed: Option<bool>,
    /// Filter for SCSI commands of the guest.
    pub sgio: Option<Sgio>,
    /// Permission of the emulator to send any SCSI command.
    pub rawio: Option<bool>,
    /// Kind of device that the guest sees, for a mediated device or a SCSI target.
    pub model: Option<HostdevModel>,
    /// Display of the device's screen in the guest's console.
    pub display: Option<bool>,
    /// Display of the firmware's screen before the device's driver runs.
    pub ramfb: Option<bool>,
    /// Interface, kernel driver and backend.
    pub driver: Option<HostdevDriver>,
    /// Identity of the device on the host.
    pub source: HostdevSource,
    /// `<iommufdId>`: name of an iommufd object. `iommufd0` is parsed as `iommufd='yes'`.
    pub iommufd_id: Option<String>,
    /// `<iommufdFd>`: an open VFIO cdev of the caller.
    pub iommufd_fd: Option<Descriptor>,
    /// Part of the device in a teaming pair.
    pub teaming: Option<Teaming>,
    /// `<readonly/>`: the guest cannot write to the SCSI device.
    pub readonly: bool,
    /// `<shareable/>`: several guests may use the SCSI device.
    pub shareable: bool,
}

/// `<driver>` of a hostdev: interface, kernel driver and backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostdevDriver {
    /// Name of the interface.
    pub name: Option<HostdevDriverName>,
    /// Kernel driver to bind: `vfio-pci` or a variant of it.
    pub model: Option<String>,
    /// Backend: iommufd (true), type1 (false), or no choice (`None`).
    pub iommufd: Option<bool>,
}

impl Hostdev {
    /// Returns the address of a PCI device on the host.
    pub const fn pci(&self) -> Option<passthru_pci::Address> {
        match &self.source {
            HostdevSource::Pci(pci) => Some(pci.address),
            _ => None,
        }
    }

    /// Returns the source of a USB device.
    pub const fn usb(&self) -> Option<&UsbSource> {
        match &self.source {
            HostdevSource::Usb(usb) => Some(usb),
            _ => None,
        }
    }

    /// Returns the source of a mediated device.
    pub const fn mdev(&self) -> Option<&MdevSource> {
        match &self.source {
            HostdevSource::Mdev(mdev) => Some(mdev),
            _ => None,
        }
    }

    /// Returns whether VFIO gives the device to the guest: a PCI function or a mediated device.
    pub const fn is_vfio(&self) -> bool {
        matches!(self.source, HostdevSource::Pci(_) | HostdevSource::Mdev(_))
    }

    /// Returns whether the guest does not see the device: `<address type='unassigned'/>`.
    pub fn is_unassigned(&self) -> bool {
        self.info.address == Some(Address::Unassigned)
    }

    /// Returns the device's own choice: iommufd (true), type1 (false), or none.
    pub fn iommufd(&self) -> Option<bool> {
        let named = self.iommufd_id.is_some() || self.iommufd_fd.is_some();
        self.driver
            .as_ref()
            .and_then(|d| d.iommufd)
            .or(named.then_some(true))
    }

    /// Returns the name of the device on the host for a message: `0000:01:00.0`, `usb 14:6`.
    pub fn host_name(&self) -> String {
        match &self.source {
            HostdevSource::Pci(pci) => pci.address.to_string(),
            HostdevSource::Usb(usb) => usb.to_string(),
            HostdevSource::Scsi(scsi) => scsi.to_string(),
            HostdevSource::ScsiHost(target) => target.wwpn.clone().unwrap_or_default(),
            HostdevSource::Mdev(mdev) => mdev.uuid.to_string(),
        }
    }
}

impl Element for Hostdev {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("mode", &mut self.mode);
        v.attr("type", &mut self.kind);
        v.yes_no("managed", &mut self.managed);
        v.attr("sgio", &mut self.sgio);
        v.yes_no("rawio", &mut self.rawio);
        v.attr("model", &mut self.model);
        v.on_off("display", &mut self.display);
        v.on_off("ramfb", &mut self.ramfb);
        v.child("driver", &mut self.driver);
        if v.reading() {
            self.source = HostdevSource::for_kind(self.kind.unwrap_or(HostdevType::Pci));
        }
        let has_source = self.source.visit(v);
        v.leaf("iommufdId", &mut self.iommufd_id);
        v.leaf("iommufdFd", &mut self.iommufd_fd);
        v.child("teaming", &mut self.teaming);
        v.flag("readonly", &mut self.readonly);
        v.flag("shareable", &mut self.shareable);
        self.info.visit_with_rom(v);
        if v.reading() {
            self.check(has_source, v);
            self.spell_as_upstream();
        }
    }
}

impl Hostdev {
    fn check(&self, has_source: bool, v: &mut dyn Visitor) {
        if self.kind.is_none() {
            v.error("<hostdev> needs the attribute 'type'".into());
        } else if !has_source {
            v.error("<hostdev> needs a <source> that says which device it is".into());
        }

        if self.kind == Some(HostdevType::Mdev) && self.model.is_none() {
            v.error("<hostdev> of type 'mdev' needs the attribute 'model'".into());
        }
        let says_no = self
            .driver
            .as_ref()
            .is_some_and(|d| d.iommufd == Some(false));
        if says_no && (self.iommufd_id.is_some() || self.iommufd_fd.is_some()) {
            v.error("iommufd='no' contradicts <iommufdId> and <iommufdFd>".into());
        }
    }

    /// Rewrites other spellings as libvirt's, if libvirt has one.
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
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.attr("model", &mut self.model);
        v.yes_no("iommufd", &mut self.iommufd);
        if let Some(model) = self.model.as_deref()
            && !is_driver_name(model)
        {
            v.error(format!(
                "the driver model '{}' is not the name of a driver",
                model.escape_debug()
            ));
        }

        if self.name == Some(HostdevDriverName::Iommufd) && self.iommufd == Some(false) {
            v.error("name='iommufd' contradicts iommufd='no'".into());
        }
    }
}

fn is_driver_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    !name.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
