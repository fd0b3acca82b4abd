//! Serial numbers and hardware addresses of a device, by its folder in sysfs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::sysfs;

/// Reads the serial number of the extended capability 0x0003 in the configuration space. The text
/// has eight bytes, the highest one first, as Linux prints such numbers.
pub(super) fn pcie_serial(dir: &Path) -> Option<String> {
    const FIRST: u32 = 0x100;
    const SERIAL_NUMBER: u32 = 0x0003;
    /// Maximum number of capabilities in 4 KiB. A longer list is circular.
    const MAX_CAPABILITIES: u32 = (0x1000 - FIRST) / 8;
    let config = File::open(dir.join("config")).ok()?;
    let mut offset = FIRST;
    for _ in 0..MAX_CAPABILITIES {
        let header = word(&config, offset)?;
        if header & 0xffff == SERIAL_NUMBER {
            let low = word(&config, offset + 4)?;
            let high = word(&config, offset + 8)?;
            return serial_text(u64::from(high) << 32 | u64::from(low));
        }
        offset = header >> 20;
        if offset < FIRST {
            return None;
        }
    }

    None
}

/// Formats a serial number; `None` for the numbers that mean that there is none.
fn serial_text(serial: u64) -> Option<String> {
    if serial == 0 || serial == u64::MAX {
        return None;
    }
    let bytes = serial.to_be_bytes().map(|byte| format!("{byte:02x}"));
    Some(bytes.join("-"))
}

/// Reads one word of the configuration space. Reads can have side effects, so no more is read.
fn word(config: &File, offset: u32) -> Option<u32> {
    let mut bytes = [0; 4];
    config.read_exact_at(&mut bytes, offset.into()).ok()?;
    Some(u32::from_le_bytes(bytes))
}

/// Reads the serial number of an NVMe controller.
pub(super) fn nvme_serial(dir: &Path) -> Option<String> {
    let controllers = dir.join("nvme");
    let mut serials = sysfs::names(&controllers).into_iter();
    let serial = serials.find_map(|name| sysfs::read(controllers.join(name).join("serial")))?;
    (!serial.is_empty()).then_some(serial)
}

/// Reads the permanent addresses (`addr_assign_type` 0), but not addresses that were set or chosen
/// at random. A virtual function has none: the host chooses its address and can change it.
pub(super) fn macs(dir: &Path) -> Vec<String> {
    if sysfs::link_name(dir.join("physfn")).is_some() {
        return Vec::new();
    }
    let interfaces = dir.join("net");
    let mut macs = Vec::new();
    for name in sysfs::names(&interfaces) {
        let interface = interfaces.join(name);
        if sysfs::number(interface.join("addr_assign_type")) == Some(0) {
            macs.extend(sysfs::read(interface.join("address")));
        }
    }

    macs.sort();
    macs
}
