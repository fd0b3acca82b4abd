//! The address of a PCI function, `DDDD:BB:SS.F`: parsing, printing, ordering.
//!
//! One type for the host's devices and for the guest's, so that no crate invents its own. What an
//! address points at is not known here: the host's devices are in `passthru-host`, the guest's in
//! `passthru-domain`.

#![forbid(unsafe_code)]

mod driver;
#[cfg(feature = "serde")]
mod text;

use std::fmt;
use std::str::FromStr;

pub use driver::{is_vfio_driver, leaves_group_viable};

/// Address of a PCI function: domain (segment), bus, slot (device) and function.
///
/// The order is the one of sysfs and `lspci`: by domain, then bus, slot, function.
///
/// ```
/// use passthru_pci::Address;
/// let address: Address = "0000:06:12.5".parse()?;
/// assert_eq!((address.bus, address.slot, address.function), (6, 0x12, 5));
/// assert_eq!("06:12.5".parse::<Address>()?, address); // the domain may be left out
/// assert_eq!(address.to_string(), "0000:06:12.5");
/// # Ok::<(), passthru_pci::ParseAddressError>(())
/// ```
///
/// With the feature `serde` it is serialized as its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Segment. Linux numbers those behind VMD and Hyper-V from 0x10000 up, hence 32 bits.
    pub domain: u32,
    /// 0 to 255.
    pub bus: u8,
    /// 0 to 31.
    pub slot: u8,
    /// 0 to 7.
    pub function: u8,
}

/// Says what was wrong with the text of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAddressError {
    text: String,
    what: &'static str,
}

impl Address {
    /// Highest slot of a bus.
    pub const MAX_SLOT: u8 = 31;
    /// Highest function of a slot.
    pub const MAX_FUNCTION: u8 = 7;

    /// Returns an address, or nothing where slot or function are out of range.
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
        // Built first, so that a width given by the caller applies to the whole.
        f.pad(&format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"))
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    /// Reads `DDDD:BB:SS.F`, or `BB:SS.F` for domain 0. All numbers are hexadecimal.
    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let err = |what| ParseAddressError {
            text: text.into(),
            what,
        };
        let (rest, function) = text
            .rsplit_once('.')
            .ok_or(err("no '.' before the function"))?;
        let (rest, slot) = rest.rsplit_once(':').ok_or(err("no ':' before the slot"))?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        let hex = |digits: &str, what| {
            if digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                u32::from_str_radix(digits, 16).map_err(|_| err(what))
            } else {
                Err(err(what))
            }
        };
        let byte = |digits: &str, what| hex(digits, what)?.try_into().map_err(|_| err(what));
        Self::new(
            hex(
                domain,
                "the domain is not a hexadecimal number of up to 32 bits",
            )?,
            byte(bus, "the bus is not a hexadecimal number from 0 to ff")?,
            byte(slot, "the slot is not a hexadecimal number from 0 to 1f")?,
            byte(function, "the function is not a number from 0 to 7")?,
        )
        .ok_or(err("the slot is above 1f or the function above 7"))
    }
}

impl fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not a PCI address: {} (expected DDDD:BB:SS.F, as lspci -D prints)",
            self.text, self.what
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
        let mut addresses =
            ["0001:00:00.0", "0000:02:00.1", "0000:02:00.0"].map(|t| t.parse::<Address>().unwrap());
        addresses.sort();
        assert_eq!(
            addresses.map(|a| a.to_string()),
            ["0000:02:00.0", "0000:02:00.1", "0001:00:00.0"]
        );
    }
}
