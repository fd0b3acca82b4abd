//! The table of `passthru list`.

use comfy_table::Table;
use passthru_host::{Device, abridge};

use super::collect::{Availability, Row};
use crate::table::{new_table, or_dash};

/// Makes the table of the devices.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = new_table(&[
        "ADDRESS", "DEVICE", "GROUP", "DRIVER", "NUMA", "VFIO", "USED BY",
    ]);
    for row in rows {
        let texts: Vec<&str> = row.uses.iter().map(|used| used.text.as_str()).collect();
        let mut uses = Vec::from_iter((!texts.is_empty()).then(|| abridge(&texts, "; ")));
        uses.extend(row.left.as_ref().map(ToString::to_string));
        table.add_row([
            row.device.address.to_string(),
            name(row),
            or_dash(row.device.group),
            or_dash(row.device.driver.as_ref()),
            or_dash(row.device.numa_node),
            availability_text(&row.vfio),
            if uses.is_empty() {
                "-".into()
            } else {
                uses.join("; ")
            },
        ]);
    }

    table
}

fn name(row: &Row) -> String {
    let Device { vendor, device, .. } = &row.device;
    let class = row
        .class_name
        .clone()
        .unwrap_or_else(|| format!("class {:06x}", row.device.class));
    match (&row.vendor_name, &row.device_name) {
        (Some(vendor), Some(device)) => format!("{class}: {vendor} {device}"),
        (Some(name), None) => format!("{class}: {name} [{vendor:04x}:{device:04x}]"),
        _ => format!("{class} [{vendor:04x}:{device:04x}]"),
    }
}

fn availability_text(availability: &Availability) -> String {
    match availability {
        Availability::Bound { node: Some(node) } => node.clone(),
        Availability::Bound { node: None } => "group only".into(),
        Availability::Can => "can".into(),
        Availability::InUse => "in use".into(),
        Availability::Unknown => "unknown".into(),
        Availability::CanWith { devices } => format!("only with {}", devices.join(", ")),
        Availability::Cannot { reason } => format!("no: {reason}"),
    }
}
