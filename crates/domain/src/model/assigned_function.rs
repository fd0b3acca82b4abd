//! The PCI functions of the host that a guest gets, whichever element names them.

use std::collections::HashMap;

use passthru_pci::Address;

use crate::bounded::Bounded;
use crate::error::{Error, Errors, Note};
use crate::model::backend::Backend;
use crate::model::device::disk::{DiskSource, DiskType};
use crate::model::device::{Devices, Disk, Hostdev, Info};
use crate::model::domain::Domain;

/// A PCI function of the host that a guest gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AssignedFunction<'a> {
    /// Address of the function on the host.
    pub address: Address,
    /// Whether the function is bound before the start and given back afterwards. As in libvirt, a
    /// domain that leaves `managed` out means no.
    pub managed: bool,
    /// Element that names the function.
    pub owner: FunctionOwner<'a>,
}

/// The element of a domain that names a PCI function of the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FunctionOwner<'a> {
    /// A hostdev, or an interface of type `hostdev`.
    Hostdev(&'a Hostdev),
    /// A disk of type `nvme`, or one with such a backing image. The emulator drives the function by
    /// itself, through type1.
    NvmeDisk(&'a Disk),
}

impl<'a> AssignedFunction<'a> {
    /// Returns the NVMe disk that names the function; `None` for a hostdev.
    pub const fn nvme_disk(&self) -> Option<&'a Disk> {
        match self.owner {
            FunctionOwner::Hostdev(_) => None,
            FunctionOwner::NvmeDisk(disk) => Some(disk),
        }
    }

    /// Returns the name of the owner for a message: `hostdev 0000:01:00.0`, `disk 'vda'`.
    pub fn owner_name(&self) -> String {
        match self.owner {
            FunctionOwner::Hostdev(hostdev) => format!("hostdev {}", hostdev.host_name()),
            FunctionOwner::NvmeDisk(disk) => format!("disk '{}'", disk.target.dev),
        }
    }

    pub(crate) const fn info(&self) -> &'a Info {
        match self.owner {
            FunctionOwner::Hostdev(hostdev) => &hostdev.info,
            FunctionOwner::NvmeDisk(disk) => &disk.info,
        }
    }
}

impl Devices {
    /// Returns the PCI functions of the host that the guest gets: those of hostdevs, then those of
    /// NVMe disks. Two elements that name one function give two entries.
    pub fn assigned_functions(&self) -> Vec<AssignedFunction<'_>> {
        let mut functions = Vec::new();
        for hostdev in self.assigned() {
            if let Some(address) = hostdev.pci() {
                functions.push(AssignedFunction {
                    address,
                    managed: hostdev.managed == Some(true),
                    owner: FunctionOwner::Hostdev(hostdev),
                });
            }
        }

        for disk in &self.disks {
            for source in nvme_sources(disk) {
                if let Some(address) = source.address {
                    functions.push(AssignedFunction {
                        address,
                        managed: source.managed == Some(true),
                        owner: FunctionOwner::NvmeDisk(disk),
                    });
                }
            }
        }

        functions
    }

    /// Returns the PCI functions of the host that NVMe disks give to the guest.
    pub fn nvme_functions(&self) -> Vec<AssignedFunction<'_>> {
        let mut functions = self.assigned_functions();
        functions.retain(|function| function.nvme_disk().is_some());
        functions
    }
}

impl Domain {
    /// Returns the backend of a function of a completed domain: type1 for an NVMe disk, else that
    /// of the hostdev, as [`Domain::backend`] does. Returns `None` for a device that the guest does
    /// not see (`<address type='unassigned'/>`).
    pub fn backend_of_function(&self, function: &AssignedFunction<'_>) -> Option<Backend> {
        match function.owner {
            FunctionOwner::Hostdev(hostdev) if hostdev.is_unassigned() => None,
            FunctionOwner::Hostdev(hostdev) => self.backend(hostdev),
            FunctionOwner::NvmeDisk(_) => Some(Backend::Type1),
        }
    }

    /// Returns the backend that the domain names for its NVMe disks: that of `<iommufd>`. A disk
    /// cannot name one.
    pub fn backend_asked_of_nvme_disks(&self) -> Option<Backend> {
        let iommufd = self.iommufd.as_ref()?;
        if iommufd.enabled {
            Some(Backend::Iommufd)
        } else {
            Some(Backend::Type1)
        }
    }

    /// Checks that each disk can have the backend that the caller asks for. `request` is the
    /// request in words, such as an option of a command. A domain with `<iommufd>` names the
    /// backend itself.
    ///
    /// # Errors
    /// If the backend is iommufd, then an error for each NVMe disk, with its position.
    pub fn check_disk_backend(&self, backend: Backend, request: &str) -> Result<(), Errors> {
        let mut errors = Bounded::default();
        if backend == Backend::Iommufd && self.backend_asked_of_nvme_disks().is_none() {
            for function in self.devices.nvme_functions() {
                errors.push(refusal_of_iommufd(&function, request));
            }
        }

        Errors::check(errors)
    }

    /// Checks that no two NVMe disks are on one controller, for a caller that starts the guest.
    ///
    /// libvirt accepts such a domain, so [`Domain::validate`] does, and [`Domain::notes`] has a
    /// note. The emulator opens the IOMMU group for each disk, and the kernel refuses the second
    /// open (`vfio_group_fops_open`: `EBUSY`).
    ///
    /// # Errors
    /// An error for each further disk on a controller, with its position.
    pub fn check_nvme_controllers(&self) -> Result<(), Errors> {
        let mut errors = Bounded::default();
        for note in self.notes_on_shared_controllers() {
            let error = Error::new(note.message).at(note.span);
            errors.push(error.hint(
                "put all data on one namespace, or give the guest the \
                                    controller as a <hostdev>",
            ));
        }

        Errors::check(errors)
    }

    /// Notes the NVMe disks on a controller that another disk is on.
    pub(crate) fn notes_on_shared_controllers(&self) -> Vec<Note> {
        let functions = self.devices.nvme_functions();
        let mut firsts: HashMap<Address, &AssignedFunction<'_>> = HashMap::new();
        let mut notes = Vec::new();
        for second in &functions {
            let Some(first) = firsts.get(&second.address) else {
                firsts.insert(second.address, second);
                continue;
            };
            let message = format!(
                "{} and {} are on one controller, {}: the emulator opens it for each of them, \
                 and the kernel refuses that, so the guest cannot start",
                first.owner_name(),
                second.owner_name(),
                second.address
            );
            notes.push(Note::new(message, second.info().span.0.clone()));
        }

        notes
    }
}

/// Returns the sources of type `nvme` in the chain of a disk's images, the disk's own first.
pub(crate) fn nvme_sources(disk: &Disk) -> Vec<&DiskSource> {
    let mut sources = Vec::new();
    if disk.kind == Some(DiskType::Nvme) {
        sources.extend(&disk.source);
    }
    let mut below = disk.backing.as_deref();
    while let Some(image) = below {
        if image.kind == Some(DiskType::Nvme) {
            sources.extend(&image.source);
        }
        below = image.backing.as_deref();
    }

    sources
}

/// Returns the error of an NVMe disk for which iommufd is asked for by `request`.
///
/// QEMU's driver (block/nvme.c, util/vfio-helpers.c) opens `/dev/vfio/vfio` and the group itself,
/// and has no property for an iommufd object.
pub(crate) fn refusal_of_iommufd(function: &AssignedFunction<'_>, request: &str) -> Error {
    let Address {
        domain,
        bus,
        slot,
        function: number,
    } = function.address;
    let managed = if function.managed { "yes" } else { "no" };
    let message = format!(
        "{}: {request} asks for iommufd, and the emulator's own NVMe driver has type1 alone",
        function.owner_name()
    );
    let hint = format!(
        "put this in the place of the disk, and the guest drives the controller itself: \
         <hostdev mode='subsystem' type='pci' managed='{managed}'><source>\
         <address domain='0x{domain:04x}' bus='0x{bus:02x}' slot='0x{slot:02x}' \
         function='0x{number:x}'/></source></hostdev>"
    );
    Error::new(message)
        .at(function.info().span.0.clone())
        .hint(hint)
}
