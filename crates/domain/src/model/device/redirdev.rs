//! `<redirdev>`, `<redirfilter>`, `<hub>`, `<smartcard>`: what comes from a client or goes between.

use super::Info;
use super::chardev::CharBackend;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::{Hex, Value, words};
use crate::xml::{Element, Visitor};

words! {
    /// Bus of a device that a client redirects.
    pub enum RedirdevBus {
        /// USB.
        Usb = "usb",
    }
}

words! {
    /// Bus of a hub.
    pub enum HubType {
        /// USB.
        Usb = "usb",
    }
}

words! {
    /// Where a smart card is.
    pub enum SmartcardMode {
        /// In the host's reader.
        Host = "host",
        /// Nowhere: made of the host's certificates.
        HostCertificates = "host-certificates",
        /// At the other end of a character device.
        Passthrough = "passthrough",
    }
}

/// A USB device that a client redirects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redirdev {
    /// Alias and address.
    pub info: Info,
    /// Its bus.
    pub bus: Option<RedirdevBus>,
    /// Where the client is.
    pub backend: CharBackend,
}

/// `<redirfilter>`: which devices a client may redirect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redirfilter {
    /// The rules; the first that fits counts.
    pub usbdevs: Vec<RedirfilterUsbdev>,
}

/// `<usbdev>`: a rule. What is absent fits all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedirfilterUsbdev {
    /// Class of the device.
    pub class: Option<FilterNumber<2>>,
    /// Vendor.
    pub vendor: Option<FilterNumber<4>>,
    /// Product.
    pub product: Option<FilterNumber<4>>,
    /// Version, major and minor with a dot.
    pub version: Option<String>,
    /// Whether it may be redirected.
    pub allow: Option<bool>,
}

/// A number in hexadecimal, or -1 for any.
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

/// A hub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hub {
    /// Alias and address.
    pub info: Info,
    /// Its bus.
    pub kind: Option<HubType>,
}

/// A smart card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Smartcard {
    /// Alias and address.
    pub info: Info,
    /// Where it is.
    pub mode: Option<SmartcardMode>,
    /// The other end of mode `passthrough`.
    pub backend: Option<CharBackend>,
    /// Names of three certificates, of mode `host-certificates`.
    pub certificates: Vec<String>,
    /// Folder of the certificates' data base.
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
        let is_version = |text: &str| text == "-1" || version(text).is_some();
        if self
            .version
            .as_deref()
            .is_some_and(|text| !is_version(text))
        {
            v.error("'version' of <usbdev> must be a number such as 1.10, or -1".into());
        }
    }
}

impl RedirfilterUsbdev {
    /// Returns the version as USB writes it, in binary-coded decimals; nothing for any.
    pub fn bcd_version(&self) -> Option<u16> {
        version(self.version.as_deref()?)
    }
}

fn version(text: &str) -> Option<u16> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| {
        u16::from_str_radix(text, 16)
            .ok()
            .filter(|n| *n <= 0x99 && text.len() <= 2)
    };
    Some(digits(major)? << 8 | digits(minor)?)
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
