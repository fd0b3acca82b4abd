//! The identity of a device. An address alone does not identify a device: cards can be moved.

use std::fmt;

use passthru_pci::Address;
use serde::{Deserialize, Serialize};

use super::serial::{macs, nvme_serial, pcie_serial};
use crate::{Device, Error, Host};

/// The identity of a device: its ids, and the serial numbers that it shows.
///
/// Serial numbers may be missing. An NVMe disk shows its serial number, and a network card its
/// hardware addresses, only while the host's driver has the device. The PCIe serial number is in
/// the part of the configuration space that only root can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Address at which the device was seen.
    pub address: Address,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Vendor id of the board or subsystem.
    pub subsystem_vendor: u16,
    /// Device id of the board or subsystem.
    pub subsystem_device: u16,
    /// Serial number in the PCIe capability of that name (0x0003).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie_serial: Option<String>,
    /// Serial number of an NVMe controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvme_serial: Option<String>,
    /// Permanent hardware addresses of a network card's interfaces, sorted. Empty for virtual
    /// functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<String>,
}

/// Result of comparing two identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same device: the ids agree, and so does a serial number or a hardware address.
    Same,
    /// Perhaps the same device: the ids agree, but the identities have no kind of serial number in
    /// common, and one lacks hardware addresses. Two cards of one model also compare like this.
    Unsure,
    /// Another device: an id, a serial number, or every hardware address differs.
    Different,
}

impl Identity {
    /// Compares two identities.
    ///
    /// The address does not count, since cards can be moved. Hardware addresses count only if the
    /// identities have no kind of serial number in common: a new firmware can change addresses.
    pub fn compare(&self, other: &Self) -> Comparison {
        if self.ids() != other.ids() {
            return Comparison::Different;
        }
        let pcie = same(self.pcie_serial.as_ref(), other.pcie_serial.as_ref());
        let nvme = same(self.nvme_serial.as_ref(), other.nvme_serial.as_ref());
        let serials = [pcie, nvme];
        if serials.contains(&Some(false)) {
            return Comparison::Different;
        }
        if serials.contains(&Some(true)) {
            return Comparison::Same;
        }
        match self.shares_mac(other) {
            Some(true) => Comparison::Same,
            Some(false) => Comparison::Different,
            None => Comparison::Unsure,
        }
    }

    /// Adds the serial numbers and hardware addresses that only an earlier identity of the device
    /// has.
    #[must_use]
    pub fn merged(self, earlier: &Self) -> Self {
        let mut macs = self.macs;
        macs.extend(earlier.macs.iter().cloned());
        macs.sort();
        macs.dedup();
        Self {
            pcie_serial: self.pcie_serial.or_else(|| earlier.pcie_serial.clone()),
            nvme_serial: self.nvme_serial.or_else(|| earlier.nvme_serial.clone()),
            macs,
            ..self
        }
    }

    fn ids(&self) -> [u16; 4] {
        [
            self.vendor,
            self.device,
            self.subsystem_vendor,
            self.subsystem_device,
        ]
    }

    /// Returns whether the two share a hardware address; `None` if one of them has none.
    ///
    /// A card has an address for each interface, and can show more or fewer interfaces than before.
    fn shares_mac(&self, other: &Self) -> Option<bool> {
        let is_known = !self.macs.is_empty() && !other.macs.is_empty();
        is_known.then(|| self.macs.iter().any(|mac| other.macs.contains(mac)))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [vendor, device, subsystem_vendor, subsystem_device] = self.ids();
        write!(
            f,
            "{vendor:04x}:{device:04x} ({subsystem_vendor:04x}:{subsystem_device:04x}"
        )?;
        if let Some(serial) = self.nvme_serial.as_ref().or(self.pcie_serial.as_ref()) {
            write!(f, ", serial {serial}")?;
        }
        if !self.macs.is_empty() {
            write!(f, ", {}", self.macs.join(", "))?;
        }
        f.write_str(")")
    }
}

impl Host {
    /// Reads the identity of the device at an address.
    ///
    /// # Errors
    /// If no device has the address, then [`Error::NotFound`].
    pub fn identity(&self, address: Address) -> Result<Identity, Error> {
        let device = self.device(address)?;
        let dir = self.pci(address);
        Ok(Identity {
            address,
            vendor: device.vendor,
            device: device.device,
            subsystem_vendor: device.subsystem_vendor,
            subsystem_device: device.subsystem_device,
            pcie_serial: pcie_serial(&dir),
            nvme_serial: nvme_serial(&dir),
            macs: macs(&dir),
        })
    }

    /// Lists the other devices of this host that have the same ids.
    pub fn twins(&self, identity: &Identity) -> Vec<Address> {
        let mut devices = self.devices();
        devices.retain(|device| {
            device.address != identity.address && device_ids(device) == identity.ids()
        });
        devices.iter().map(|device| device.address).collect()
    }
}

fn device_ids(device: &Device) -> [u16; 4] {
    [
        device.vendor,
        device.device,
        device.subsystem_vendor,
        device.subsystem_device,
    ]
}

/// Compares two values; `None` if one of them is missing.
fn same<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> Option<bool> {
    Some(one? == other?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    fn tree(class: u32) -> (Tree, String) {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", class);
        tree.file(&format!("{dir}/subsystem_vendor"), "0x1af4\n");
        (tree, dir)
    }

    fn identity(tree: &Tree) -> Identity {
        tree.host().identity("01:00.0".parse().unwrap()).unwrap()
    }

    /// Makes a configuration space whose second extended capability is a serial number.
    fn config(serial: u64) -> Vec<u8> {
        let mut config = vec![0; 0x1000];
        config[0x100..0x104].copy_from_slice(&0x1400_0001_u32.to_le_bytes());
        config[0x140..0x144].copy_from_slice(&0x0001_0003_u32.to_le_bytes());
        config[0x144..0x14c].copy_from_slice(&serial.to_le_bytes());
        config
    }

    #[test]
    fn serial_numbers_of_each_kind_are_read() {
        let (tree, dir) = tree(0x010802);
        tree.file(&format!("{dir}/config"), config(0x0011_2233_4455_6677));
        tree.file(&format!("{dir}/nvme/nvme0/serial"), "S4EVNX0R \n");
        for (name, kind, mac) in [
            ("eth1", "0\n", "02"),
            ("eth0", "0\n", "01"),
            ("set", "3\n", "03"),
        ] {
            tree.file(&format!("{dir}/net/{name}/addr_assign_type"), kind);
            tree.file(
                &format!("{dir}/net/{name}/address"),
                format!("52:54:00:00:00:{mac}\n"),
            );
        }

        let identity = identity(&tree);

        assert_eq!(
            identity.pcie_serial.as_deref(),
            Some("00-11-22-33-44-55-66-77")
        );
        assert_eq!(identity.nvme_serial.as_deref(), Some("S4EVNX0R"));
        assert_eq!(identity.macs, ["52:54:00:00:00:01", "52:54:00:00:00:02"]);
        assert_eq!(identity.subsystem_vendor, 0x1af4);
        assert_eq!(identity.subsystem_device, 0);

        let text = identity.to_string();
        assert!(
            text.starts_with("8086:1234 (1af4:0000, serial S4EVNX0R, 52:54:"),
            "{text}"
        );
    }

    #[test]
    fn short_or_circular_configuration_space_has_no_serial() {
        let (tree, dir) = tree(0x010802);
        for config in [vec![0; 64], vec![0; 0x1000], config(0)] {
            tree.file(&format!("{dir}/config"), config);
            assert_eq!(identity(&tree).pcie_serial, None);
        }

        let mut circle = vec![0; 0x1000];
        circle[0x100..0x104].copy_from_slice(&0x1000_0001_u32.to_le_bytes());
        tree.file(&format!("{dir}/config"), circle);

        assert_eq!(identity(&tree).pcie_serial, None);
    }

    #[test]
    fn serial_number_that_both_have_decides_the_comparison() {
        let (tree, _) = tree(0x010802);
        let plain = identity(&tree);
        let on_nvme = Identity {
            nvme_serial: Some("A".into()),
            ..plain.clone()
        };
        let other = Identity {
            nvme_serial: Some("B".into()),
            ..plain.clone()
        };

        assert_eq!(plain.compare(&plain), Comparison::Unsure);
        assert_eq!(on_nvme.compare(&plain), Comparison::Unsure);
        assert_eq!(on_nvme.compare(&on_nvme), Comparison::Same);
        assert_eq!(on_nvme.compare(&other), Comparison::Different);

        let board = Identity {
            subsystem_device: 7,
            ..on_nvme.clone()
        };
        assert_eq!(on_nvme.compare(&board), Comparison::Different);

        let moved = Identity {
            address: "02:00.0".parse().unwrap(),
            ..on_nvme.clone()
        };
        assert_eq!(on_nvme.compare(&moved), Comparison::Same);
        assert_eq!(plain.merged(&on_nvme).nvme_serial.as_deref(), Some("A"));
    }

    fn card_with_macs(macs: &[&str]) -> Identity {
        let (tree, _) = tree(0x020000);
        Identity {
            macs: macs.iter().map(ToString::to_string).collect(),
            ..identity(&tree)
        }
    }

    #[test]
    fn card_is_the_same_with_an_interface_more_or_fewer() {
        let both = card_with_macs(&["52:54:00:00:00:01", "52:54:00:00:00:02"]);
        let first = card_with_macs(&["52:54:00:00:00:01"]);
        let other = card_with_macs(&["52:54:00:00:00:03"]);
        assert_eq!(both.compare(&first), Comparison::Same);
        assert_eq!(first.compare(&both), Comparison::Same);
        assert_eq!(other.compare(&both), Comparison::Different);
        assert_eq!(card_with_macs(&[]).compare(&both), Comparison::Unsure);
        assert_eq!(first.merged(&both), both);
    }

    #[test]
    fn serial_number_counts_more_than_hardware_addresses() {
        let card = Identity {
            pcie_serial: Some("00-01".into()),
            ..card_with_macs(&["52:54:00:00:00:01"])
        };
        let with_other_mac = Identity {
            macs: vec!["52:54:00:00:00:02".into()],
            ..card.clone()
        };
        assert_eq!(card.compare(&with_other_mac), Comparison::Same);

        let with_other_serial = Identity {
            pcie_serial: Some("00-02".into()),
            ..card.clone()
        };
        assert_eq!(card.compare(&with_other_serial), Comparison::Different);

        let mut disk = Identity {
            nvme_serial: Some("A".into()),
            ..card.clone()
        };
        disk.pcie_serial = None;
        let other = Identity {
            macs: vec!["52:54:00:00:00:02".into()],
            ..disk.clone()
        };
        assert_eq!(disk.compare(&other), Comparison::Same);

        disk.pcie_serial = Some("00-01".into());
        let swapped = Identity {
            pcie_serial: Some("00-02".into()),
            ..disk.clone()
        };
        assert_eq!(disk.compare(&swapped), Comparison::Different);
    }

    #[test]
    fn virtual_function_has_no_hardware_address() {
        let (tree, dir) = tree(0x020000);
        tree.file(&format!("{dir}/net/eth0/addr_assign_type"), "0\n");
        tree.file(&format!("{dir}/net/eth0/address"), "52:54:00:00:00:01\n");
        assert_eq!(identity(&tree).macs.len(), 1);

        tree.link(&format!("{dir}/physfn"), "../0000:01:00.0");
        assert_eq!(identity(&tree).macs, [""; 0]);
    }

    #[test]
    fn twins_are_the_other_devices_with_the_same_ids() {
        let (tree, _) = tree(0x010802);
        let twin = tree.pci("0000:02:00.0", 0x010802);
        tree.file(&format!("{twin}/subsystem_vendor"), "0x1af4\n");
        tree.pci("0000:03:00.0", 0x010802);

        assert_eq!(
            tree.host().twins(&identity(&tree)),
            ["02:00.0".parse().unwrap()]
        );
    }
}
