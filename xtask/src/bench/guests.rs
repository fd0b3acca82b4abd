//! Guests of many devices, on as many bridges as they need.

use std::fmt::Write;

use super::lists::letters;

/// Slots of a bridge that devices can have.
const SLOTS: usize = 31;

/// A kind of device that a guest has many of.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Disks,
    Hostdevs,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Disks, Self::Hostdevs];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Disks => "disks",
            Self::Hostdevs => "hostdevs",
        }
    }

    fn device(self, n: usize, address: &str) -> String {
        match self {
            Self::Disks => format!(
                "<disk type='file' device='disk'><source file='/srv/{n}.raw'/><target dev='vd{}' bus='virtio'/>{address}</disk>",
                letters(n)
            ),
            Self::Hostdevs => format!(
                "<hostdev mode='subsystem' type='pci'><source><address domain='{}' bus='{}' slot='0'/></source>{address}</hostdev>",
                n / 256,
                n % 256
            ),
        }
    }
}

/// The XML of a guest with so many devices, each with its address on a bridge.
pub(super) fn guest(kind: Kind, devices: usize) -> String {
    let mut xml = String::from(
        "<domain type='kvm'><name>many</name><memory unit='GiB'>4</memory>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\n",
    );
    // Bridges that hold bridges, and those that hold devices.
    let lower = devices.div_ceil(SLOTS);
    let upper = lower.div_ceil(SLOTS);
    let mut line = |text: String| writeln!(xml, "{text}");
    for index in 1..=upper {
        let _ = line(format!(
            "<controller type='pci' index='{index}' model='pci-bridge'/>"
        ));
    }
    for n in 0..lower {
        let (index, address) = (upper + 1 + n, place(1, n));
        let _ = line(format!(
            "<controller type='pci' index='{index}' model='pci-bridge'>{address}</controller>"
        ));
    }
    for n in 0..devices {
        let _ = line(kind.device(n, &place(upper + 1, n)));
    }
    xml + "</devices></domain>\n"
}

/// The address of the device with this number on bridges from `first` on.
fn place(first: usize, n: usize) -> String {
    format!(
        "<address type='pci' bus='{}' slot='{}'/>",
        first + n / SLOTS,
        1 + n % SLOTS
    )
}
