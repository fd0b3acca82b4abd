//! Backend of each device of the host, and the iommufd objects that the devices need.

use crate::model::descriptor::Descriptor;
use crate::model::device::iommu::IommuModel;
use crate::model::device::{Hostdev, Iommu};
use crate::model::domain::Domain;
use crate::model::iommufd::{DEFAULT_IOMMUFD, DomainIommufd};
use crate::xml::value::words;

words! {
    /// The kernel interface through which a device of the host is given to the guest.
    pub enum Backend {
        /// iommufd: `/dev/iommu` and the device's own VFIO file (cdev).
        Iommufd = "iommufd",
        /// VFIO's container and group.
        Type1 = "type1",
    }
}

/// An open `/dev/iommu` for devices of the guest (QEMU's object `iommufd`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IommufdObject {
    /// Name of the object. The default object is `iommufd0`.
    pub id: String,
    /// Descriptor that the caller passes, if the domain gives one (`<fd>` of an IOMMU, or the
    /// `fdgroup` of the domain).
    pub fd: Option<Descriptor>,
}

impl Domain {
    /// Returns the backend of a device of a completed domain. The first rule that applies decides:
    ///
    /// - If the device says `iommufd='yes'` or `'no'`, or names an iommufd object: the device's
    ///   value.
    /// - If the domain has `<iommufd>`: the domain's value.
    /// - If the device is behind an IOMMU that needs iommufd (an accelerated vSMMU): iommufd.
    /// - Else `None`, also for a device that VFIO does not handle.
    ///
    /// The IOMMU of a device depends on its address, which `complete` chooses.
    pub fn backend(&self, hostdev: &Hostdev) -> Option<Backend> {
        if !hostdev.is_vfio() {
            return None;
        }
        let domain = self.iommufd.as_ref().map(|iommufd| iommufd.enabled);
        match hostdev.iommufd().or(domain) {
            Some(true) => Some(Backend::Iommufd),
            Some(false) => Some(Backend::Type1),
            None => {
                let iommu = self.iommu_of(hostdev)?;
                iommu.needs_iommufd().then_some(Backend::Iommufd)
            }
        }
    }

    /// Returns two devices on different backends without a virtual IOMMU, if there are such: the
    /// device on iommufd, and the one on type1.
    ///
    /// Devices without a virtual IOMMU share the address space of the guest's memory.
    pub fn mixed_backends(&self) -> Option<(&Hostdev, &Hostdev)> {
        let mut plain = Vec::new();
        for hostdev in self.devices.assigned() {
            if !hostdev.is_unassigned() && self.iommu_of(hostdev).is_none() {
                plain.push(hostdev);
            }
        }

        let mut by_iommufd = plain
            .iter()
            .copied()
            .filter(|h| self.backend(h) == Some(Backend::Iommufd));
        let mut by_type1 = plain
            .iter()
            .copied()
            .filter(|h| self.backend(h) == Some(Backend::Type1));
        Some((by_iommufd.next()?, by_type1.next()?))
    }

    /// Sets `default` as the backend of each device for which [`Domain::backend`] returns `None`.
    pub fn set_default_backend(&mut self, default: Backend) {
        let hostdevs = self.devices.assigned();
        let settled: Vec<bool> = hostdevs
            .map(|hostdev| !hostdev.is_vfio() || self.backend(hostdev).is_some())
            .collect();
        for (hostdev, settled) in self.devices.assigned_mut().zip(settled) {
            if !settled {
                let driver = hostdev.driver.get_or_insert_default();
                driver.iommufd = Some(default == Backend::Iommufd);
            }
        }
    }

    /// Returns the iommufd objects that the devices need, `iommufd0` first.
    ///
    /// If `<iommufd enabled='yes'>` of the domain names a descriptor, `iommufd0` is there without a
    /// device too: devices that are plugged in later use that descriptor. Else, without a device
    /// that uses iommufd, the list is empty.
    pub fn iommufd_objects(&self) -> Vec<IommufdObject> {
        let mut ids: Vec<&str> = Vec::new();
        for hostdev in self.devices.assigned() {
            if !hostdev.is_unassigned() && self.backend(hostdev) == Some(Backend::Iommufd) {
                ids.push(self.iommufd_of(hostdev));
            }
        }

        ids.extend(self.devices.iommus.iter().filter_map(Iommu::iommufd_id));
        let for_later = self
            .iommufd
            .as_ref()
            .is_some_and(DomainIommufd::is_for_later);
        ids.extend(for_later.then_some(DEFAULT_IOMMUFD));
        ids.sort_by_key(|id| *id != DEFAULT_IOMMUFD);
        let mut objects: Vec<IommufdObject> = Vec::new();
        for id in ids {
            if objects.iter().all(|object| object.id != id) {
                objects.push(self.object(id));
            }
        }

        objects
    }

    /// Returns the name of the iommufd object for a device: the device's own, else the one of its
    /// virtual IOMMU, else `iommufd0`.
    pub fn iommufd_of<'a>(&'a self, hostdev: &'a Hostdev) -> &'a str {
        if let Some(id) = &hostdev.iommufd_id {
            return id;
        }
        let iommu = self.iommu_of(hostdev);
        iommu.and_then(Iommu::iommufd_id).unwrap_or(DEFAULT_IOMMUFD)
    }

    fn object(&self, id: &str) -> IommufdObject {
        let iommus = self.devices.iommus.iter();
        let mut named = iommus.filter(|iommu| iommu.iommufd_id() == Some(id));
        let fd = named.find_map(|iommu| iommu.iommufd.as_ref()?.fd.clone());
        let group = self.iommufd.as_ref().and_then(|i| i.fdgroup.clone());
        let group = group.filter(|_| id == DEFAULT_IOMMUFD);
        IommufdObject {
            id: id.into(),
            fd: fd.or(group.map(Descriptor::Name)),
        }
    }

    /// Returns the SMMUv3 for the root bus or expander bus that a device is below.
    pub(crate) fn vsmmu_of(&self, hostdev: &Hostdev) -> Option<&Iommu> {
        let iommus = self.devices.iommus.iter();
        let mut vsmmus = iommus
            .filter(|iommu| iommu.model == Some(IommuModel::Smmuv3) && iommu.pci_bus().is_some())
            .peekable();
        // Most guests have no vSMMU and need no walk up the buses of each device.
        vsmmus.peek()?;
        let address = hostdev.info.address.as_ref()?.pci()?;
        let root = self.devices.root_bus_of(address);
        vsmmus.find(|iommu| iommu.pci_bus() == Some(root))
    }

    /// Returns the virtual IOMMU of a device: the one of its bus, else the one of the machine.
    fn iommu_of(&self, hostdev: &Hostdev) -> Option<&Iommu> {
        self.vsmmu_of(hostdev).or_else(|| {
            let mut iommus = self.devices.iommus.iter();
            iommus.find(|iommu| iommu.pci_bus().is_none())
        })
    }
}
