//! `<redirdev>`, `<redirfilter>`, `<hub>`, `<smartcard>`: redirected USB devices, hubs, smart
//! cards.

use super::Info;
use super::chardev::CharBackend;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::{Hex, Value, words};
use crate::xml::{Element, Visitor};

words! {
    /// The bus of a redirected device.
    pub enum RedirdevBus {
        /// USB.
        Usb = "usb",
    }
}

words! {
    /// The bus of a hub.
    pub enum HubType {
        /// USB.
        Usb = "usb",
    }
}

words! {
    /// The origin of a smart card.
    pub enum SmartcardMode {
        /// A reader of the host.
        Host = "host",
        /// An emulated card with certificates of the host.
        HostCertificates = "host-certificates",
        /// A client at the other end of a character device.
        Passthrough = "passthrough",
    }
}

/// `<redirdev>`: a USB device that a client redirects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redirdev {
    /// Alias and address of the device.
    pub info: Info,
    /// Bus of the device.
    pub bus: Option<RedirdevBus>,
    /// Connection to the client.
    pub backend: CharBackend,
}

/// `<redirfilter>`: the filter for devices that a client may redirect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redirfilter {
    /// Rules. The first one that matches decides.
    pub usbdevs: Vec<RedirfilterUsbdev>,
}

/// `<usbdev>`: a rule of the filter. An absent attribute matches all devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedirfilterUsbdev {
    /// USB class of the device.
    pub class: Option<FilterNumber<2>>,
    /// Id of the vendor.
    pub vendor: Option<FilterNumber<4>>,
    /// Id of the product.
    pub product: Option<FilterNumber<4>>,
    /// Version of the device: major and minor number with a dot.
    pub version: Option<String>,
    /// Permission of the redirection.
    pub allow: Option<bool>,
}

/// A hexadecimal number, or -1 for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterNumber<const WIDTH: usize>(pub Option<u16>);

impl<const WIDTH: usize> Value for FilterNumber<WIDTH> {
    fn read(text: &str) -> Result<Self, String> {
        if text == "-1" {
            return Ok(Self(None));
        }
        Hex::<u16, WIDTH>::read(text)
            .map(|n| Self(Some(n.0)))
            .map_err(|e| format!("{e}, or -1"))
    }

    fn write(&self) -> String {
        self.0
            .map_or_else(|| "-1".into(), |n| Hex::<u16, WIDTH>(n).write())
    }
}

/// `<hub>`: a USB hub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hub {
    /// Alias and address of the device.
    pub info: Info,
    /// Bus of the hub.
    pub kind: Option<HubType>,
}

/// `<smartcard>`: a smart card reader with a card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Smartcard {
    /// Alias and address of the device.
    pub info: Info,
    /// Origin of the card.
    pub mode: Option<SmartcardMode>,
    /// Connection to the client, for `passthrough`.
    pub backend: Option<CharBackend>,
    /// Names of three certificates, for `host-certificates`.
    pub certificates: Vec<String>,
    /// Directory of the certificate database, for `host-certificates`.
    pub database: Option<String>,
}

impl Element for Redirdev {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("bus", &mut self.bus);
        self.backend.visit(v);
        self.info.visit_bootable(v);
    }
}

impl Element for Redirfilter {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("usbdev", &mut self.usbdevs);
    }
}

impl Element for RedirfilterUsbdev {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("class", &mut self.class);
        v.attr("vendor", &mut self.vendor);
        v.attr("product", &mut self.product);
        v.attr("version", &mut self.version);
        v.yes_no("allow", &mut self.allow);
        if self.allow.is_none() {
            v.error("<usbdev> of a <redirfilter> needs the attribute 'allow'".into());
        }
        let version_text = self.version.as_deref();
        if version_text.is_some_and(|text| text != "-1" && version(text).is_none()) {
            v.error("'version' of <usbdev> must be a number such as 1.10, or -1".into());
        }
    }
}

impl RedirfilterUsbdev {
    /// Returns the version in binary-coded decimal, or `None` for any version.
    pub fn bcd_version(&self) -> Option<u16> {
        version(self.version.as_deref()?)
    }
}

fn version(text: &str) -> Option<u16> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Some(bcd(major)? << 8 | bcd(minor)?)
}

/// Reads up to two digits as binary-coded decimal.
fn bcd(text: &str) -> Option<u16> {
    let number = u16::from_str_radix(text, 16).ok()?;
    (number <= 0x99 && text.len() <= 2).then_some(number)
}

impl Element for Hub {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        self.info.visit(v);
        if self.kind.is_none() {
            v.error("<hub> needs the attribute 'type'".into());
        }
    }
}

impl Element for Smartcard {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("mode", &mut self.mode);
        if self.mode == Some(SmartcardMode::Passthrough) {
            self.backend.get_or_insert_default().visit(v);
        }
        let mut certificates: Vec<Text> =
            self.certificates.drain(..).map(|t| Text(Some(t))).collect();
        v.children("certificate", &mut certificates);
        self.certificates = certificates.into_iter().filter_map(|t| t.0).collect();
        visit_as::<FilePath>(&mut self.database, |path| v.leaf("database", path));
        self.info.visit(v);
        match self.mode {
            None => v.error("<smartcard> needs the attribute 'mode'".into()),
            Some(SmartcardMode::HostCertificates) if self.certificates.len() != 3 => {
                v.error(
                    "a <smartcard> of mode 'host-certificates' needs three <certificate>s".into(),
                );
            }
            Some(_) => {}
        }
    }
}

#[derive(Default)]
struct Text(Option<String>);

impl Element for Text {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.text(&mut self.0);
    }
}
