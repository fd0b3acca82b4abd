//! `<source>` of a hostdev: the identity of the device on the host, by the rules of its bus.

use super::scsi::ScsiSource;
use crate::model::device::address::{AddressType, visit_pci};
use crate::model::device::startup_policy::StartupPolicy;
use crate::model::uuid::Uuid;
use crate::xml::value::{Hex, words};
use crate::xml::{Element, Visitor};

words! {
    /// The bus of a device of the host.
    pub enum HostdevType {
        /// PCI.
        Pci = "pci",
        /// USB.
        Usb = "usb",
        /// A SCSI device.
        Scsi = "scsi",
        /// A SCSI target of the kernel (vhost-scsi).
        ScsiHost = "scsi_host",
        /// A mediated device.
        Mdev = "mdev",
    }
}

/// The identity of a device on the host.
#[derive(Clone, Debug, PartialEq)]
pub enum HostdevSource {
    /// A PCI function.
    Pci(PciSource),
    /// A USB device.
    Usb(UsbSource),
    /// A SCSI device.
    Scsi(ScsiSource),
    /// A SCSI target of the kernel (vhost-scsi).
    ScsiHost(ScsiHostSource),
    /// A mediated device.
    Mdev(MdevSource),
}

/// A PCI function of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PciSource {
    /// Address on the host.
    pub address: passthru_pci::Address,
    /// Filter for writes to configuration space; only Xen can disable it.
    pub write_filtering: Option<bool>,
}

/// A USB device of the host, by vendor and product or by address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsbSource {
    /// Rule for a missing device.
    pub startup_policy: Option<StartupPolicy>,
    /// Guest resets that reach the device.
    pub guest_reset: Option<GuestReset>,
    /// Vendor id.
    pub vendor: Option<u16>,
    /// Product id.
    pub product: Option<u16>,
    /// Address on the host.
    pub address: Option<UsbHostAddress>,
}

/// The address of a USB device on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UsbHostAddress {
    /// Number of the bus.
    pub bus: Option<u32>,
    /// Number of the device on the bus. The number changes when the device is plugged in again.
    pub device: Option<u32>,
    /// Port of the bus, with the ports of the hubs before it.
    pub port: Option<String>,
}

words! {
    /// The guest resets that reach a USB device.
    pub enum GuestReset {
        /// None.
        Off = "off",
        /// Resets before the device is initialized.
        Uninitialized = "uninitialized",
        /// All.
        On = "on",
    }
}

/// A SCSI target of the kernel (vhost-scsi).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScsiHostSource {
    /// Implementation of the target.
    pub protocol: Option<ScsiHostProtocol>,
    /// World wide port name: `naa.` and 16 hexadecimal digits.
    pub wwpn: Option<String>,
}

words! {
    /// The implementation of a SCSI target.
    pub enum ScsiHostProtocol {
        /// The host's kernel (vhost-scsi).
        Vhost = "vhost",
    }
}

/// A mediated device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MdevSource {
    /// UUID of the mediated device.
    pub uuid: Uuid,
}

impl Default for HostdevSource {
    fn default() -> Self {
        Self::Pci(PciSource::default())
    }
}

impl HostdevSource {
    /// Creates an empty source of a kind.
    pub(super) fn for_kind(kind: HostdevType) -> Self {
        match kind {
            HostdevType::Pci => Self::default(),
            HostdevType::Usb => Self::Usb(UsbSource::default()),
            HostdevType::Scsi => Self::Scsi(ScsiSource::default()),
            HostdevType::ScsiHost => Self::ScsiHost(ScsiHostSource::default()),
            HostdevType::Mdev => Self::Mdev(MdevSource::default()),
        }
    }

    /// Visits `<source>`. Returns whether the element is present.
    pub(super) fn visit(&mut self, v: &mut dyn Visitor) -> bool {
        match self {
            Self::Pci(pci) => in_place(pci, v),
            Self::Usb(usb) => in_place(usb, v),
            Self::Scsi(scsi) => in_place(scsi, v),
            Self::ScsiHost(target) => in_place(target, v),
            Self::Mdev(mdev) => in_place(mdev, v),
        }
    }
}

fn in_place<E: Element + Default>(source: &mut E, v: &mut dyn Visitor) -> bool {
    let mut child = (!v.reading()).then(|| std::mem::take(source));
    v.child("source", &mut child);
    let is_there = child.is_some();
    *source = child.unwrap_or_default();
    is_there
}

impl Element for PciSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("writeFiltering", &mut self.write_filtering);
        let mut address = (!v.reading()).then_some(PciHostAddress(Some(self.address)));
        v.child("address", &mut address);
        match address {
            Some(PciHostAddress(address)) => self.address = address.unwrap_or_default(),
            None => v.error(
                "<source> of a PCI device needs an <address domain= bus= slot= function=>".into(),
            ),
        }
    }
}

/// `<address>` of the device on the host. Its type can only be `pci` and is not written.
#[derive(Default)]
struct PciHostAddress(Option<passthru_pci::Address>);

impl Element for PciHostAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut kind: Option<AddressType> = None;
        v.attr("type", &mut kind);
        if let Some(kind) = kind.filter(|kind| *kind != AddressType::Pci) {
            v.error(format!(
                "the <source> of a PCI device has an <address> of type 'pci', not '{kind}'"
            ));
        }

        if !visit_pci(&mut self.0, v) {
            v.error("<address> of a PCI device needs domain= bus= slot= function=".into());
        }
    }
}

impl Element for UsbSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("startupPolicy", &mut self.startup_policy);
        v.attr("guestReset", &mut self.guest_reset);
        for (name, slot) in [("vendor", &mut self.vendor), ("product", &mut self.product)] {
            let mut id = slot.map(Hex::<u16, 4>);
            v.child_word(name, "id", &mut id);
            *slot = id.map(|id| id.0);
        }

        v.child("address", &mut self.address);
        if self.vendor.is_some() != self.product.is_some() {
            v.error("<source> of a USB device needs <vendor> and <product> together".into());
        } else if self.vendor.is_none() && self.address.is_none() {
            v.error(
                "<source> of a USB device needs <vendor> and <product>, or an <address>".into(),
            );
        }
    }
}

impl Element for UsbHostAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("bus", &mut self.bus);
        v.attr("device", &mut self.device);
        v.attr("port", &mut self.port);
        if self.bus.is_none() || (self.device.is_none() && self.port.is_none()) {
            v.error("<address> of a USB device needs bus= and device=, or bus= and port=".into());
        }
    }
}

impl Element for ScsiHostSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("protocol", &mut self.protocol);
        v.attr("wwpn", &mut self.wwpn);
        if self.protocol.is_none() {
            v.error("<source> of a SCSI target needs protocol='vhost'".into());
        }
        match self.wwpn.as_deref() {
            Some(name) if is_wwpn(name) => {}
            Some(name) => {
                let name = name.escape_debug();
                v.error(format!(
                    "wwpn '{name}' is not valid: expected 'naa.' and 16 hexadecimal digits"
                ));
            }
            None => v.error("<source> of a SCSI target needs the attribute 'wwpn'".into()),
        }
    }
}

/// Returns whether a text is a world wide port name: `naa.` and 16 hexadecimal digits.
fn is_wwpn(name: &str) -> bool {
    name.strip_prefix("naa.").is_some_and(|digits| {
        digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

impl Element for MdevSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut uuid = (!v.reading()).then_some(self.uuid);
        v.child_word("address", "uuid", &mut uuid);
        match uuid {
            Some(uuid) => self.uuid = uuid,
            None => v.error("<source> of a mediated device needs an <address uuid=…/>".into()),
        }
    }
}

/// `<source>` of an interface that is a device of the host. Its address has a type.
#[derive(Default)]
pub(crate) struct InterfaceSource(pub(crate) HostdevSource);

impl Element for InterfaceSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut address = (!v.reading()).then(|| TypedAddress(std::mem::take(&mut self.0)));
        v.child("address", &mut address);
        match address {
            Some(TypedAddress(source)) => self.0 = source,
            None => v.error(
                "<source> of an interface of type 'hostdev' needs an <address type='pci' …>".into(),
            ),
        }
    }
}

#[derive(Default)]
struct TypedAddress(HostdevSource);

impl Element for TypedAddress {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let is_usb = matches!(self.0, HostdevSource::Usb(_));
        let mut kind = if is_usb {
            AddressType::Usb
        } else {
            AddressType::Pci
        };
        v.required("type", &mut kind);
        if v.reading() && kind == AddressType::Usb {
            self.0 = HostdevSource::Usb(UsbSource::default());
        }
        match (&mut self.0, kind) {
            (HostdevSource::Usb(usb), AddressType::Usb) => {
                usb.address.get_or_insert_default().visit(v);
            }
            (HostdevSource::Pci(pci), AddressType::Pci) => {
                let mut address = (!v.reading()).then_some(pci.address);
                if !visit_pci(&mut address, v) {
                    v.error("<address> of a PCI device needs domain= bus= slot= function=".into());
                }
                pci.address = address.unwrap_or_default();
            }
            _ => v.error(format!(
                "an interface cannot be a host device with an address of type '{kind}'"
            )),
        }
    }
}

impl std::fmt::Display for UsbSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(address) = &self.address else {
            let vendor = self.vendor.unwrap_or_default();
            let product = self.product.unwrap_or_default();
            return write!(f, "usb {vendor:04x}:{product:04x}");
        };
        let bus = shown(address.bus);
        match &address.port {
            Some(port) => write!(f, "usb {bus} port {port}"),
            None => write!(f, "usb {bus}:{}", shown(address.device)),
        }
    }
}

fn shown(number: Option<u32>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}
