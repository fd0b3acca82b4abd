//! Names of vendors, devices and classes, from the host's `pci.ids`.

use std::fs;

use crate::{Device, Host};

/// The names in `pci.ids`.
#[derive(Clone, Debug, Default)]
pub struct Names {
    text: String,
}

impl Host {
    /// Reads `pci.ids`. Without that file, only common classes have a name.
    pub fn names(&self) -> Names {
        let paths = ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"];
        let bytes = paths.iter().find_map(|path| fs::read(self.path(path)).ok());
        Names {
            text: String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned(),
        }
    }
}

impl Names {
    /// Returns the name of a device's vendor.
    pub fn vendor(&self, device: &Device) -> Option<&str> {
        let (name, _) = self.vendor_block(device)?;
        Some(name)
    }

    /// Returns the name of a device.
    pub fn device(&self, device: &Device) -> Option<&str> {
        let (_, devices) = self.vendor_block(device)?;
        child(devices, &format!("\t{:04x}  ", device.device))
    }

    /// Returns the most precise known name of a device's class.
    ///
    /// The programming interface counts only for storage: its name says that a disk is an NVMe.
    pub fn class(&self, device: &Device) -> Option<&str> {
        const STORAGE: u8 = 0x01;
        let [_, base, sub, interface] = device.class.to_be_bytes();
        let Some((class, subclasses)) = block(&self.text, &format!("C {base:02x}  ")) else {
            return common_class(base, sub);
        };
        let sub_key = format!("\t{sub:02x}  ");
        if base == STORAGE
            && let Some((_, interfaces)) = block(subclasses, &sub_key)
            && let Some(name) = child(interfaces, &format!("\t\t{interface:02x}  "))
        {
            return Some(name);
        }

        child(subclasses, &sub_key).or(Some(class))
    }

    fn vendor_block(&self, device: &Device) -> Option<(&str, &str)> {
        block(&self.text, &format!("{:04x}  ", device.vendor))
    }
}

/// Finds a line that starts with `key`. Returns the rest of the line, and all lines after it.
fn block<'t>(text: &'t str, key: &str) -> Option<(&'t str, &'t str)> {
    let start = if text.starts_with(key) {
        0
    } else {
        text.find(&format!("\n{key}"))? + 1
    };
    let text = &text[start + key.len()..];
    let (name, rest) = text.split_once('\n').unwrap_or((text, ""));
    Some((name.trim(), rest))
}

/// Finds a line that starts with `key`, before the first line that is indented less.
fn child<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let tabs = key.len() - key.trim_start_matches('\t').len();
    let indent = &key[..tabs];
    for line in text.lines() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        if !line.starts_with(indent) {
            return None;
        }
        if let Some(name) = line.strip_prefix(key) {
            return Some(name.trim());
        }
    }

    None
}

/// Returns a name for classes of devices that are often assigned.
fn common_class(base: u8, sub: u8) -> Option<&'static str> {
    Some(match (base, sub) {
        (0x01, 0x06) => "SATA controller",
        (0x01, 0x08) => "NVMe controller",
        (0x01, _) => "Storage controller",
        (0x02, 0x00) => "Ethernet controller",
        (0x02, _) => "Network controller",
        (0x03, 0x00) => "VGA controller",
        (0x03, 0x02) => "3D controller",
        (0x03, _) => "Display controller",
        (0x04, _) => "Multimedia controller",
        (0x05, _) => "Memory controller",
        (0x06, 0x00) => "Host bridge",
        (0x06, 0x01) => "ISA bridge",
        (0x06, 0x04) => "PCI bridge",
        (0x06, _) => "Bridge",
        (0x0c, 0x03) => "USB controller",
        (0x0c, 0x05) => "SMBus",
        (0x0c, _) => "Serial bus controller",
        (0x0d, _) => "Wireless controller",
        (0x0b | 0x12, _) => "Processing accelerator",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const IDS: &str = "# comment\n\
                       8085  Other\n\t1234  Not this\n\
                       8086  Intel Corporation\n\t1233  Neighbour\n\
                       \t\t1af4 1100  A board\n\t1234  A Controller\n\
                       8087  Next\n\t9999  Not Intel's\n\
                       C 01  Mass storage controller\n\t08  Non-Volatile memory controller\n\
                       \t\t02  NVM Express\n\
                       C 02  Network controller\n\t00  Ethernet controller\n";

    fn device(class: u32, id: u16) -> Device {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", class);
        Device {
            device: id,
            ..tree.host().devices().remove(0)
        }
    }

    #[test]
    fn names_are_read_from_pci_ids() {
        let tree = Tree::new();
        tree.file("usr/share/misc/pci.ids", IDS);
        let names = tree.host().names();
        let nvme = device(0x010802, 0x1234);

        assert_eq!(names.vendor(&nvme), Some("Intel Corporation"));
        assert_eq!(names.device(&nvme), Some("A Controller"));
        assert_eq!(names.class(&nvme), Some("NVM Express"));
        assert_eq!(
            names.class(&device(0x020000, 0)),
            Some("Ethernet controller")
        );
        assert_eq!(
            names.class(&device(0x028000, 0)),
            Some("Network controller")
        );
    }

    #[test]
    fn device_of_the_next_vendor_is_not_found() {
        let tree = Tree::new();
        tree.file("usr/share/hwdata/pci.ids", IDS);
        assert_eq!(tree.host().names().device(&device(0x020000, 0x9999)), None);
    }

    #[test]
    fn common_classes_have_a_name_without_the_file() {
        let names = Tree::new().host().names();
        assert_eq!(names.class(&device(0x010802, 0)), Some("NVMe controller"));
        assert_eq!(names.device(&device(0x010802, 0)), None);
    }
}
