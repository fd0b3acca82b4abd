//! Domains with many devices, on as many bridges as needed.

use super::lists::letters;

/// Slots of a bridge for devices.
const SLOTS: usize = 31;

/// Kind of the devices.
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
                "<disk type='file' device='disk'><source file='/srv/{n}.raw'/>\
                 <target dev='vd{}' bus='virtio'/>{address}</disk>",
                letters(n)
            ),
            Self::Hostdevs => format!(
                "<hostdev mode='subsystem' type='pci'><source>\
                 <address domain='{}' bus='{}' slot='0'/></source>{address}</hostdev>",
                n / 256,
                n % 256
            ),
        }
    }
}

/// Returns the XML of a domain with this number of devices, each at an address on a bridge.
pub(super) fn guest(kind: Kind, devices: usize) -> String {
    let mut xml = String::from(
        "<domain type='kvm'><name>many</name><memory unit='GiB'>4</memory>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\n",
    );
    // Bridges that hold bridges, and those that hold devices.
    let lower = devices.div_ceil(SLOTS);
    let upper = lower.div_ceil(SLOTS);
    for index in 1..=upper {
        xml += &format!("<controller type='pci' index='{index}' model='pci-bridge'/>\n");
    }
    for n in 0..lower {
        let index = upper + 1 + n;
        let address = place(1, n);
        xml += &format!("<controller type='pci' index='{index}' model='pci-bridge'>");
        xml += &format!("{address}</controller>\n");
    }

    for n in 0..devices {
        xml += &kind.device(n, &place(upper + 1, n));
        xml.push('\n');
    }

    xml + "</devices></domain>\n"
}

/// Returns the address of device `n` on the bridges from `first`.
fn place(first: usize, n: usize) -> String {
    format!(
        "<address type='pci' bus='{}' slot='{}'/>",
        first + n / SLOTS,
        1 + n % SLOTS
    )
}
