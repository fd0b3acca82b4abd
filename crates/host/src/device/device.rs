//! A PCI device as sysfs shows it. A snapshot: what it says was true when it was read.

use std::fs;
use std::path::Path;

use passthru_pci::{Address, ParseAddressError};
use serde::{Serialize, Serializer};

use crate::group::NO_IOMMU_GROUP;
use crate::{Error, Host, sysfs};

/// A PCI function of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Where it is.
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
    /// `None` where the configuration space cannot be read.
    pub header: Option<u8>,
    /// Driver that holds it.
    pub driver: Option<String>,
    /// The only driver that may take it (`driver_override`).
    pub driver_override: Option<String>,
    /// DeviceNumber of its IOMMU group.
    pub group: Option<u32>,
    /// Whether VFIO has it without an IOMMU (`vfio.enable_unsafe_noiommu_mode`): then it has a
    /// group, but nothing keeps its DMA from the memory of the host, and it is never assigned.
    pub no_iommu: bool,
    /// NUMA node that it is near to; `None` where the host does not say.
    pub numa_node: Option<u32>,
    /// Name of its character device below `/dev/vfio/devices`. `None` off VFIO, and where the
    /// kernel lacks `CONFIG_VFIO_DEVICE_CDEV`.
    pub cdev: Option<String>,
    /// Its part in SR-IOV.
    pub sriov: Option<Sriov>,
    /// Whether the firmware used it as the primary display (`boot_vga`).
    pub boot_vga: bool,
}

/// The part of a function in SR-IOV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sriov {
    /// A physical function.
    Physical {
        /// Highest number of virtual functions (`sriov_totalvfs`).
        total: u32,
        /// How many there are now (`sriov_numvfs`).
        enabled: u32,
    },
    /// A virtual function.
    Virtual {
        /// The function that it belongs to (`physfn`).
        physical: Address,
    },
}

impl Device {
    /// Says whether it is a bridge: those stay with the host.
    pub fn is_bridge(&self) -> bool {
        self.class >> 16 == 0x06 || self.header.is_some_and(|header| header != 0)
    }

    /// Says whether a VFIO driver holds it: `vfio-pci` or one of its variants.
    pub fn on_vfio(&self) -> bool {
        self.cdev.is_some()
            || self
                .driver
                .as_deref()
                .is_some_and(passthru_pci::is_vfio_driver)
    }
}

impl Host {
    /// Checks that the kernel's list of PCI devices can be read. Where sysfs is not mounted, a host
    /// looks as if it had no devices.
    ///
    /// # Errors
    /// [`Error::Read`] where it cannot.
    pub fn require_pci(&self) -> Result<(), Error> {
        let path = self.path("sys/bus/pci/devices");
        std::fs::read_dir(&path)
            .map(drop)
            .map_err(|source| Error::Read { path, source })
    }

    /// Lists the PCI devices by address. One that goes away meanwhile is left out.
    pub fn devices(&self) -> Vec<Device> {
        self.addresses()
            .into_iter()
            .filter_map(|address| read(self, address))
            .collect()
    }

    /// Reads one PCI device.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the nearest addresses that are there.
    pub fn device(&self, address: Address) -> Result<Device, Error> {
        read(self, address).ok_or_else(|| Error::NotFound {
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

/// Reads what a user calls a device: a PCI address, or libvirt's node device name
/// (`pci_0000_01_00_0`).
///
/// # Errors
/// When it is neither.
pub fn parse_device(text: &str) -> Result<Address, ParseAddressError> {
    let nodedev = text
        .strip_prefix("pci_")
        .map(|rest| rest.split('_').collect::<Vec<_>>());
    match nodedev.as_deref() {
        Some([domain, bus, slot, function]) => format!("{domain}:{bus}:{slot}.{function}").parse(),
        _ => text.parse(),
    }
}

/// As sysfs writes ids.
fn hex4<S: Serializer>(id: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:#06x}"))
}

fn hex6<S: Serializer>(class: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{class:#08x}"))
}

fn read(host: &Host, address: Address) -> Option<Device> {
    let dir = host.pci(address);
    let id = |name| sysfs::number(dir.join(name)).and_then(|id| u16::try_from(id).ok());
    Some(Device {
        address,
        vendor: id("vendor")?,
        device: id("device")?,
        subsystem_vendor: id("subsystem_vendor").unwrap_or(0),
        subsystem_device: id("subsystem_device").unwrap_or(0),
        class: sysfs::number(dir.join("class"))?,
        header: header(&dir),
        driver: sysfs::link_name(dir.join("driver")),
        driver_override: sysfs::read(dir.join("driver_override"))
            .filter(|name| !name.is_empty() && name != "(null)"),
        group: sysfs::link_name(dir.join("iommu_group")).and_then(|name| name.parse().ok()),
        no_iommu: no_iommu(&dir),
        numa_node: sysfs::number(dir.join("numa_node")),
        cdev: cdev(&dir),
        sriov: sriov(&dir),
        boot_vga: sysfs::number(dir.join("boot_vga")) == Some(1),
    })
}

/// Byte 0x0e of the configuration space without the multi-function bit.
fn header(dir: &Path) -> Option<u8> {
    let mut start = [0; 0x10];
    let mut config = fs::File::open(dir.join("config")).ok()?;
    std::io::Read::read_exact(&mut config, &mut start).ok()?;
    Some(start[0x0e] & 0x7f)
}

/// The kernel names the folder with and without cdev support; `dev` is there only with it.
fn cdev(dir: &Path) -> Option<String> {
    let vfio = dir.join("vfio-dev");
    sysfs::names(&vfio)
        .into_iter()
        .find(|name| vfio.join(name).join("dev").exists())
}

/// Reads the kernel's marks of a device without an IOMMU: the name of the character device,
/// `noiommu-vfioN` since Linux 7.3, and that of the IOMMU group.
fn no_iommu(dir: &Path) -> bool {
    let group = sysfs::read(dir.join("iommu_group/name"));
    group.as_deref() == Some(NO_IOMMU_GROUP)
        || sysfs::names(dir.join("vfio-dev"))
            .iter()
            .any(|name| name.starts_with("noiommu-"))
}

fn sriov(dir: &Path) -> Option<Sriov> {
    if let Some(physical) = sysfs::link_name(dir.join("physfn")).and_then(|name| name.parse().ok())
    {
        return Some(Sriov::Virtual { physical });
    }
    let total = sysfs::number(dir.join("sriov_totalvfs"))?;
    Some(Sriov::Physical {
        total,
        enabled: sysfs::number(dir.join("sriov_numvfs")).unwrap_or(0),
    })
}

/// The three addresses that share most with the one asked for: bus and slot first, then bus or
/// slot.
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
    fn host_without_sysfs_is_an_error_not_an_empty_list() {
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
    fn reads_what_sysfs_says_of_a_device() {
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
        assert_eq!(
            (device.vendor, device.device, device.class),
            (0x8086, 0x1234, 0x010802)
        );
        assert_eq!(device.driver.as_deref(), Some("vfio-pci"));
        assert_eq!(
            (device.driver_override.as_ref(), device.numa_node),
            (None, None)
        );
        assert_eq!(
            (device.group, device.cdev.as_deref()),
            (Some(12), Some("vfio3"))
        );
        assert!(device.on_vfio() && !device.is_bridge());
    }

    #[test]
    fn a_vfio_device_without_cdev_support_has_no_cdev() {
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
        assert_eq!(
            devices
                .iter()
                .map(|device| device.no_iommu)
                .collect::<Vec<_>>(),
            [true, true, false]
        );
        assert_eq!(devices[0].cdev.as_deref(), Some("noiommu-vfio0"));
    }

    #[test]
    fn tells_physical_and_virtual_functions() {
        let tree = Tree::new();
        let physical = tree.pci("0000:02:00.0", 0x020000);
        tree.file(&format!("{physical}/sriov_totalvfs"), "7\n");
        tree.file(&format!("{physical}/sriov_numvfs"), "2\n");
        let function = tree.pci("0000:02:10.0", 0x020000);
        tree.link(&format!("{function}/physfn"), "../0000:02:00.0");

        let sriov = tree
            .host()
            .devices()
            .iter()
            .map(|device| device.sriov)
            .collect::<Vec<_>>();
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
    fn a_device_that_has_gone_is_left_out_of_the_list() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        tree.link("sys/bus/pci/devices/0000:02:00.0", "../../../devices/gone");
        assert_eq!(tree.host().devices().len(), 1);
    }

    #[test]
    fn an_unknown_device_is_answered_with_its_neighbours() {
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
    fn a_bridge_is_known_by_class_or_header() {
        let tree = Tree::new();
        tree.pci("0000:00:01.0", 0x060400);
        let dir = tree.pci("0000:00:02.0", 0x088000);
        let mut config = [0; 64];
        config[0x0e] = 0x81;
        tree.file(&format!("{dir}/config"), config);
        assert!(tree.host().devices().iter().all(Device::is_bridge));
    }

    #[test]
    fn accepts_an_address_and_the_name_of_a_node_device() {
        for text in ["0000:01:00.0", "01:00.0", "pci_0000_01_00_0"] {
            assert_eq!(parse_device(text), Ok(address("01:00.0")), "{text}");
        }
        assert!(parse_device("pci_0000_01_00").is_err());
    }
}
