//! The facts that `passthru list` prints.

use passthru_guest::{DeadGuest, dead_guests};
use passthru_host::{
    BlindSpot, Capabilities, Device, Error as HostError, Host, HostSurvey, Leftover, Names,
    Request, Usage,
};
use serde::Serialize;

use super::args::Args;
use crate::folder::run_dir;

/// Output of `--json`. The names of its keys are an interface.
#[derive(Serialize)]
pub(super) struct Listing {
    pub(super) host: Capabilities,
    pub(super) devices: Vec<Row>,
    /// Devices with a record that are not listed: the host does not have them now.
    pub(super) left: Vec<Leftover>,
    /// Guests whose manager has died.
    pub(super) dead_guests: Vec<DeadGuest>,
    /// Reason for which the records of devices cannot be read, if they cannot.
    pub(super) records_unreadable: Option<String>,
}

/// A device with its names, its usages and whether a guest can have it.
#[derive(Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) device: Device,
    pub(super) class_name: Option<String>,
    pub(super) vendor_name: Option<String>,
    pub(super) device_name: Option<String>,
    pub(super) bridge: bool,
    pub(super) vfio: Availability,
    pub(super) uses: Vec<UsageRow>,
    pub(super) unseen: Vec<BlindSpot>,
    /// State in which a dead guest, or a change that was cut short, left the device.
    pub(super) left: Option<Leftover>,
}

/// Availability of a device through VFIO.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Availability {
    /// The device is on a VFIO driver.
    Bound { node: Option<String> },
    /// The device can be bound.
    Can,
    /// The device can be bound once the host has stopped using it.
    InUse,
    /// The device may be in use: a part of the host cannot be inspected.
    Unknown,
    /// The device can be bound if these are bound too.
    CanWith { devices: Vec<String> },
    /// The device cannot be bound.
    Cannot { reason: String },
}

/// A usage of a device, with its text.
#[derive(Serialize)]
pub(super) struct UsageRow {
    #[serde(flatten)]
    pub(super) used: Usage,
    pub(super) severity: passthru_host::Severity,
    pub(super) text: String,
}

/// Collects the devices that the arguments select.
pub(super) fn collect(host: &Host, args: &Args) -> Result<Listing, HostError> {
    host.require_pci()?;
    let mut devices = match args.devices.as_slice() {
        [] => host.devices(),
        addresses => addresses
            .iter()
            .map(|address| host.device(*address))
            .collect::<Result<_, _>>()?,
    };
    devices.sort_by_key(|device| device.address);
    devices.dedup_by_key(|device| device.address);
    devices.retain(|device| args.all || !args.devices.is_empty() || !device.is_bridge());
    let names = host.names();
    let survey = host.survey();
    let (mut left, records_unreadable) = match host.leftovers() {
        Ok(left) => (left, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let mut rows = Vec::new();
    for device in devices {
        let at = left
            .iter()
            .position(|leftover| leftover.device == device.address);
        let leftover = at.map(|at| left.remove(at));
        rows.push(Row {
            left: leftover,
            ..row(host, &names, &survey, device)
        });
    }

    if !args.devices.is_empty() {
        left.clear();
    }
    let dead_guests = dead_guests(&run_dir(), host);
    let host = host.capabilities();
    Ok(Listing {
        devices: rows,
        host,
        left,
        dead_guests,
        records_unreadable,
    })
}

fn row(host: &Host, names: &Names, survey: &HostSurvey, device: Device) -> Row {
    let found = survey.report(&device);
    let uses = found.usages.into_iter();
    Row {
        class_name: names.class(&device).map(str::to_owned),
        vendor_name: names.vendor(&device).map(str::to_owned),
        device_name: names.device(&device).map(str::to_owned),
        bridge: device.is_bridge(),
        left: None,
        vfio: availability(host, survey, &device),
        uses: uses
            .map(|used| UsageRow {
                severity: used.severity(),
                text: used.to_string(),
                used,
            })
            .collect(),
        unseen: found.blind_spots,
        device,
    }
}

fn availability(host: &Host, survey: &HostSurvey, device: &Device) -> Availability {
    if device.no_iommu {
        return Availability::Cannot {
            reason: "no IOMMU".into(),
        };
    }

    if device.on_vfio() {
        return Availability::Bound {
            node: device.cdev.clone(),
        };
    }

    match host.check_with_survey(survey, &[Request::managed(device.address)]) {
        Ok(objections) => objections
            .iter()
            .find_map(objection)
            .unwrap_or(Availability::Can),
        Err(HostError::Bridge { .. }) => Availability::Cannot {
            reason: "bridge".into(),
        },
        Err(HostError::NoGroup { .. }) => Availability::Cannot {
            reason: "no IOMMU group".into(),
        },
        Err(error) => Availability::Cannot {
            reason: error.to_string(),
        },
    }
}

fn objection(error: &HostError) -> Option<Availability> {
    match error {
        HostError::InUse { .. } => Some(Availability::InUse),
        HostError::UsageUnknown { .. } => Some(Availability::Unknown),
        HostError::NotViable { companions, .. } => {
            let devices = companions
                .iter()
                .map(|companion| companion.address.to_string());
            Some(Availability::CanWith {
                devices: devices.collect(),
            })
        }
        _ => None,
    }
}
