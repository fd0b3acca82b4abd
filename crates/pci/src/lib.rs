//! The address of a PCI function, `DDDD:BB:SS.F`: parsing, formatting, ordering.
//!
//! One type serves host devices and guest devices. The devices behind an address are the subject of
//! other crates. Rules of the kernel that several of them need stand here.

#![forbid(unsafe_code)]

mod cdev;
mod driver;
#[cfg(feature = "serde")]
mod text;

use std::fmt;
use std::str::FromStr;

pub use cdev::{NO_IOMMU_GROUP, is_no_iommu_cdev, vfio_cdev};
pub use driver::{is_vfio_driver, leaves_group_viable};

/// Address of a PCI function: domain (segment), bus, slot (device) and function.
///
/// Addresses sort as in sysfs and `lspci`: by domain, then bus, slot and function.
///
/// ```
/// use passthru_pci::Address;
/// let address: Address = "0000:06:12.5".parse()?;
/// assert_eq!((address.bus, address.slot, address.function), (6, 0x12, 5));
/// assert_eq!("06:12.5".parse::<Address>()?, address); // the domain defaults to 0
/// assert_eq!(address.to_string(), "0000:06:12.5");
/// # Ok::<(), passthru_pci::ParseAddressError>(())
/// ```
///
/// With the feature `serde`, an address is serialized as its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Domain (segment). Linux numbers domains behind VMD and Hyper-V from 0x10000, hence 32 bits.
    pub domain: u32,
    /// Bus, 0 to 255.
    pub bus: u8,
    /// Slot (device), 0 to [`Address::MAX_SLOT`].
    pub slot: u8,
    /// Function, 0 to [`Address::MAX_FUNCTION`].
    pub function: u8,
}

/// A text that is not a PCI address, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAddressError {
    text: String,
    reason: &'static str,
}

impl Address {
    /// Highest slot of a bus.
    pub const MAX_SLOT: u8 = 31;
    /// Highest function of a slot.
    pub const MAX_FUNCTION: u8 = 7;

    /// Returns an address, or `None` if `slot` or `function` is out of range.
    pub const fn new(domain: u32, bus: u8, slot: u8, function: u8) -> Option<Self> {
        if slot > Self::MAX_SLOT || function > Self::MAX_FUNCTION {
            return None;
        }
        Some(Self {
            domain,
            bus,
            slot,
            function,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            domain,
            bus,
            slot,
            function,
        } = self;
        // `pad` applies a width of the caller to the whole text.
        f.pad(&format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"))
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    /// Parses `DDDD:BB:SS.F`, or `BB:SS.F` for domain 0. All numbers are hexadecimal.
    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        parse(text).map_err(|reason| ParseAddressError {
            text: text.into(),
            reason,
        })
    }
}

/// Parses an address; the error is the reason.
fn parse(text: &str) -> Result<Address, &'static str> {
    let (rest, function) = text.rsplit_once('.').ok_or("no '.' before the function")?;
    let (rest, slot) = rest.rsplit_once(':').ok_or("no ':' before the slot")?;
    let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
    let domain =
        parse_hex(domain).ok_or("the domain is not a hexadecimal number of up to 32 bits")?;
    let bus = parse_byte(bus).ok_or("the bus is not a hexadecimal number from 0 to ff")?;
    let slot = parse_byte(slot).ok_or("the slot is not a hexadecimal number from 0 to 1f")?;
    let function = parse_byte(function).ok_or("the function is not a number from 0 to 7")?;
    Address::new(domain, bus, slot, function).ok_or("the slot is above 1f or the function above 7")
}

fn parse_hex(digits: &str) -> Option<u32> {
    // `from_str_radix` alone would accept a sign.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

fn parse_byte(digits: &str) -> Option<u8> {
    parse_hex(digits)?.try_into().ok()
}

impl fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not a PCI address: {} (expected DDDD:BB:SS.F, as lspci -D prints)",
            self.text, self.reason
        )
    }
}

impl std::error::Error for ParseAddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_prints_as_parsed() {
        for text in ["0000:00:00.0", "0000:ff:1f.7", "10000:e1:00.0"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn address_out_of_range_or_misspelt_is_refused() {
        for text in [
            "",
            "0000",
            "00:00",
            "0000:00:20.0",
            "0000:00:00.8",
            "0000:100:00.0",
            "-1:00:00.0",
            "0:+1:0.0",
            "::.",
            "a b",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_sort_as_in_lspci() {
        let mut addresses = ["0001:00:00.0", "0000:02:00.1", "0000:02:00.0"]
            .map(|text| text.parse::<Address>().unwrap());
        addresses.sort();
        assert_eq!(
            addresses.map(|a| a.to_string()),
            ["0000:02:00.0", "0000:02:00.1", "0001:00:00.0"]
        );
    }
}
