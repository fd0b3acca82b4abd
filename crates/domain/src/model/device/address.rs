//! `<address>`: the position of a device within the guest.

use crate::xml::value::{Hex, words};
use crate::xml::{Element, Visitor};

/// The position of a device within the guest.
#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    /// A function on a PCI bus.
    Pci(PciAddress),
    /// A unit of a disk controller.
    Drive(DriveAddress),
    /// A virtio-mmio device of the machine.
    VirtioMmio,
    /// A device of a channel subsystem (Z).
    Ccw(CcwAddress),
    /// A port of a USB bus.
    Usb(UsbAddress),
    /// virtio-serial controller.
    VirtioSerial(VirtioSerialAddress),
    /// Smart card controller.
    Ccid(CcidAddress),
    /// I/O port and interrupt on the ISA bus.
    Isa(IsaAddress),
    /// A register of the virtual I/O bus (Power).
    SpaprVio(SpaprVioAddress),
    /// A slot and an address of the memory.
    Dimm(DimmAddress),
    /// No position: the host gives the device away, and the guest does not see it.
    Unassigned,
}

words! {
    /// The kind of an address.
    pub enum AddressType {
        /// PCI.
        Pci = "pci",
        /// Disk controller.
        Drive = "drive",
        /// virtio-mmio.
        VirtioMmio = "virtio-mmio",
        /// Channel subsystem (Z).
        Ccw = "ccw",
        /// USB.
        Usb = "usb",
        /// A port of a virtio-serial controller.
        VirtioSerial = "virtio-serial",
        /// A slot of a smart card controller.
        Ccid = "ccid",
        /// ISA.
        Isa = "isa",
        /// Virtual I/O bus (Power).
        SpaprVio = "spapr-vio",
        /// Memory slot.
        Dimm = "dimm",
        /// No position.
        Unassigned = "unassigned",
    }
}

/// A PCI address within the guest. `bus` is the index of a PCI controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PciAddress {
    /// The address. If it is absent, `complete` chooses one.
    pub address: Option<passthru_pci::Address>,
    /// Presence of further functions in the slot.
    pub multifunction: Option<bool>,
    /// Ids of the function on Z.
    pub zpci: Option<Zpci>,
}

/// `<zpci>`: the ids of a PCI function on Z. `complete` chooses those that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zpci {
    /// User-defined id, 1 to 0xffff.
    pub uid: Option<u16>,
    /// Function id.
    pub fid: Option<u32>,
}

/// An address on a channel subsystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CcwAddress {
    /// Channel subsystem, up to 0xfe, which is for virtual devices.
    pub cssid: u8,
    /// Subchannel set, 0 to 3.
    pub ssid: u8,
    /// Device number.
    pub devno: u16,
}

/// An address on a USB bus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UsbAddress {
    /// Index of the USB controller.
    pub bus: Option<u32>,
    /// Port, with the ports of the hubs before it: `1.2`.
    pub port: Option<String>,
    /// Parts that `complete` chose. They are not written.
    pub chosen: ChosenUsbParts,
}

/// The parts of a USB address that `complete` chooses anew each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChosenUsbParts {
    /// None.
    #[default]
    None,
    /// The port, on a bus that the user gave.
    Port,
    /// Bus and port.
    BusAndPort,
}

/// A port of a virtio-serial controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VirtioSerialAddress {
    /// Index of the controller.
    pub controller: Option<u32>,
    /// Bus of the controller.
    pub bus: Option<u32>,
    /// Port, from 1. Port 0 is for a console.
    pub port: Option<u32>,
}

/// A slot of a smart card controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CcidAddress {
    /// Index of the controller.
    pub controller: Option<u32>,
    /// Slot.
    pub slot: Option<u32>,
}

/// I/O port and interrupt on the ISA bus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IsaAddress {
    /// First I/O port.
    pub iobase: Option<u32>,
    /// Number of the interrupt.
    pub irq: Option<u32>,
}

/// A register of the virtual I/O bus (Power).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpaprVioAddress {
    /// Register.
    pub reg: Option<u64>,
}

/// A slot and an address of the guest's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DimmAddress {
    /// Slot.
    pub slot: Option<u32>,
    /// Start address in the guest's memory.
    pub base: Option<u64>,
}

/// An address on a disk controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DriveAddress {
    /// Index of the controller.
    pub controller: Option<u32>,
    /// Bus of the controller.
    pub bus: Option<u32>,
    /// Target of the bus.
    pub target: Option<u32>,
    /// Unit of the target.
    pub unit: Option<u32>,
}

impl Address {
    /// Returns the kind of the address.
    pub const fn kind(&self) -> AddressType {
        match self {
            Self::Pci(_) => AddressType::Pci,
            Self::Drive(_) => AddressType::Drive,
            Self::VirtioMmio => AddressType::VirtioMmio,
            Self::Ccw(_) => AddressType::Ccw,
            Self::Usb(_) => AddressType::Usb,
            Self::VirtioSerial(_) => AddressType::VirtioSerial,
            Self::Ccid(_) => AddressType::Ccid,
            Self::Isa(_) => AddressType::Isa,
            Self::SpaprVio(_) => AddressType::SpaprVio,
            Self::Dimm(_) => AddressType::Dimm,
            Self::Unassigned => AddressType::Unassigned,
        }
    }

    /// Creates an empty address of a kind.
    fn for_kind(kind: AddressType) -> Self {
        match kind {
            AddressType::Pci => Self::Pci(PciAddress::default()),
            AddressType::Drive => Self::Drive(DriveAddress::default()),
            AddressType::VirtioMmio => Self::VirtioMmio,
            AddressType::Ccw => Self::Ccw(CcwAddress::default()),
            AddressType::Usb => Self::Usb(UsbAddress::default()),
            AddressType::VirtioSerial => Self::VirtioSerial(VirtioSerialAddress::default()),
            AddressType::Ccid => Self::Ccid(CcidAddress::default()),
            AddressType::Isa => Self::Isa(IsaAddress::default()),
            AddressType::SpaprVio => Self::SpaprVio(SpaprVioAddress::default()),
            AddressType::Dimm => Self::Dimm(DimmAddress::default()),
            AddressType::Unassigned => Self::Unassigned,
        }
    }

    /// Returns the PCI address, if the address is of that kind and complete.
    pub fn pci(&self) -> Option<passthru_pci::Address> {
        match self {
            Self::Pci(pci) => pci.address,
            _ => None,
        }
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::Pci(PciAddress::default())
    }
}

impl Element for Address {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut kind = self.kind();
        v.required("type", &mut kind);
        if v.reading() {
            *self = Self::for_kind(kind);
        }
        match self {
            Self::Pci(pci) => pci.visit(v),
            Self::Drive(drive) => drive.visit(v),
            Self::Ccw(ccw) => ccw.visit(v),
            Self::Usb(usb) => usb.visit(v),
            Self::VirtioSerial(serial) => serial.visit(v),
            Self::Ccid(ccid) => ccid.visit(v),
            Self::Isa(isa) => isa.visit(v),
            Self::SpaprVio(vio) => hex::<_, 4>("reg", &mut vio.reg, v),
            Self::Dimm(dimm) => dimm.visit(v),
            Self::VirtioMmio | Self::Unassigned => {}
        }
    }
}

impl PciAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        visit_pci(&mut self.address, v);
        v.on_off("multifunction", &mut self.multifunction);
        v.child("zpci", &mut self.zpci);
    }
}

impl Element for Zpci {
    fn visit(&mut self, v: &mut dyn Visitor) {
        hex::<_, 4>("uid", &mut self.uid, v);
        hex::<_, 8>("fid", &mut self.fid, v);
        if self.uid == Some(0) {
            v.error("uid of <zpci> is 0x0000: expected 0x0001 to 0xffff".into());
        }
    }
}

/// Visits a hexadecimal attribute, written with at least `WIDTH` digits.
fn hex<T, const WIDTH: usize>(name: &'static str, slot: &mut Option<T>, v: &mut dyn Visitor)
where
    T: TryFrom<u64> + Copy + Into<u64>,
{
    let mut number = slot.map(Hex::<T, WIDTH>);
    v.attr(name, &mut number);
    *slot = number.map(|n| n.0);
}

/// Visits `domain`, `bus`, `slot` and `function`. Absent attributes are zero; if all are absent, so
/// is the address. Returns whether an attribute is present.
pub(crate) fn visit_pci(slot: &mut Option<passthru_pci::Address>, v: &mut dyn Visitor) -> bool {
    let mut domain = slot.map(|a| Hex::<u32, 4>(a.domain));
    let mut bus = slot.map(|a| Hex::<u8, 2>(a.bus));
    let mut device = slot.map(|a| Hex::<u8, 2>(a.slot));
    let mut function = slot.map(|a| Hex::<u8, 1>(a.function));
    v.attr("domain", &mut domain);
    v.attr("bus", &mut bus);
    v.attr("slot", &mut device);
    v.attr("function", &mut function);
    let is_given = (domain, bus, device, function) != (None, None, None, None);
    if !v.reading() || !is_given {
        return is_given;
    }
    let domain = domain.map_or(0, |n| n.0);
    let bus = bus.map_or(0, |n| n.0);
    let device = device.map_or(0, |n| n.0);
    let function = function.map_or(0, |n| n.0);
    *slot = passthru_pci::Address::new(domain, bus, device, function);
    if slot.is_none() {
        v.error(if device > 0x1f {
            format!("slot 0x{device:x} is above 0x1f")
        } else {
            format!("function 0x{function:x} is above 7")
        });
    }

    is_given
}

impl DriveAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("controller", &mut self.controller);
        v.attr("bus", &mut self.bus);
        v.attr("target", &mut self.target);
        v.attr("unit", &mut self.unit);
    }
}

impl CcwAddress {
    /// Channel subsystem of virtual devices.
    pub const VIRTUAL: u8 = 0xfe;
    /// Largest number of a subchannel set.
    pub const LAST_SET: u8 = 3;

    fn visit(&mut self, v: &mut dyn Visitor) {
        let given = (!v.reading()).then_some(*self);
        let mut cssid = given.map(|a| a.cssid);
        let mut ssid = given.map(|a| a.ssid);
        let mut devno = given.map(|a| a.devno);
        hex::<_, 1>("cssid", &mut cssid, v);
        hex::<_, 1>("ssid", &mut ssid, v);
        hex::<_, 4>("devno", &mut devno, v);
        match (cssid, ssid, devno) {
            (Some(cssid), Some(ssid), Some(devno))
                if cssid <= Self::VIRTUAL && ssid <= Self::LAST_SET =>
            {
                *self = Self { cssid, ssid, devno };
            }
            (Some(_), Some(_), Some(_)) => {
                v.error(
                    "an <address> of type 'ccw' must have a cssid up to 0xfe and an ssid up to 0x3"
                        .into(),
                );
            }
            _ => v.error("an <address> of type 'ccw' needs cssid, ssid and devno".into()),
        }
    }
}

impl std::fmt::Display for CcwAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{:x}.{:04x}", self.cssid, self.ssid, self.devno)
    }
}

impl UsbAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("bus", &mut self.bus);
        if v.reading() || self.chosen == ChosenUsbParts::None {
            v.attr("port", &mut self.port);
        }
        if let Some(port) = self.port.as_deref().filter(|port| !is_usb_port(port)) {
            v.error(format!(
                "'{}' is not a USB port: expected '1', or '1.2' behind a hub",
                port.escape_debug()
            ));
        }
    }
}

fn is_usb_port(port: &str) -> bool {
    port.split('.')
        .all(|number| number.parse::<u8>().is_ok_and(|number| number > 0))
}

impl VirtioSerialAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("controller", &mut self.controller);
        v.attr("bus", &mut self.bus);
        v.attr("port", &mut self.port);
    }
}

impl CcidAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("controller", &mut self.controller);
        v.attr("slot", &mut self.slot);
    }
}

impl IsaAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        hex::<_, 1>("iobase", &mut self.iobase, v);
        hex::<_, 1>("irq", &mut self.irq, v);
    }
}

impl DimmAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("slot", &mut self.slot);
        hex::<_, 1>("base", &mut self.base, v);
    }
}
