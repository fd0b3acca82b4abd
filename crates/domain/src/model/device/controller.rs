//! `<controller>`: buses that other devices are on.

use super::disk::QueueThreads;
use super::{Info, VirtioOptions};
use crate::xml::value::{Hex, words};
use crate::xml::{Element, Visitor};

words! {
    /// Kind of bus.
    pub enum ControllerType {
        /// PCI.
        Pci = "pci",
        /// USB.
        Usb = "usb",
        /// Serial ATA.
        Sata = "sata",
        /// Parallel ATA.
        Ide = "ide",
        /// SCSI.
        Scsi = "scsi",
        /// Floppy.
        Fdc = "fdc",
        /// virtio-serial.
        VirtioSerial = "virtio-serial",
        /// Smart cards.
        Ccid = "ccid",
        /// NVM Express.
        Nvme = "nvme",
        /// Xen's bus; not of KVM guests.
        Xenbus = "xenbus",
        /// ISA.
        Isa = "isa",
    }
}

words! {
    /// Model of a controller. Which ones fit depends on its type.
    pub enum ControllerModel {
        /// Root bus of a conventional machine.
        PciRoot = "pci-root",
        /// Root bus of a PCI Express machine.
        PcieRoot = "pcie-root",
        /// Bridge between conventional buses.
        PciBridge = "pci-bridge",
        /// Bridge from PCI Express to a conventional bus, old.
        DmiToPciBridge = "dmi-to-pci-bridge",
        /// Bridge from PCI Express to a conventional bus.
        PcieToPciBridge = "pcie-to-pci-bridge",
        /// Root port of PCI Express.
        PcieRootPort = "pcie-root-port",
        /// Upstream port of a switch.
        PcieSwitchUpstreamPort = "pcie-switch-upstream-port",
        /// Downstream port of a switch.
        PcieSwitchDownstreamPort = "pcie-switch-downstream-port",
        /// Another conventional root bus.
        PciExpanderBus = "pci-expander-bus",
        /// Another PCI Express root bus, with bus numbers and a NUMA node of its own.
        PcieExpanderBus = "pcie-expander-bus",
        /// No USB at all.
        None = "none",
        /// USB 1 of a PIIX3.
        Piix3Uhci = "piix3-uhci",
        /// USB 1 of a PIIX4.
        Piix4Uhci = "piix4-uhci",
        /// USB 1 of VIA.
        Vt82c686bUhci = "vt82c686b-uhci",
        /// USB 1 of the open standard.
        PciOhci = "pci-ohci",
        /// USB 2.
        Ehci = "ehci",
        /// USB 2 of an ICH9.
        Ich9Ehci1 = "ich9-ehci1",
        /// Its first companion.
        Ich9Uhci1 = "ich9-uhci1",
        /// Its second companion.
        Ich9Uhci2 = "ich9-uhci2",
        /// Its third companion.
        Ich9Uhci3 = "ich9-uhci3",
        /// USB 3 of NEC.
        NecXhci = "nec-xhci",
        /// USB 3 of QEMU.
        QemuXhci = "qemu-xhci",
        /// USB of Xen, version 1.
        Qusb1 = "qusb1",
        /// USB of Xen, version 2.
        Qusb2 = "qusb2",
        /// virtio-scsi.
        VirtioScsi = "virtio-scsi",
        /// virtio with the old interface and the new one.
        VirtioTransitional = "virtio-transitional",
        /// virtio with the new interface alone.
        VirtioNonTransitional = "virtio-non-transitional",
        /// virtio-serial.
        Virtio = "virtio",
        /// What the machine usually has.
        Auto = "auto",
        /// LSI 53C895A.
        Lsilogic = "lsilogic",
        /// LSI SAS1068.
        Lsisas1068 = "lsisas1068",
        /// LSI SAS1078.
        Lsisas1078 = "lsisas1078",
        /// BusLogic.
        Buslogic = "buslogic",
        /// VMware's paravirtual SCSI.
        Vmpvscsi = "vmpvscsi",
        /// IBM's virtual SCSI.
        Ibmvscsi = "ibmvscsi",
        /// NCR 53C90, soldered on.
        Ncr53c90 = "ncr53c90",
        /// Tekram DC-390.
        Dc390 = "dc390",
        /// AMD AM53C974.
        Am53c974 = "am53c974",
        /// Parallel ATA of a PIIX3.
        Piix3 = "piix3",
        /// Parallel ATA of a PIIX4.
        Piix4 = "piix4",
        /// Parallel ATA of an ICH6.
        Ich6 = "ich6",
    }
}

words! {
    /// The emulated device behind a PCI controller.
    pub enum PciModelName {
        /// Intel's expander bus, conventional.
        Pxb = "pxb",
        /// Intel's expander bus, PCI Express.
        PxbPcie = "pxb-pcie",
        /// QEMU's root port.
        PcieRootPort = "pcie-root-port",
        /// Intel 3420's root port.
        Ioh3420 = "ioh3420",
        /// Texas Instruments' upstream port.
        X3130Upstream = "x3130-upstream",
        /// Texas Instruments' downstream port.
        Xio3130Downstream = "xio3130-downstream",
        /// QEMU's conventional bridge.
        PciBridge = "pci-bridge",
        /// QEMU's bridge from PCI Express.
        PciePciBridge = "pcie-pci-bridge",
        /// Intel 82801's bridge.
        I82801b11Bridge = "i82801b11-bridge",
        /// Power's host bridge.
        SpaprPciHostBridge = "spapr-pci-host-bridge",
    }
}

/// A controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Controller {
    /// Alias and address.
    pub info: Info,
    /// Kind of bus.
    pub kind: Option<ControllerType>,
    /// Number among its kind; for PCI also the number of its bus.
    pub index: Option<u32>,
    /// Model.
    pub model: Option<ControllerModel>,
    /// Number of USB or virtio-serial ports.
    pub ports: Option<u32>,
    /// Number of interrupt vectors of a virtio-serial controller.
    pub vectors: Option<u32>,
    /// Serial number of an NVMe controller.
    pub serial: Option<String>,
    /// The emulated device behind a PCI controller.
    pub model_name: Option<PciModelName>,
    /// What else is said of a PCI controller.
    pub target: Option<ControllerTarget>,
    /// Room above 4 GiB that a root bus keeps for devices.
    pub pcihole64: Option<PciHole>,
    /// How the controller works.
    pub driver: Option<ControllerDriver>,
    /// The USB 2 controller that this one is a companion of.
    pub master: Option<UsbMaster>,
}

/// `<driver>` of a SCSI or virtio-serial controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerDriver {
    /// Number of queues.
    pub queues: Option<u32>,
    /// Most commands that wait at a device.
    pub cmd_per_lun: Option<u32>,
    /// Most sectors of a request, of 512 bytes.
    pub max_sectors: Option<u32>,
    /// Whether requests are signalled asynchronously.
    pub ioeventfd: Option<bool>,
    /// Number of the I/O thread that serves it.
    pub iothread: Option<u32>,
    /// The I/O threads that serve its queues.
    pub iothreads: Option<QueueThreads>,
    /// What every virtio device has.
    pub virtio: VirtioOptions,
}

/// `<target>` of a PCI controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerTarget {
    /// Number of a bridge's or expander's chassis.
    pub chassis_nr: Option<u8>,
    /// Chassis of a port.
    pub chassis: Option<u8>,
    /// Number of a port.
    pub port: Option<u8>,
    /// First bus number of an expander.
    pub bus_nr: Option<u8>,
    /// Number of a host bridge (Power).
    pub index: Option<u32>,
    /// Whether devices can be plugged into the port.
    pub hotplug: Option<bool>,
    /// Room that the port keeps for devices' memory, in KiB.
    pub mem_reserve: Option<u64>,
    /// NUMA node of an expander.
    pub node: Option<u32>,
}

/// `<pcihole64>`: room for devices above 4 GiB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PciHole {
    /// Its size.
    pub size: crate::model::memory::Memory,
}

/// `<master startport=…/>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsbMaster {
    /// First port of the USB 2 controller that the companion serves.
    pub startport: u32,
}

impl Controller {
    /// Makes a controller, as `complete` does.
    pub fn new(kind: ControllerType, index: u32, model: Option<ControllerModel>) -> Self {
        Self {
            kind: Some(kind),
            index: Some(index),
            model,
            ..Self::default()
        }
    }

    /// Returns whether the controller is an expander bus: a further root bus.
    pub(crate) fn is_expander(&self) -> bool {
        matches!(
            self.model,
            Some(ControllerModel::PcieExpanderBus | ControllerModel::PciExpanderBus)
        )
    }
}

impl Element for Controller {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("index", &mut self.index);
        v.attr("model", &mut self.model);
        v.attr("ports", &mut self.ports);
        v.attr("vectors", &mut self.vectors);
        v.leaf("serial", &mut self.serial);
        v.child_word("model", "name", &mut self.model_name);
        v.child("target", &mut self.target);
        v.child("driver", &mut self.driver);
        v.child("pcihole64", &mut self.pcihole64);
        v.child("master", &mut self.master);
        self.info.visit(v);
        if self.kind.is_none() {
            v.error("<controller> needs the attribute 'type'".into());
        }
    }
}

impl Element for ControllerDriver {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("queues", &mut self.queues);
        v.attr("cmd_per_lun", &mut self.cmd_per_lun);
        v.attr("max_sectors", &mut self.max_sectors);
        v.on_off("ioeventfd", &mut self.ioeventfd);
        v.attr("iothread", &mut self.iothread);
        self.virtio.visit(v);
        v.child("iothreads", &mut self.iothreads);
    }
}

impl Element for ControllerTarget {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("chassisNr", &mut self.chassis_nr);
        v.attr("chassis", &mut self.chassis);
        let mut port = self.port.map(Hex::<u8, 1>);
        v.attr("port", &mut port);
        self.port = port.map(|p| p.0);
        v.attr("busNr", &mut self.bus_nr);
        v.attr("index", &mut self.index);
        v.attr("memReserve", &mut self.mem_reserve);
        v.on_off("hotplug", &mut self.hotplug);
        v.leaf("node", &mut self.node);
    }
}

impl Element for PciHole {
    fn visit(&mut self, v: &mut dyn Visitor) {
        self.size.visit(v);
    }
}

impl Element for UsbMaster {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("startport", &mut self.startport);
    }
}
