//! How much memory the VMM may pin: computed from the guest, so that neither a start fails for want of
//! it nor a broken VMM can pin the whole host.

use passthru_domain::Domain;
use passthru_domain::device::iommu::IommuModel;

const MIB: u64 = 1 << 20;

/// What the VMM maps for devices besides RAM and firmware: BIOS and option ROM regions of the board.
/// Measured on QEMU 11.1: 1 MiB on a PC without further devices.
const BOARD: u64 = 16 * MIB;
/// Option ROMs and BARs backed by memory of one emulated or assigned PCI device.
const DEVICE: u64 = 2 * MIB;

/// Returns the `RLIMIT_MEMLOCK` of a guest's VMM in bytes: guest RAM for each DMA address space, plus
/// firmware, ROMs and what else is mapped into it. `firmware` is the size of the flash images.
///
/// A vIOMMU gives each device behind it an address space of its own, and QEMU pins all of RAM again
/// for each; an SMMUv3 with `accel='on'` does not: the devices share one that translates in two stages.
pub(crate) fn limit(domain: &Domain, firmware: u64) -> u64 {
    let ram = domain.memory.map_or(0, |m| m.bytes());
    let devices = pci_devices(domain);
    let once = ram
        .saturating_add(firmware)
        .saturating_add(BOARD)
        .saturating_add(devices.saturating_mul(DEVICE))
        .saturating_add(shared(domain))
        .saturating_add(video(domain));
    once.saturating_mul(address_spaces(domain)).saturating_add(locked(domain))
}

/// Number of DMA address spaces that assigned devices can be in at once.
fn address_spaces(domain: &Domain) -> u64 {
    let emulated = |model, accel| match model {
        Some(IommuModel::Intel | IommuModel::Amd | IommuModel::Virtio) => true,
        Some(IommuModel::Smmuv3 | IommuModel::Smmuv3Dev) => accel != Some(true),
        None => false,
    };
    let iommus = &domain.devices.iommus;
    let emulated = iommus.iter().any(|i| emulated(i.model, i.driver.as_ref().and_then(|d| d.accel)));
    if emulated { (domain.devices.assigned().count() as u64).max(1) } else { 1 }
}

fn pci_devices(domain: &Domain) -> u64 {
    let devices = &domain.devices;
    let all = devices.disks.len()
        + devices.controllers.len()
        + devices.interfaces.len()
        + devices.hostdevs.len()
        + devices.rngs.len()
        + usize::from(devices.memballoon.is_some());
    all as u64
}

/// Returns the size of memory shared with others (ivshmem): BARs that devices reach.
fn shared(domain: &Domain) -> u64 {
    let sizes = domain.devices.shmems.iter().filter_map(|shmem| shmem.size);
    sizes.map(|size| size.0.bytes()).fold(0, u64::saturating_add)
}

/// Returns the size of the memory of emulated graphics cards: BARs that devices reach.
fn video(domain: &Domain) -> u64 {
    let models = domain.devices.videos.iter().map(|video| &video.model);
    let sizes = models.flat_map(|model| [model.ram, model.vram, model.vram64, model.vgamem]);
    sizes.flatten().map(|kib| u64::from(kib) << 10).fold(0, u64::saturating_add)
}

/// `<locked/>` makes the VMM lock all that it maps itself: RAM again, its own code, stacks and heap.
fn locked(domain: &Domain) -> u64 {
    const OWN: u64 = 4096 * MIB;
    let ram = domain.memory.map_or(0, |m| m.bytes());
    if domain.memory_backing.as_ref().is_some_and(|b| b.locked) { ram.saturating_add(OWN) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(iommu: &str, backing: &str) -> Domain {
        let hostdev = |slot: u8| {
            format!(
                "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='1' slot='{slot}' function='0'/></source></hostdev>"
            )
        };
        let xml = format!(
            "<domain type='kvm'><name>a</name><memory unit='GiB'>1</memory>{backing}<os><type arch='x86_64' machine='q35'>hvm</type></os>\
             <devices>{}{}{iommu}</devices></domain>",
            hostdev(0),
            hostdev(1)
        );
        Domain::parse(&xml).unwrap()
    }

    #[test]
    fn is_ram_and_a_little_more_and_never_infinite() {
        let limit = limit(&domain("", ""), 0);
        assert!(limit > 1 << 30 && limit < (1 << 30) + 64 * MIB, "{limit}");
    }

    #[test]
    fn an_emulated_iommu_pins_ram_once_for_each_device() {
        let without = limit(&domain("", ""), 0);
        assert_eq!(limit(&domain("<iommu model='intel'/>", ""), 0), 2 * without);
        let accel = "<iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>";
        assert_eq!(limit(&domain(accel, ""), 0), without);
    }

    #[test]
    fn limit_counts_shared_memory() {
        let shmem = "<shmem name='a'><size unit='M'>64</size></shmem>";
        assert_eq!(limit(&domain(shmem, ""), 0), limit(&domain("", ""), 0) + 64 * MIB);
    }

    #[test]
    fn limit_counts_video_memory() {
        let qxl = "<video><model type='qxl' ram='65536' vram='32768' vgamem='16384'/></video>";
        assert_eq!(limit(&domain(qxl, ""), 0), limit(&domain("", ""), 0) + 112 * MIB);
    }

    #[test]
    fn locked_memory_is_counted_on_top() {
        let backing = "<memoryBacking><locked/></memoryBacking>";
        assert!(limit(&domain("", backing), 0) > limit(&domain("", ""), 0) + (1 << 30));
    }
}
