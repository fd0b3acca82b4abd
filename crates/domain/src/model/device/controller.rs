//! `<controller>`: a bus that other devices are on.

use super::disk::QueueThreads;
use super::{Info, VirtioOptions};
use crate::xml::value::{Hex, words};
use crate::xml::{Element, Visitor};

words! {
    /// The kind of a controller's bus.
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
        /// Xen's bus; not for KVM guests.
        Xenbus = "xenbus",
        /// ISA.
        Isa = "isa",
    }
}

words! {
    /// The model of a controller. The type of the controller limits the choice.
    pub enum ControllerModel {
        /// Root bus of a conventional PCI machine.
        PciRoot = "pci-root",
        /// Root bus of a PCI Express machine.
        PcieRoot = "pcie-root",
        /// Bridge between conventional buses.
        PciBridge = "pci-bridge",
        /// Bridge from PCI Express to a conventional bus (old model).
        DmiToPciBridge = "dmi-to-pci-bridge",
        /// Bridge from PCI Express to a conventional bus.
        PcieToPciBridge = "pcie-to-pci-bridge",
        /// Root port of PCI Express.
        PcieRootPort = "pcie-root-port",
        /// Upstream port of a switch.
        PcieSwitchUpstreamPort = "pcie-switch-upstream-port",
        /// Downstream port of a switch.
        PcieSwitchDownstreamPort = "pcie-switch-downstream-port",
        /// Additional conventional root bus.
        PciExpanderBus = "pci-expander-bus",
        /// Additional PCI Express root bus with its own bus numbers and NUMA node.
        PcieExpanderBus = "pcie-expander-bus",
        /// No USB controller.
        None = "none",
        /// USB 1 of a PIIX3.
        Piix3Uhci = "piix3-uhci",
        /// USB 1 of a PIIX4.
        Piix4Uhci = "piix4-uhci",
        /// USB 1 of VIA.
        Vt82c686bUhci = "vt82c686b-uhci",
        /// USB 1 of the open standard (OHCI).
        PciOhci = "pci-ohci",
        /// USB 2.
        Ehci = "ehci",
        /// USB 2 of an ICH9.
        Ich9Ehci1 = "ich9-ehci1",
        /// First USB 1 companion of an ICH9.
        Ich9Uhci1 = "ich9-uhci1",
        /// Second USB 1 companion of an ICH9.
        Ich9Uhci2 = "ich9-uhci2",
        /// Third USB 1 companion of an ICH9.
        Ich9Uhci3 = "ich9-uhci3",
        /// USB 3 of NEC.
        NecXhci = "nec-xhci",
        /// USB 3 of QEMU.
        QemuXhci = "qemu-xhci",
        /// USB 1 of Xen.
        Qusb1 = "qusb1",
        /// USB 2 of Xen.
        Qusb2 = "qusb2",
        /// virtio-scsi.
        VirtioScsi = "virtio-scsi",
        /// virtio with the legacy and the modern interface.
        VirtioTransitional = "virtio-transitional",
        /// virtio with the modern interface only.
        VirtioNonTransitional = "virtio-non-transitional",
        /// virtio-serial.
        Virtio = "virtio",
        /// Usual model of the machine.
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
        /// NCR 53C90 of the machine's board.
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
    /// The emulated device that implements a PCI controller.
    pub enum PciModelName {
        /// QEMU's conventional expander bus.
        Pxb = "pxb",
        /// QEMU's PCI Express expander bus.
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
    /// Alias and address of the device.
    pub info: Info,
    /// Kind of bus.
    pub kind: Option<ControllerType>,
    /// Number within the kind. For PCI also the number of the bus.
    pub index: Option<u32>,
    /// Model.
    pub model: Option<ControllerModel>,
    /// Number of USB or virtio-serial ports.
    pub ports: Option<u32>,
    /// Number of interrupt vectors of a virtio-serial controller.
    pub vectors: Option<u32>,
    /// Serial number of an NVMe controller.
    pub serial: Option<String>,
    /// The emulated device that implements the PCI controller.
    pub model_name: Option<PciModelName>,
    /// Further settings of a PCI controller.
    pub target: Option<ControllerTarget>,
    /// 64-bit memory window of a root bus.
    pub pcihole64: Option<PciHole>,
    /// Queues, I/O threads and options of the virtio device.
    pub driver: Option<ControllerDriver>,
    /// USB 2 controller that this USB 1 controller is a companion of.
    pub master: Option<UsbMaster>,
}

/// `<driver>` of a SCSI or virtio-serial controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerDriver {
    /// Number of queues.
    pub queues: Option<u32>,
    /// Largest number of queued commands per logical unit.
    pub cmd_per_lun: Option<u32>,
    /// Largest number of 512-byte sectors per request.
    pub max_sectors: Option<u32>,
    /// Asynchronous notification of requests (`ioeventfd`).
    pub ioeventfd: Option<bool>,
    /// Id of the I/O thread for the controller.
    pub iothread: Option<u32>,
    /// I/O threads for the queues.
    pub iothreads: Option<QueueThreads>,
    /// Common options of virtio devices.
    pub virtio: VirtioOptions,
}

/// `<target>` of a PCI controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerTarget {
    /// Chassis number of a conventional bridge.
    pub chassis_nr: Option<u8>,
    /// Chassis number of a port.
    pub chassis: Option<u8>,
    /// Number of a port.
    pub port: Option<u8>,
    /// First bus number of an expander bus.
    pub bus_nr: Option<u8>,
    /// Number of a host bridge (Power).
    pub index: Option<u32>,
    /// Hotplug of devices at a port or a root bus.
    pub hotplug: Option<bool>,
    /// Memory window that a root port or bridge reserves, in KiB.
    pub mem_reserve: Option<u64>,
    /// Window of 64-bit prefetchable memory that a root port reserves, in KiB. An extension of
    /// passthru: libvirt has no such attribute.
    pub pref64_reserve: Option<u64>,
    /// NUMA node of an expander bus.
    pub node: Option<u32>,
}

/// `<pcihole64>`: the 64-bit memory window of a root bus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PciHole {
    /// Size of the window.
    pub size: crate::model::memory::Memory,
}

/// `<master startport=…/>`: the ports of a USB 2 controller that a companion drives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsbMaster {
    /// First port of the USB 2 controller that the companion drives.
    pub startport: u32,
}

impl Controller {
    /// Creates a controller without alias and address.
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
        v.attr("pref64Reserve", &mut self.pref64_reserve);
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
