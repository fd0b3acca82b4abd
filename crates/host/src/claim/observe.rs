//! The observation of steps: what of them the host shows.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use passthru_pci::Address;

use super::step::{DriverStep, StepState};
use crate::record::Record;
use crate::{Comparison, Error, Host};

impl Host {
    /// Finds out whether a step of a device's move is applied. Only reads, and needs no claim.
    ///
    /// The result is certain for the last step that was begun, while the caller has the claim. It
    /// is [`StepState::Unknown`] for all that the step does not explain:
    ///
    /// - an absent device, or another device at the address;
    /// - a driver or an override that is neither that before the step nor that after it;
    /// - a file that cannot be read.
    pub fn observe_step(&self, device: Address, step: &DriverStep) -> StepState {
        let record = match self.record(device) {
            Ok(record) => record,
            Err(error) => return StepState::Unknown(text(&error)),
        };
        match step {
            DriverStep::Record { record: new } | DriverStep::RestoreEarlier { record: new } => {
                applied(record.is_some_and(|record| is_written(&record, new)))
            }
            DriverStep::RemoveRecord => applied(record.is_none()),
            other => match self.observe_move(device, record.as_ref(), other) {
                Ok(state) => state,
                Err(error) => StepState::Unknown(text(&error)),
            },
        }
    }

    /// Finds out whether a step that changes the device is applied.
    fn observe_move(
        &self,
        device: Address,
        record: Option<&Record>,
        step: &DriverStep,
    ) -> Result<StepState, Error> {
        let identity = self.identity(device)?;
        let recorded = record.and_then(|record| record.identity.as_ref());
        if recorded.is_some_and(|known| known.compare(&identity) == Comparison::Different) {
            return Ok(StepState::Unknown(format!(
                "{device} is another device now ({identity})"
            )));
        }

        if let DriverStep::Override { value, former } = step {
            let now = self.driver_override(device)?;
            let expected = Expected {
                applied: value.as_deref(),
                not_applied: former.as_deref(),
            };
            return Ok(expected.state(now.as_deref()).unwrap_or_else(|| {
                let now = now.as_deref().unwrap_or("nothing");
                StepState::Unknown(format!("driver_override of {device} is {now}"))
            }));
        }

        let now = self.driver_of(device)?;
        let expected = match step {
            DriverStep::Unbind { driver } => Expected {
                applied: None,
                not_applied: Some(driver),
            },
            DriverStep::Bind { driver } | DriverStep::BindBack { driver } => Expected {
                applied: Some(driver),
                not_applied: None,
            },
            // Any driver but VFIO's may be the one that the kernel finds.
            _ => Expected {
                applied: now
                    .as_deref()
                    .filter(|driver| !passthru_pci::is_vfio_driver(driver)),
                not_applied: None,
            },
        };
        Ok(expected.state(now.as_deref()).unwrap_or_else(|| {
            let now = now.as_deref().unwrap_or("no driver");
            StepState::Unknown(format!("{device} is on {now}"))
        }))
    }

    /// Reads the driver of a device. Other than in a [`Device`](crate::Device), a link that cannot
    /// be read is an error.
    fn driver_of(&self, device: Address) -> Result<Option<String>, Error> {
        let path = self.pci(device).join("driver");
        let target = found(fs::read_link(&path), path)?;
        let name = target.as_ref().and_then(|target| target.file_name());
        Ok(name.map(|name| name.to_string_lossy().into_owned()))
    }

    fn driver_override(&self, device: Address) -> Result<Option<String>, Error> {
        let path = self.pci(device).join("driver_override");
        let text = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        let name = text.trim();
        Ok((!name.is_empty() && name != "(null)").then(|| name.to_owned()))
    }
}

/// The values that a step changes: that after it, and that before it.
struct Expected<'a> {
    applied: Option<&'a str>,
    not_applied: Option<&'a str>,
}

impl Expected<'_> {
    /// Returns the state for the current value; `None` if the step does not explain that value.
    fn state(&self, now: Option<&str>) -> Option<StepState> {
        if now == self.not_applied {
            Some(StepState::NotApplied)
        } else if now == self.applied {
            Some(StepState::Applied)
        } else {
            None
        }
    }
}

/// Returns whether a record is the one that a step writes. A later hand-over may have added the
/// VMM.
fn is_written(record: &Record, new: &Record) -> bool {
    let with_vmm = Record {
        vmm: record.vmm.clone(),
        version: record.version,
        ..new.clone()
    };
    *record == with_vmm
}

fn applied(is_applied: bool) -> StepState {
    if is_applied {
        StepState::Applied
    } else {
        StepState::NotApplied
    }
}

/// Returns `None` for a missing file.
fn found<T>(result: io::Result<T>, path: PathBuf) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// Returns the message of an error with its cause.
fn text(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    fn nvme() -> Address {
        "0000:01:00.0".parse().unwrap()
    }

    /// Makes a disk on a driver with an override.
    fn disk(driver: Option<&str>, driver_override: &str) -> Tree {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x010802);
        tree.place("0000:01:00.0", driver, 1);
        tree.file(&format!("{dir}/driver_override"), driver_override);
        tree
    }

    fn state(tree: &Tree, step: &DriverStep) -> StepState {
        tree.host().observe_step(nvme(), step)
    }

    fn unknown(tree: &Tree, step: &DriverStep) -> String {
        match state(tree, step) {
            StepState::Unknown(why) => why,
            other => panic!("{step}: {other:?}"),
        }
    }

    fn to_vfio() -> DriverStep {
        DriverStep::Override {
            value: Some("vfio-pci".into()),
            former: None,
        }
    }

    fn unbind() -> DriverStep {
        DriverStep::Unbind {
            driver: "nvme".into(),
        }
    }

    fn bind(driver: &str) -> DriverStep {
        DriverStep::Bind {
            driver: driver.into(),
        }
    }

    #[test]
    fn driver_and_override_show_the_steps() {
        use StepState::{Applied, NotApplied};

        let before = disk(Some("nvme"), "(null)\n");
        let cut = disk(None, "vfio-pci\n");
        let after = disk(Some("vfio-pci"), "vfio-pci\n");
        for (step, expected) in [
            (to_vfio(), [NotApplied, Applied]),
            (unbind(), [NotApplied, Applied]),
        ] {
            assert_eq!([&before, &cut].map(|tree| state(tree, &step)), expected);
        }

        for (step, expected) in [
            (bind("vfio-pci"), [NotApplied, Applied]),
            (
                bind("mlx5_vfio_pci"),
                [
                    NotApplied,
                    StepState::Unknown("0000:01:00.0 is on vfio-pci".into()),
                ],
            ),
        ] {
            assert_eq!([&cut, &after].map(|tree| state(tree, &step)), expected);
        }

        assert_eq!(state(&before, &DriverStep::Probe), Applied);
        assert_eq!(state(&cut, &DriverStep::Probe), NotApplied);

        unknown(&after, &DriverStep::Probe);
    }

    #[test]
    fn foreign_or_unreadable_state_is_unknown() {
        let tree = disk(Some("uio_pci_generic"), "pci-stub\n");
        assert_eq!(
            unknown(&tree, &to_vfio()),
            "driver_override of 0000:01:00.0 is pci-stub"
        );
        assert_eq!(
            unknown(&tree, &unbind()),
            "0000:01:00.0 is on uio_pci_generic"
        );

        let driver = "sys/devices/pci/0000:01:00.0/driver";
        std::fs::remove_file(tree.path(driver)).unwrap();
        tree.file(driver, "");
        let why = unknown(&tree, &unbind());
        assert!(why.starts_with("cannot read"), "{why}");

        std::fs::remove_file(tree.path("sys/bus/pci/devices/0000:01:00.0")).unwrap();
        let why = unknown(&tree, &unbind());
        assert_eq!(why, "0000:01:00.0: no such PCI device");
    }

    #[test]
    fn record_shows_its_steps_until_it_changes() {
        let tree = disk(Some("nvme"), "(null)\n");
        let host = tree.host();
        let claim = host.claim(nvme(), Some("web")).unwrap();
        let step = claim.steps_to("vfio-pci").unwrap().remove(0);

        assert_eq!(state(&tree, &step), StepState::NotApplied);
        assert_eq!(state(&tree, &DriverStep::RemoveRecord), StepState::Applied);

        claim.perform(&step, Default::default()).unwrap();
        assert_eq!(state(&tree, &step), StepState::Applied);

        let removal = claim.steps_back().unwrap();
        assert_eq!(removal, [DriverStep::RemoveRecord]);
        assert_eq!(state(&tree, &removal[0]), StepState::NotApplied);

        tree.file("sys/devices/pci/0000:01:00.0/device", "0x9999\n");
        let DriverStep::Record { record } = &step else {
            panic!("{step}")
        };
        assert!(record.identity.is_some());
        assert!(unknown(&tree, &unbind()).contains("another device"));

        tree.file("run/passthru/devices/0000:01:00.0.json", "{");
        assert!(unknown(&tree, &step).contains("is not a device record"));

        unknown(&tree, &unbind());
    }
}
