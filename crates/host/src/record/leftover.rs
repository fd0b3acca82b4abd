//! Leftovers: devices that were taken and not given back, by a dead guest or by an incomplete
//! change.

use std::fmt;
use std::fs;
use std::io::ErrorKind;

use passthru_pci::Address;
use serde::Serialize;

use crate::record::Validity;
use crate::{Error, Host, Record};

/// A device with a record but without a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// Address of the device.
    pub device: Address,
    /// Guest for which the device was taken; `None` for a bind by hand.
    pub guest: Option<String>,
    /// State in which the device was left.
    #[serde(flatten)]
    pub state: LeftoverState,
}

/// State of a device that was not given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "left", rename_all = "snake_case")]
pub enum LeftoverState {
    /// The device is on the driver that it was taken to.
    Bound,
    /// The change of the driver is incomplete.
    HalfBound {
        /// Driver that the device was to be on.
        wanted: String,
    },
    /// The host has moved the device to another driver.
    DriverChanged,
    /// Another device is at the address.
    DeviceChanged,
    /// The device is absent.
    Away,
    /// The record cannot be used.
    Unreadable {
        /// The reason.
        reason: String,
    },
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match &self.guest {
            Some(guest) => format!("left by guest {guest}"),
            None => "left by bind".into(),
        };
        match &self.state {
            LeftoverState::Bound => f.write_str(&by),
            LeftoverState::HalfBound { wanted } => write!(f, "{by}, half bound to {wanted}"),
            LeftoverState::DriverChanged => write!(f, "{by}, moved on by the host"),
            LeftoverState::DeviceChanged => write!(f, "{by}, now another device"),
            LeftoverState::Away => write!(f, "{by}, not there now"),
            LeftoverState::Unreadable { reason } => f.write_str(reason),
        }
    }
}

impl Host {
    /// Lists the devices that were taken and not given back, by address.
    ///
    /// A device that was bound by hand is listed only if it is no longer on that driver. A record
    /// that cannot be used is in the list too.
    ///
    /// # Errors
    /// [`Error::Read`], if the folder of the records cannot be read, such as without privileges.
    pub fn leftovers(&self) -> Result<Vec<Leftover>, Error> {
        let path = self.records();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let mut leftovers = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if let Some(name) = name.strip_suffix(".json")
                && let Ok(device) = name.parse()
            {
                leftovers.extend(self.leftover(device));
            }
        }

        leftovers.sort_by_key(|leftover| leftover.device);
        Ok(leftovers)
    }

    fn leftover(&self, device: Address) -> Option<Leftover> {
        if self.owner(device).is_some() {
            return None;
        }
        match self.record(device) {
            Ok(record) => {
                let record = record?.without_note()?;
                Some(Leftover {
                    device: record.device,
                    state: self.leftover_state(&record)?,
                    guest: record.guest,
                })
            }
            Err(error) => Some(Leftover {
                device,
                guest: None,
                state: LeftoverState::Unreadable {
                    reason: error.to_string(),
                },
            }),
        }
    }

    /// Returns the state of a recorded device; `None` if it is bound by hand as recorded.
    fn leftover_state(&self, record: &Record) -> Option<LeftoverState> {
        let Ok(device) = self.device(record.device) else {
            return Some(LeftoverState::Away);
        };
        let Ok(identity) = self.identity(record.device) else {
            return Some(LeftoverState::Away);
        };
        match record.validity(&device, &identity) {
            Validity::DriverChanged => Some(LeftoverState::DriverChanged),
            Validity::DeviceChanged => Some(LeftoverState::DeviceChanged),
            Validity::Valid if device.driver.as_ref() != Some(&record.driver) => {
                Some(LeftoverState::HalfBound {
                    wanted: record.driver.clone(),
                })
            }
            Validity::Valid if record.guest.is_some() => Some(LeftoverState::Bound),
            Validity::Valid => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FormerState;
    use crate::test_tree::Tree;

    /// Makes a device with a record from `nvme` to `vfio-pci`.
    fn taken(driver: Option<&str>, guest: Option<&str>) -> (Tree, Record) {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x010802);
        tree.place("0000:01:00.0", driver, 1);
        tree.file(&format!("{dir}/driver_override"), "vfio-pci\n");
        let host = tree.host();
        let claim = host.claim("01:00.0".parse().unwrap(), guest).unwrap();
        let former = FormerState {
            driver: Some("nvme".into()),
            driver_override: None,
        };
        let record = claim.new_record("vfio-pci", former);
        host.write_record(&record).unwrap();
        (tree, record)
    }

    fn texts(tree: &Tree) -> Vec<String> {
        let leftovers = tree.host().leftovers().unwrap();
        leftovers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn device_of_a_dead_guest_is_listed_until_claimed() {
        let (tree, record) = taken(Some("vfio-pci"), Some("vm"));
        assert_eq!(texts(&tree), ["left by guest vm"]);
        let _claim = tree.host().claim(record.device, Some("next")).unwrap();
        assert!(texts(&tree).is_empty());
    }

    #[test]
    fn device_bound_by_hand_is_not_left_over() {
        assert!(texts(&taken(Some("vfio-pci"), None).0).is_empty());
        assert!(texts(&Tree::new()).is_empty());
    }

    #[test]
    fn half_bound_device_is_always_listed() {
        for driver in [None, Some("nvme")] {
            let (tree, _) = taken(driver, None);
            assert_eq!(texts(&tree), ["left by bind, half bound to vfio-pci"]);
        }

        let (tree, _) = taken(None, Some("vm"));
        assert_eq!(texts(&tree), ["left by guest vm, half bound to vfio-pci"]);
    }

    #[test]
    fn record_that_does_not_count_is_listed_with_a_reason() {
        let (tree, record) = taken(Some("uio_pci_generic"), Some("vm"));
        assert_eq!(texts(&tree), ["left by guest vm, moved on by the host"]);

        tree.file("sys/bus/pci/devices/0000:01:00.0/device", "0x9999\n");
        assert_eq!(texts(&tree), ["left by guest vm, now another device"]);

        std::fs::remove_file(tree.path("sys/bus/pci/devices/0000:01:00.0")).unwrap();
        assert_eq!(texts(&tree), ["left by guest vm, not there now"]);

        tree.file(&format!("run/passthru/devices/{}.json", record.device), "{");
        let texts = texts(&tree);
        assert!(
            texts[0].ends_with("0000:01:00.0.json is not a device record"),
            "{texts:?}"
        );
    }
}
