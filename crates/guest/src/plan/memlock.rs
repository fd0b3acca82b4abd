//! The limit on the memory that a VMM may pin, computed from the domain. A guest can then start,
//! and a broken VMM cannot pin all memory of the host.

use passthru_domain::device::disk::DiskType;
use passthru_domain::device::interface::InterfaceType;
use passthru_domain::device::iommu::{Iommu, IommuModel};
use passthru_domain::device::{Info, MemoryDevice};
use passthru_domain::{Domain, Memory};
use serde::{Deserialize, Serialize};

use self::pin_message::{is_failed_pin, size_of_mapping};
use self::video::video_memory;

mod pin_message;
mod video;

const MIB: u64 = 1 << 20;

/// Bytes for the BIOS and option ROM regions of the board. Measured on QEMU 11.1: 1 MiB on a PC
/// without further devices.
const BOARD: u64 = 16 * MIB;
/// Bytes for the option ROM and memory-backed BARs of one PCI device.
const DEVICE: u64 = 2 * MIB;
/// Bytes for the queues and buffers of QEMU's driver of one NVMe disk. Two pairs of queues have 127
/// pages each for lists of pages. The rest is for buffers outside of guest memory.
const NVME_DISK: u64 = 16 * MIB;
/// Unit of the sizes of memory devices, in bytes.
const MODULE: u64 = 2 * MIB;
/// Limit of a VMM that pins nothing, in bytes.
const UNPINNED: u64 = 64 * MIB;
/// Bytes for the code, stacks and heap of a VMM with `<locked/>`.
const LOCKED_OWN: u64 = 4096 * MIB;

/// A part of the limit on locked memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemlockItem {
    /// Use of the memory, in words.
    pub what: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// The limit on the memory that a VMM locks or pins (`RLIMIT_MEMLOCK`), with its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memlock {
    items: Vec<MemlockItem>,
    pins: bool,
}

impl Memlock {
    /// Computes the limit: all memory that assigned devices can reach, once for each DMA address
    /// space. `size_of` returns the size of a file in bytes. The BARs of assigned devices do not
    /// count, since the kernel does not charge them.
    ///
    /// An emulated IOMMU gives each device behind it an address space, and QEMU pins all RAM for
    /// each of them. The devices behind an SMMUv3 with `accel='on'` share one address space, which
    /// translates in two stages.
    ///
    /// The devices on type1 in one address space share one container, and those on iommufd share
    /// another one. Each pins all RAM, and the kernel charges both to the process.
    ///
    /// QEMU's own NVMe driver has a container for each controller, and pins all RAM in each of them
    /// (`qemu_vfio_ram_block_added`). libvirt counts the same (`qemuDomainGetMemLockLimitBytes`).
    pub(crate) fn for_domain(domain: &Domain, size_of: &dyn Fn(&str) -> u64) -> Self {
        let mut limit = Self {
            items: Vec::new(),
            pins: pins(domain),
        };
        if !limit.pins {
            limit.add("QEMU itself (no device pins memory)", UNPINNED);
            return limit;
        }

        limit.add_memory(domain);
        limit.add_firmware(domain, size_of);
        limit.add_devices(domain, size_of);
        limit.add_address_spaces(domain);
        if is_locked(domain) {
            limit.add(
                "guest memory and QEMU's own, which <locked/> locks",
                ram(domain).saturating_add(LOCKED_OWN),
            );
        }

        let hard_limit = domain
            .memtune
            .as_ref()
            .and_then(|tune| tune.hard_limit)
            .map_or(0, Memory::bytes);
        limit.add(
            "up to the <hard_limit> of <memtune>",
            hard_limit.saturating_sub(limit.bytes()),
        );
        limit
    }

    /// Returns the limit in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.items
            .iter()
            .map(|item| item.bytes)
            .fold(0, u64::saturating_add)
    }

    /// Returns the bytes that the VMM must be able to lock; zero if it pins nothing.
    pub(crate) fn needed(&self) -> u64 {
        if self.pins { self.bytes() } else { 0 }
    }

    /// Returns the limit in MiB, rounded up.
    pub(crate) fn mib(&self) -> u64 {
        self.bytes().div_ceil(MIB)
    }

    pub(crate) fn items(&self) -> &[MemlockItem] {
        &self.items
    }

    /// Returns the limit to set, in bytes. `hard` is the hard limit of this process. A VMM that
    /// pins nothing gets no more than `hard`: a higher limit would need a capability.
    pub(crate) fn bytes_to_set(&self, hard: Option<u64>) -> u64 {
        match hard {
            Some(hard) if !self.pins => self.bytes().min(hard),
            _ => self.bytes(),
        }
    }

    /// Returns an explanation of the messages of a VMM that could not pin memory. Names the limit
    /// to raise.
    pub(crate) fn explain(&self, messages: &str) -> Option<String> {
        let failed = messages.lines().rfind(|line| is_failed_pin(line))?;
        let missing = size_of_mapping(failed).unwrap_or(DEVICE).div_ceil(MIB);
        let items: Vec<String> = self.items.iter().map(ToString::to_string).collect();
        Some(format!(
            "the VMM may pin {} MiB (RLIMIT_MEMLOCK): {}. If the host has the memory, raise the \
             limit: <memtune><hard_limit unit='MiB'>{}</hard_limit></memtune>",
            self.mib(),
            items.join(", "),
            self.mib().saturating_add(missing)
        ))
    }

    /// Adds a part, unless its size is zero.
    fn add(&mut self, what: impl Into<String>, bytes: u64) {
        if bytes > 0 {
            self.items.push(MemlockItem {
                what: what.into(),
                bytes,
            });
        }
    }

    fn add_memory(&mut self, domain: &Domain) {
        let modules = &domain.devices.memories;
        self.add("guest memory", boot_memory(domain));
        for module in modules {
            let label = module
                .target
                .label
                .as_ref()
                .and_then(|label| label.size)
                .map_or(0, Memory::bytes);
            self.add(
                named("memory device", &module.info),
                size_of_module(module).saturating_add(label),
            );
        }

        let most = domain.max_memory.map_or(0, |max| max.bytes());
        self.add(
            "memory that can be plugged in (<maxMemory>)",
            most.saturating_sub(ram(domain)),
        );
    }

    /// Adds what is pinned so far once more for each further address space, and the memory that
    /// QEMU's NVMe driver pins for itself.
    fn add_address_spaces(&mut self, domain: &Domain) {
        let once = self.bytes();
        let further = address_spaces(domain).saturating_sub(1);
        self.add(
            format!("all of it again for {further} more address spaces (emulated IOMMU)"),
            once.saturating_mul(further),
        );
        self.add(
            "all of it again, since some devices are on iommufd and others on type1",
            if has_two_containers(domain) { once } else { 0 },
        );

        let disks = nvme_disks(domain);
        let mut more_disks = disks;
        if !has_container(domain) {
            more_disks = disks.saturating_sub(1);
        }
        self.add(
            format!("all of it again for {more_disks} NVMe disks, each with its own container"),
            once.saturating_mul(more_disks),
        );
        self.add(
            format!("queues and buffers of QEMU's own NVMe driver, for each of its disks: {disks}"),
            disks.saturating_mul(NVME_DISK),
        );
    }

    fn add_firmware(&mut self, domain: &Domain, size_of: &dyn Fn(&str) -> u64) {
        let loader = domain
            .os
            .loader
            .as_ref()
            .and_then(|loader| loader.path.as_deref());
        let nvram = domain
            .os
            .variables()
            .and_then(|nvram| nvram.path.as_deref());
        self.add("firmware", loader.map_or(0, size_of));
        self.add("firmware variables", nvram.map_or(0, size_of));
        self.add("BIOS and ROMs of the board", BOARD);
    }

    fn add_devices(&mut self, domain: &Domain, size_of: &dyn Fn(&str) -> u64) {
        let devices = &domain.devices;
        let infos: Vec<&Info> = devices
            .items()
            .into_iter()
            .filter_map(|item| devices.info(item))
            .collect();
        let count = pci_devices(domain);
        self.add(
            format!("ROMs and small BARs of {count} PCI devices"),
            count.saturating_mul(DEVICE),
        );
        for info in infos {
            let rom = info
                .rom
                .as_ref()
                .and_then(|rom| rom.file.as_deref())
                .filter(|file| !file.is_empty());
            self.add(named("option ROM of", info), bar(rom.map_or(0, size_of)));
        }

        for shmem in &devices.shmems {
            let size = shmem.size.map_or(0, |size| size.0.bytes());
            self.add(named("shared memory", &shmem.info), size);
        }

        for video in &devices.videos {
            self.add(named("video memory of", &video.info), video_memory(video));
        }
    }
}

impl std::fmt::Display for MemlockItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} MiB {}", self.bytes.div_ceil(MIB), self.what)
    }
}

/// Returns the size of a BAR for `bytes`: a power of two.
fn bar(bytes: u64) -> u64 {
    if bytes == 0 {
        0
    } else {
        bytes.checked_next_power_of_two().unwrap_or(bytes)
    }
}

fn named(what: &str, info: &Info) -> String {
    format!("{what} {}", info.id())
}

/// Returns whether the VMM pins or locks guest memory.
fn pins(domain: &Domain) -> bool {
    has_container(domain) || nvme_disks(domain) > 0 || is_locked(domain)
}

/// Returns whether guest memory is pinned for a device that is not an NVMe disk.
fn has_container(domain: &Domain) -> bool {
    let devices = &domain.devices;
    let has_vdpa = devices
        .interfaces
        .iter()
        .any(|interface| interface.kind == Some(InterfaceType::Vdpa));
    let has_vdpa_disk = devices
        .disks
        .iter()
        .any(|disk| disk.kind == Some(DiskType::VhostVdpa));
    devices.assigned().next().is_some() || has_vdpa || has_vdpa_disk
}

/// Returns the number of NVMe disks that QEMU drives itself.
fn nvme_disks(domain: &Domain) -> u64 {
    domain.devices.nvme_functions().len() as u64
}

fn is_locked(domain: &Domain) -> bool {
    domain
        .memory_backing
        .as_ref()
        .is_some_and(|backing| backing.locked)
}

/// Returns the number of DMA address spaces that assigned devices can be in at the same time.
fn address_spaces(domain: &Domain) -> u64 {
    if domain.devices.iommus.iter().any(is_emulated) {
        (domain.devices.assigned().count() as u64).max(1)
    } else {
        1
    }
}

/// Returns whether devices in one address space are on different backends.
fn has_two_containers(domain: &Domain) -> bool {
    let mut hostdevs = domain.devices.assigned();
    let first = hostdevs.next().and_then(|hostdev| domain.backend(hostdev));
    let differs = hostdevs.any(|hostdev| domain.backend(hostdev) != first);
    differs && !domain.devices.iommus.iter().any(is_emulated)
}

/// Returns whether QEMU emulates an IOMMU, and so pins memory for each device behind it.
fn is_emulated(iommu: &Iommu) -> bool {
    match iommu.model {
        Some(IommuModel::Intel | IommuModel::Amd | IommuModel::Virtio) => true,
        Some(IommuModel::Smmuv3 | IommuModel::Smmuv3Dev) => {
            let accel = iommu.driver.as_ref().and_then(|driver| driver.accel);
            accel != Some(true)
        }
        None => false,
    }
}

/// Returns the size of guest memory with its memory devices, in bytes.
fn ram(domain: &Domain) -> u64 {
    let modules = domain.devices.memories.iter().map(size_of_module);
    modules.fold(boot_memory(domain), u64::saturating_add)
}

/// Returns the memory without memory devices, in bytes: the sum of the NUMA nodes, or `<memory>`
/// without the memory devices, whichever is larger.
fn boot_memory(domain: &Domain) -> u64 {
    let nodes = domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref());
    let nodes = nodes.map_or(0, |numa| {
        numa.cells
            .iter()
            .map(|cell| round_up(cell.memory, MIB))
            .fold(0, u64::saturating_add)
    });
    let modules = domain
        .devices
        .memories
        .iter()
        .map(|module| module.target.size.bytes());
    let all = domain.memory.map_or(0, Memory::bytes);
    let rest = all.saturating_sub(modules.fold(0, u64::saturating_add));
    nodes.max(round_up(rest, MIB))
}

fn size_of_module(module: &MemoryDevice) -> u64 {
    round_up(module.target.size.bytes(), MODULE)
}

fn round_up(bytes: u64, unit: u64) -> u64 {
    bytes.div_ceil(unit).saturating_mul(unit)
}

fn pci_devices(domain: &Domain) -> u64 {
    let devices = &domain.devices;
    let all = devices.disks.len()
        + devices.controllers.len()
        + devices.interfaces.len()
        + devices.hostdevs.len()
        + devices.videos.len()
        + devices.shmems.len()
        + devices.rngs.len()
        + usize::from(devices.memballoon.is_some());
    all as u64
}

#[cfg(test)]
mod tests;
