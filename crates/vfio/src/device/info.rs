//! [`DeviceInfo`]: bus, numbers of regions and interrupts, and abilities of a device.

use bitflags::bitflags;
use vfio_bindings::bindings::vfio::*;

use crate::capability::{BadCapability, chain};
use crate::sys::feature::ZpciErrorLength;

/// Bus, numbers of regions and interrupts, and abilities of a device (`VFIO_DEVICE_GET_INFO`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Interface that the device offers.
    pub bus: Bus,
    /// [`Device::reset`](super::Device::reset) works (`VFIO_DEVICE_FLAGS_RESET`).
    pub reset: bool,
    /// Number of region indexes. All indexes are below it, though not each region exists.
    pub regions: u32,
    /// Number of interrupt kinds. All indexes are below it, though not each kind exists.
    pub irqs: u32,
    /// Atomic operations that the path to memory completes.
    pub atomics: AtomicOps,
    /// Length of the error that [`Device::zpci_error`](super::Device::zpci_error) reads; `None` if
    /// the kernel reports none.
    pub(crate) zpci_error: Option<ZpciErrorLength>,
}

/// Interface of a device, which defines its regions and interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bus {
    /// PCI. A mediated device can emulate it.
    Pci,
    /// Platform device.
    Platform,
    /// AMBA device.
    Amba,
    /// s390 channel device.
    Ccw,
    /// s390 cryptographic adapter.
    Ap,
    /// NXP's fsl-mc bus.
    FslMc,
    /// AMD's CDX bus.
    Cdx,
    /// Another bus, by the flags of `struct vfio_device_info`.
    Other(u32),
}

bitflags! {
    /// Atomic operations of PCIe that the whole path to memory completes
    /// (`VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP`). Unknown flags are kept.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct AtomicOps: u32 {
        /// Operations on 32 bits.
        const COMP32 = VFIO_PCI_ATOMIC_COMP32;
        /// Operations on 64 bits.
        const COMP64 = VFIO_PCI_ATOMIC_COMP64;
        /// Compare-and-swap on 128 bits.
        const COMP128 = VFIO_PCI_ATOMIC_COMP128;
        const _ = !0;
    }
}

impl DeviceInfo {
    pub(super) fn new(raw: &vfio_device_info, reply: &[u8]) -> Result<Self, BadCapability> {
        let first = if raw.flags & VFIO_DEVICE_FLAGS_CAPS != 0 {
            raw.cap_offset
        } else {
            0
        };
        let mut atomics = AtomicOps::empty();
        let mut zpci_error = None;
        for capability in chain(reply, first)? {
            match u32::from(capability.id) {
                VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP => {
                    atomics = AtomicOps::from_bits_retain(capability.word(0)?);
                }
                VFIO_DEVICE_INFO_CAP_ZPCI_BASE => {
                    zpci_error = ZpciErrorLength::from_base(&capability)?;
                }
                id => {
                    tracing::debug!(id, version = capability.version, "unknown capability");
                }
            }
        }

        let reset = raw.flags & VFIO_DEVICE_FLAGS_RESET != 0;
        Ok(Self {
            bus: Bus::new(raw.flags),
            reset,
            regions: raw.num_regions,
            irqs: raw.num_irqs,
            atomics,
            zpci_error,
        })
    }
}

/// `VFIO_DEVICE_FLAGS_FSL_MC`, which the bindings lack.
const FSL_MC: u32 = 1 << 6;

impl Bus {
    fn new(flags: u32) -> Self {
        match flags & !(VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_CAPS) {
            VFIO_DEVICE_FLAGS_PCI => Self::Pci,
            VFIO_DEVICE_FLAGS_PLATFORM => Self::Platform,
            VFIO_DEVICE_FLAGS_AMBA => Self::Amba,
            VFIO_DEVICE_FLAGS_CCW => Self::Ccw,
            VFIO_DEVICE_FLAGS_AP => Self::Ap,
            FSL_MC => Self::FslMc,
            VFIO_DEVICE_FLAGS_CDX => Self::Cdx,
            other => Self::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(flags: u32) -> vfio_device_info {
        vfio_device_info {
            flags,
            cap_offset: 24,
            num_regions: 9,
            num_irqs: 5,
            ..Default::default()
        }
    }

    /// Returns a reply with the capability for atomic operations.
    fn reply(flags: u32) -> Vec<u8> {
        let words = [
            0,
            0,
            0,
            0,
            0,
            0,
            VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP | 1 << 16,
            0,
            flags,
            0,
        ];
        words
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect()
    }

    #[test]
    fn atomic_operations_come_from_the_capability() {
        let flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_CAPS;
        let info = DeviceInfo::new(&raw(flags), &reply(3)).unwrap();
        assert_eq!(info.atomics, AtomicOps::COMP32 | AtomicOps::COMP64);
        assert!(info.bus == Bus::Pci && info.reset);

        let none = DeviceInfo::new(&raw(VFIO_DEVICE_FLAGS_PCI), &reply(3)).unwrap();
        assert!(none.atomics.is_empty() && !none.reset);
    }

    #[test]
    fn error_length_is_read_from_the_zpci_capability() {
        let mut words = vec![0_u32; 6];
        words.extend([
            VFIO_DEVICE_INFO_CAP_ZPCI_BASE | 3 << 16,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            32,
        ]);
        let reply: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_CAPS;

        assert!(
            DeviceInfo::new(&raw(flags), &reply)
                .unwrap()
                .zpci_error
                .is_some()
        );

        let without = DeviceInfo::new(&raw(VFIO_DEVICE_FLAGS_PCI), &reply).unwrap();
        assert_eq!(without.zpci_error, None);
    }

    #[test]
    fn truncated_capability_is_refused() {
        let error = DeviceInfo::new(&raw(VFIO_DEVICE_FLAGS_CAPS), &reply(3)[..32]).unwrap_err();
        assert!(matches!(error, BadCapability::Contents(_)), "{error}");
    }

    #[test]
    fn unknown_bus_keeps_its_flags() {
        assert_eq!(Bus::new(1 << 20), Bus::Other(1 << 20));
        assert_eq!(Bus::new(FSL_MC | VFIO_DEVICE_FLAGS_RESET), Bus::FslMc);
    }
}
