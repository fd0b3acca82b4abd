//! A PCI device, as sysfs describes it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use passthru_pci::{Address, NO_IOMMU_GROUP, ParseAddressError};
use serde::{Serialize, Serializer};

use crate::{Error, Host, sysfs};

/// A PCI function of the host, as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Address of the function.
    pub address: Address,
    /// Vendor id.
    #[serde(serialize_with = "hex4")]
    pub vendor: u16,
    /// Device id.
    #[serde(serialize_with = "hex4")]
    pub device: u16,
    /// Vendor id of the board or subsystem.
    #[serde(serialize_with = "hex4")]
    pub subsystem_vendor: u16,
    /// Device id of the board or subsystem.
    #[serde(serialize_with = "hex4")]
    pub subsystem_device: u16,
    /// Class, subclass and programming interface, 24 bits.
    #[serde(serialize_with = "hex6")]
    pub class: u32,
    /// Type of the configuration header: 0 an ordinary device, 1 a bridge, 2 a CardBus bridge.
    /// `None` if the configuration space cannot be read.
    pub header: Option<u8>,
    /// Current driver.
    pub driver: Option<String>,
    /// The only driver that may bind to the device (`driver_override`).
    pub driver_override: Option<String>,
    /// Number of the IOMMU group.
    pub group: Option<u32>,
    /// Whether VFIO has the device without an IOMMU (`vfio.enable_unsafe_noiommu_mode`).
    ///
    /// Such a device has a group, but its DMA reaches all memory of the host. It is never assigned.
    pub no_iommu: bool,
    /// Nearest NUMA node; `None` if the host does not report one.
    pub numa_node: Option<u32>,
    /// Name of the VFIO character device below `/dev/vfio/devices`.
    ///
    /// `None` if the device is not on VFIO, or if the kernel lacks `CONFIG_VFIO_DEVICE_CDEV`.
    pub cdev: Option<String>,
    /// Role of the function in SR-IOV.
    pub sriov: Option<Sriov>,
    /// Whether the firmware used the device as the primary display (`boot_vga`).
    pub boot_vga: bool,
}

/// The role of a function in SR-IOV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sriov {
    /// A physical function.
    Physical {
        /// Maximum number of virtual functions (`sriov_totalvfs`).
        total: u32,
        /// Current number of virtual functions (`sriov_numvfs`).
        enabled: u32,
    },
    /// A virtual function.
    Virtual {
        /// Address of its physical function (`physfn`).
        physical: Address,
    },
}

impl Device {
    /// Returns whether the device is a bridge, by its class or its configuration header.
    pub fn is_bridge(&self) -> bool {
        self.class >> 16 == 0x06 || self.header.is_some_and(|header| header != 0)
    }

    /// Returns whether the device is on a VFIO driver: `vfio-pci` or a variant of it.
    pub fn on_vfio(&self) -> bool {
        let driver = self.driver.as_deref();
        self.cdev.is_some() || driver.is_some_and(passthru_pci::is_vfio_driver)
    }

    /// Reads a device. Returns `None` if it is absent.
    fn read(host: &Host, address: Address) -> Option<Self> {
        let dir = host.pci(address);
        Some(Self {
            address,
            vendor: id(&dir, "vendor")?,
            device: id(&dir, "device")?,
            subsystem_vendor: id(&dir, "subsystem_vendor").unwrap_or(0),
            subsystem_device: id(&dir, "subsystem_device").unwrap_or(0),
            class: sysfs::number(dir.join("class"))?,
            header: header_type(&dir),
            driver: sysfs::link_name(dir.join("driver")),
            driver_override: driver_override(&dir),
            group: sysfs::link_name(dir.join("iommu_group")).and_then(|name| name.parse().ok()),
            no_iommu: has_no_iommu(&dir),
            numa_node: sysfs::number(dir.join("numa_node")),
            cdev: passthru_pci::vfio_cdev(&dir).ok().flatten(),
            sriov: Sriov::read(&dir),
            boot_vga: sysfs::number(dir.join("boot_vga")) == Some(1),
        })
    }
}

impl Sriov {
    fn read(dir: &Path) -> Option<Self> {
        let physical = sysfs::link_name(dir.join("physfn")).and_then(|name| name.parse().ok());
        if let Some(physical) = physical {
            return Some(Self::Virtual { physical });
        }
        Some(Self::Physical {
            total: sysfs::number(dir.join("sriov_totalvfs"))?,
            enabled: sysfs::number(dir.join("sriov_numvfs")).unwrap_or(0),
        })
    }
}

impl Host {
    /// Checks that sysfs lists PCI devices. Without sysfs, a host seems to have no devices.
    ///
    /// # Errors
    /// [`Error::Read`], if the list cannot be read.
    pub fn require_pci(&self) -> Result<(), Error> {
        let path = self.path("sys/bus/pci/devices");
        match fs::read_dir(&path) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Lists the PCI devices by address. A device that vanishes meanwhile is left out.
    pub fn devices(&self) -> Vec<Device> {
        let addresses = self.addresses().into_iter();
        addresses
            .filter_map(|address| Device::read(self, address))
            .collect()
    }

    /// Reads one PCI device.
    ///
    /// # Errors
    /// [`Error::NotFound`] with up to three existing addresses nearby.
    pub fn device(&self, address: Address) -> Result<Device, Error> {
        Device::read(self, address).ok_or_else(|| Error::NotFound {
            device: address,
            near: nearest(address, self.addresses()),
        })
    }

    fn addresses(&self) -> Vec<Address> {
        let names = sysfs::names(self.path("sys/bus/pci/devices"));
        let mut addresses: Vec<Address> =
            names.iter().filter_map(|name| name.parse().ok()).collect();
        addresses.sort();
        addresses
    }
}

/// Parses a user's name for a device: a PCI address, or libvirt's node device name
/// (`pci_0000_01_00_0`).
///
/// # Errors
/// If the text is neither.
pub fn parse_device(text: &str) -> Result<Address, ParseAddressError> {
    if let Some(name) = text.strip_prefix("pci_") {
        let parts: Vec<&str> = name.split('_').collect();
        if let [domain, bus, slot, function] = parts[..] {
            return format!("{domain}:{bus}:{slot}.{function}").parse();
        }
    }

    text.parse()
}

/// Serializes an id as sysfs prints it: `0x8086`.
fn hex4<S: Serializer>(id: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:#06x}"))
}

/// Serializes a class as sysfs prints it: `0x010802`.
fn hex6<S: Serializer>(class: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{class:#08x}"))
}

fn id(dir: &Path, name: &str) -> Option<u16> {
    sysfs::number(dir.join(name))?.try_into().ok()
}

/// Reads the header type: byte 0x0e of the configuration space without the multi-function bit.
fn header_type(dir: &Path) -> Option<u8> {
    let mut start = [0; 0x10];
    let mut config = File::open(dir.join("config")).ok()?;
    config.read_exact(&mut start).ok()?;
    Some(start[0x0e] & 0x7f)
}

fn driver_override(dir: &Path) -> Option<String> {
    let name = sysfs::read(dir.join("driver_override"))?;
    (!name.is_empty() && name != "(null)").then_some(name)
}

/// Returns whether the kernel marks a device as without an IOMMU. The mark is in the name of the
/// IOMMU group, or in that of the character device (`noiommu-vfioN` since Linux 7.3).
fn has_no_iommu(dir: &Path) -> bool {
    let group = sysfs::read(dir.join("iommu_group/name"));
    let cdevs = sysfs::names(dir.join("vfio-dev"));
    group.as_deref() == Some(NO_IOMMU_GROUP)
        || cdevs
            .iter()
            .any(|name| passthru_pci::is_no_iommu_cdev(name))
}

/// Returns the three addresses nearest to `wanted`: by domain, then bus, slot and function.
fn nearest(wanted: Address, mut all: Vec<Address>) -> Vec<Address> {
    all.sort_by_key(|address| {
        (
            address.domain != wanted.domain,
            address.bus.abs_diff(wanted.bus),
            address.slot.abs_diff(wanted.slot),
            address.function.abs_diff(wanted.function),
        )
    });
    all.truncate(3);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn host_without_sysfs_is_an_error() {
        let empty = tempfile::tempdir().unwrap();
        let error = Host::at(empty.path()).require_pci().unwrap_err();
        assert!(
            error.to_string().ends_with("/sys/bus/pci/devices"),
            "{error}"
        );

        let tree = Tree::new();
        std::fs::create_dir_all(tree.path("sys/bus/pci/devices")).unwrap();
        assert!(tree.host().require_pci().is_ok());
    }

    #[test]
    fn attributes_of_a_device_are_read_from_sysfs() {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x010802);
        tree.file(&format!("{dir}/numa_node"), "-1\n");
        tree.file(&format!("{dir}/driver_override"), "(null)\n");
        tree.link(
            &format!("{dir}/driver"),
            "../../../bus/pci/drivers/vfio-pci",
        );
        tree.link(
            &format!("{dir}/iommu_group"),
            "../../../kernel/iommu_groups/12",
        );
        tree.file(&format!("{dir}/vfio-dev/vfio3/dev"), "511:3\n");

        let device = tree.host().device(address("01:00.0")).unwrap();

        assert_eq!(device.vendor, 0x8086);
        assert_eq!(device.device, 0x1234);
        assert_eq!(device.class, 0x010802);
        assert_eq!(device.driver.as_deref(), Some("vfio-pci"));
        assert_eq!(device.driver_override, None);
        assert_eq!(device.numa_node, None);
        assert_eq!(device.group, Some(12));
        assert_eq!(device.cdev.as_deref(), Some("vfio3"));
        assert!(device.on_vfio() && !device.is_bridge());
    }

    #[test]
    fn vfio_device_without_cdev_support_has_no_cdev() {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x020000);
        tree.dir(&format!("{dir}/vfio-dev/vfio0"));
        assert_eq!(tree.host().device(address("01:00.0")).unwrap().cdev, None);
    }

    #[test]
    fn device_without_iommu_is_known_by_node_or_group() {
        let tree = Tree::new();
        let with_node = tree.pci("0000:01:00.0", 0x020000);
        tree.place("0000:01:00.0", Some("vfio-pci"), 1);
        tree.file(
            &format!("{with_node}/vfio-dev/noiommu-vfio0/dev"),
            "511:0\n",
        );
        tree.pci("0000:02:00.0", 0x020000);
        tree.place("0000:02:00.0", Some("vfio-pci"), 2);
        tree.file("sys/kernel/iommu_groups/2/name", "vfio-noiommu\n");
        let safe = tree.pci("0000:03:00.0", 0x020000);
        tree.place("0000:03:00.0", Some("vfio-pci"), 3);
        tree.file(&format!("{safe}/vfio-dev/vfio2/dev"), "511:2\n");
        tree.file("sys/kernel/iommu_groups/3/name", "other\n");

        let devices = tree.host().devices();
        let no_iommu: Vec<bool> = devices.iter().map(|device| device.no_iommu).collect();

        assert_eq!(no_iommu, [true, true, false]);
        assert_eq!(devices[0].cdev.as_deref(), Some("noiommu-vfio0"));
    }

    #[test]
    fn physical_and_virtual_functions_are_told_apart() {
        let tree = Tree::new();
        let physical = tree.pci("0000:02:00.0", 0x020000);
        tree.file(&format!("{physical}/sriov_totalvfs"), "7\n");
        tree.file(&format!("{physical}/sriov_numvfs"), "2\n");
        let function = tree.pci("0000:02:10.0", 0x020000);
        tree.link(&format!("{function}/physfn"), "../0000:02:00.0");

        let devices = tree.host().devices();
        let sriov: Vec<_> = devices.iter().map(|device| device.sriov).collect();
        let physical = address("02:00.0");
        let expected = [
            Sriov::Physical {
                total: 7,
                enabled: 2,
            },
            Sriov::Virtual { physical },
        ];

        assert_eq!(sriov, expected.map(Some));
    }

    #[test]
    fn vanished_device_is_left_out_of_the_list() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        tree.link("sys/bus/pci/devices/0000:02:00.0", "../../../devices/gone");
        assert_eq!(tree.host().devices().len(), 1);
    }

    #[test]
    fn error_for_an_unknown_device_has_its_neighbours() {
        let tree = Tree::new();
        for near in [
            "0000:01:00.0",
            "0000:01:00.1",
            "0000:08:00.0",
            "0001:01:00.2",
        ] {
            tree.pci(near, 0x020000);
        }

        let Err(Error::NotFound { near, .. }) = tree.host().device(address("01:00.2")) else {
            panic!()
        };
        assert_eq!(near, ["01:00.1", "01:00.0", "08:00.0"].map(address));
    }

    #[test]
    fn bridge_is_known_by_class_or_header() {
        let tree = Tree::new();
        tree.pci("0000:00:01.0", 0x060400);
        let dir = tree.pci("0000:00:02.0", 0x088000);
        let mut config = [0; 64];
        config[0x0e] = 0x81;
        tree.file(&format!("{dir}/config"), config);

        assert!(tree.host().devices().iter().all(Device::is_bridge));
    }

    #[test]
    fn address_and_node_device_name_are_parsed() {
        for text in ["0000:01:00.0", "01:00.0", "pci_0000_01_00_0"] {
            assert_eq!(parse_device(text), Ok(address("01:00.0")), "{text}");
        }
        assert!(parse_device("pci_0000_01_00").is_err());
    }
}
