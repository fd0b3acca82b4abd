//! The steps by which a device moves from one driver to another.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// A step of a device's move to another driver, or back.
///
/// Each step is one change of the host. [`Claim::perform`](crate::Claim::perform) makes the change,
/// and [`Host::observe_step`](crate::Host::observe_step) finds out whether it was made.
///
/// Steps are undone together and not in reverse, since the kernel binds a device only to the driver
/// in `driver_override`. After any part of [`Claim::steps_to`](crate::Claim::steps_to),
/// [`Claim::steps_back`](crate::Claim::steps_back) lists the steps to the former state.
///
/// The serialized form has the name of the step in `step`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum DriverStep {
    /// Write the record of the device. This is always the first step to a driver.
    Record {
        /// The record.
        record: Box<Record>,
    },
    /// Write `driver_override`.
    Override {
        /// New value; `None` lets every driver bind to the device.
        value: Option<String>,
        /// Value before this step.
        former: Option<String>,
    },
    /// Unbind the device from its driver.
    Unbind {
        /// Driver before this step.
        driver: String,
    },
    /// Bind the device to a loaded VFIO driver, and wait for its node.
    Bind {
        /// The driver.
        driver: String,
    },
    /// Load the driver that the device had before, and bind the device to it.
    BindBack {
        /// The driver.
        driver: String,
    },
    /// Let the kernel find a driver for the device (`drivers_probe`).
    Probe,
    /// Remove the record of the device. This is the last step back.
    RemoveRecord,
    /// Write the record of an earlier bind by hand again. This is the last step back.
    RestoreEarlier {
        /// The record.
        record: Box<Record>,
    },
}

/// State of a step, as the host shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// The change is made.
    Applied,
    /// The change is not made.
    NotApplied,
    /// The host is in neither state, or cannot be inspected. No automatism may build on it.
    Unknown(String),
}

impl DriverStep {
    /// Returns whether this step changes the record and not the device.
    pub(super) fn is_of_record(&self) -> bool {
        matches!(
            self,
            Self::Record { .. } | Self::RemoveRecord | Self::RestoreEarlier { .. }
        )
    }
}

impl fmt::Display for DriverStep {
    /// Describes the step in words that follow the device: `0000:01:00.0: unbind from nvme`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { record } => match &record.former.driver {
                Some(driver) => write!(f, "record {driver} as the driver to go back to"),
                None => f.write_str("record that it had no driver"),
            },
            Self::Override {
                value: Some(value), ..
            } => write!(f, "set driver_override to {value}"),
            Self::Override { value: None, .. } => f.write_str("clear driver_override"),
            Self::Unbind { driver } => write!(f, "unbind from {driver}"),
            Self::Bind { driver } => write!(f, "bind to {driver}"),
            Self::BindBack { driver } => write!(f, "bind back to {driver}"),
            Self::Probe => f.write_str("let the kernel find its driver"),
            Self::RemoveRecord => f.write_str("remove its record"),
            Self::RestoreEarlier { .. } => {
                f.write_str("write the record of its bind by hand again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_reads_back_as_it_was_written() {
        let text = include_str!("../../tests/records/version-1.json");
        let record: Record = serde_json::from_str(text).unwrap();
        let record = Box::new(record);
        let driver = "nvme".to_owned();
        let steps = [
            DriverStep::Record {
                record: record.clone(),
            },
            DriverStep::Override {
                value: Some("vfio-pci".into()),
                former: None,
            },
            DriverStep::Unbind {
                driver: driver.clone(),
            },
            DriverStep::Bind {
                driver: driver.clone(),
            },
            DriverStep::BindBack { driver },
            DriverStep::Probe,
            DriverStep::RemoveRecord,
            DriverStep::RestoreEarlier { record },
        ];

        let mut texts = Vec::new();
        for step in &steps {
            let text = serde_json::to_string(step).unwrap();
            assert_eq!(serde_json::from_str::<DriverStep>(&text).unwrap(), *step);
            texts.push(text);
        }

        // A journal has these texts.
        assert_eq!(
            texts[1],
            r#"{"step":"override","value":"vfio-pci","former":null}"#
        );
        assert_eq!(texts[2], r#"{"step":"unbind","driver":"nvme"}"#);
        assert_eq!(texts[4], r#"{"step":"bind-back","driver":"nvme"}"#);
        assert_eq!(texts[6], r#"{"step":"remove-record"}"#);
    }
}
