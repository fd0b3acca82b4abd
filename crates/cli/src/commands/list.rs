//! `passthru list`: the host's PCI devices, and what stands in the way of assigning them.

use std::collections::BTreeSet;

use comfy_table::{ContentArrangement, Table, presets};
use passthru_guest::{DeadGuest, dead_guests};
use passthru_host::{
    BlindSpot, Capabilities, Device, Error as HostError, Host, HostSurvey, Leftover, Names,
    Request, Usage, abridge,
};
use passthru_pci::Address;
use serde::Serialize;

use super::bind::device_argument;
use crate::error::Error;
use crate::hint::host_hint;
use crate::message::say;
use crate::output::print;
use crate::terminal;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// List only these: PCI addresses (0000:01:00.0, 01:00.0) or libvirt's names (pci_0000_01_00_0)
    #[arg(value_name = "DEVICE", value_parser = device_argument)]
    devices: Vec<Address>,
    /// List bridges too
    #[arg(long)]
    all: bool,
    /// Print all that is known, as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints. The names of its keys stay.
#[derive(Serialize)]
struct Listing {
    host: Capabilities,
    devices: Vec<Row>,
    /// Devices with a record that are not among those listed.
    left: Vec<Leftover>,
    /// Guests whose `passthru` has died.
    dead_guests: Vec<DeadGuest>,
    /// Reason for which the records of devices could not be looked at.
    records_unreadable: Option<String>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    device: Device,
    class_name: Option<String>,
    vendor_name: Option<String>,
    device_name: Option<String>,
    bridge: bool,
    vfio: Vfio,
    uses: Vec<UseRow>,
    unseen: Vec<BlindSpot>,
    /// State that it was left in by a guest that died, or by a change that was cut short.
    left: Option<Leftover>,
}

/// Whether a device can be had through VFIO.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Vfio {
    /// It is on a VFIO driver.
    Bound { node: Option<String> },
    /// It can be bound.
    Can,
    /// It can be bound once the host has stopped using it.
    InUse,
    /// It may be in use: not all could be looked at.
    Unknown,
    /// It can be bound together with these.
    CanWith { devices: Vec<String> },
    /// It cannot.
    Cannot { reason: String },
}

#[derive(Serialize)]
struct UseRow {
    #[serde(flatten)]
    used: Usage,
    severity: passthru_host::Severity,
    text: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let listing = listing(&super::host(), args)?;
    if args.json {
        return print(&format!("{:#}\n", serde_json::json!(listing)));
    }
    if let Some(lack) = listing.host.lack() {
        say!("note: {lack}; {}", host_hint(&lack).unwrap_or_default());
    }
    let unseen: BTreeSet<&BlindSpot> = listing.devices.iter().flat_map(|row| &row.unseen).collect();
    let unseen = unseen.into_iter().map(ToString::to_string);
    for note in unseen.chain(notes(&listing)) {
        say!("note: {note}");
    }
    print(&format!("{}\n", table(&listing.devices).trim_fmt()))
}

fn listing(host: &Host, args: &Args) -> Result<Listing, HostError> {
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
    let (names, survey) = (host.names(), host.survey());
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
    let dead_guests = dead_guests(&crate::guest::run_dir(), host);
    let host = host.capabilities();
    Ok(Listing {
        devices: rows,
        host,
        left,
        dead_guests,
        records_unreadable,
    })
}

/// Returns what stands in no line of the table.
fn notes(listing: &Listing) -> Vec<String> {
    let mut notes: Vec<String> = listing
        .dead_guests
        .iter()
        .map(ToString::to_string)
        .collect();
    notes.extend(
        listing
            .left
            .iter()
            .map(|left| format!("{}: {left}", left.device)),
    );
    if let Some(reason) = &listing.records_unreadable {
        notes.push(format!(
            "what dead guests left is not shown, since passthru {reason}"
        ));
    }
    if listing.devices.iter().any(|row| row.left.is_some()) {
        notes.push("`passthru unbind` gives back what was left".into());
    }
    notes
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
        vfio: vfio(host, survey, &device),
        uses: uses
            .map(|used| UseRow {
                severity: used.severity(),
                text: used.to_string(),
                used,
            })
            .collect(),
        unseen: found.blind_spots,
        device,
    }
}

fn vfio(host: &Host, survey: &HostSurvey, device: &Device) -> Vfio {
    if device.no_iommu {
        return Vfio::Cannot {
            reason: "no IOMMU".into(),
        };
    }
    if device.on_vfio() {
        return Vfio::Bound {
            node: device.cdev.clone(),
        };
    }
    match host.check_with_survey(survey, &[Request::managed(device.address)]) {
        Ok(objections) => objections.iter().find_map(objection).unwrap_or(Vfio::Can),
        Err(HostError::Bridge { .. }) => Vfio::Cannot {
            reason: "bridge".into(),
        },
        Err(HostError::NoGroup { .. }) => Vfio::Cannot {
            reason: "no IOMMU group".into(),
        },
        Err(error) => Vfio::Cannot {
            reason: error.to_string(),
        },
    }
}

fn objection(error: &HostError) -> Option<Vfio> {
    match error {
        HostError::InUse { .. } => Some(Vfio::InUse),
        HostError::UsageUnknown { .. } => Some(Vfio::Unknown),
        HostError::NotViable { companions, .. } => {
            let devices = companions
                .iter()
                .map(|companion| companion.address.to_string());
            Some(Vfio::CanWith {
                devices: devices.collect(),
            })
        }
        _ => None,
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "ADDRESS", "DEVICE", "GROUP", "DRIVER", "NUMA", "VFIO", "USED BY",
    ]);
    if let Some(width) = terminal::width() {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
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
            vfio_text(&row.vfio),
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

fn vfio_text(vfio: &Vfio) -> String {
    match vfio {
        Vfio::Bound { node: Some(node) } => node.clone(),
        Vfio::Bound { node: None } => "group only".into(),
        Vfio::Can => "can".into(),
        Vfio::InUse => "in use".into(),
        Vfio::Unknown => "unknown".into(),
        Vfio::CanWith { devices } => format!("only with {}", devices.join(", ")),
        Vfio::Cannot { reason } => format!("no: {reason}"),
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// A device with its class, driver and IOMMU group; no file where the text is empty.
    fn device(root: &Path, address: &str, class: &str, driver: &str, group: &str) {
        let dir = root.join("sys/bus/pci/devices").join(address);
        fs::create_dir_all(&dir).unwrap();
        for (name, value) in [("vendor", "0x8086"), ("device", "0x10c9"), ("class", class)] {
            fs::write(dir.join(name), value).unwrap();
        }
        if !driver.is_empty() {
            symlink(format!("../../drivers/{driver}"), dir.join("driver")).unwrap();
        }
        if !group.is_empty() {
            symlink(format!("../groups/{group}"), dir.join("iommu_group")).unwrap();
            fs::create_dir_all(
                root.join(format!("sys/kernel/iommu_groups/{group}/devices/{address}")),
            )
            .unwrap();
        }
    }

    fn host() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/1/ns")).unwrap();
        symlink("pid:[4026531836]", root.path().join("proc/1/ns/pid")).unwrap();
        let add =
            |address, class, driver, group| device(root.path(), address, class, driver, group);
        add("0000:00:01.0", "0x060400", "pcieport", "1");
        add("0000:02:00.0", "0x020000", "igb", "2");
        add("0000:01:00.0", "0x010802", "vfio-pci", "3");
        add("0000:03:00.0", "0x020000", "", "4");
        add("0000:03:00.1", "0x020000", "e1000e", "4");
        add("0000:04:00.0", "0x020000", "", "");
        add("0000:05:00.0", "0x020000", "vfio-pci", "5");
        for node in [
            "0000:01:00.0/vfio-dev/vfio0",
            "0000:05:00.0/vfio-dev/noiommu-vfio1",
        ] {
            fs::create_dir_all(
                root.path()
                    .join("sys/bus/pci/devices")
                    .join(node)
                    .join("dev"),
            )
            .unwrap();
        }
        root
    }

    fn shown(devices: &[&str], all: bool) -> Vec<String> {
        let devices = devices.iter().map(|text| text.parse().unwrap()).collect();
        let root = host();
        let rows = listing(
            &Host::at(root.path()),
            &Args {
                devices,
                all,
                json: false,
            },
        )
        .unwrap()
        .devices;
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        table(&rows).to_string().lines().skip(1).map(line).collect()
    }

    #[test]
    fn says_of_each_device_what_vfio_can_do_with_it() {
        let expected = [
            "0000:01:00.0 NVMe controller [8086:10c9] 3 vfio-pci - vfio0 -",
            "0000:02:00.0 Ethernet controller [8086:10c9] 2 igb - can -",
            "0000:03:00.0 Ethernet controller [8086:10c9] 4 - - only with 0000:03:00.1 -",
            "0000:03:00.1 Ethernet controller [8086:10c9] 4 e1000e - can -",
            "0000:04:00.0 Ethernet controller [8086:10c9] - - - no: no IOMMU group -",
            "0000:05:00.0 Ethernet controller [8086:10c9] 5 vfio-pci - no: no IOMMU -",
        ];
        assert_eq!(shown(&[], false), expected);
    }

    #[test]
    fn shows_bridges_when_asked_for_all_or_for_them() {
        let bridge = "0000:00:01.0 PCI bridge [8086:10c9] 1 pcieport - no: bridge -";
        assert_eq!(shown(&[], true)[0], bridge);
        assert_eq!(shown(&["00:01.0"], false), [bridge]);
    }

    /// Leaves the record of a guest that died.
    fn leave(root: &Path, address: &str) {
        let folder = root.join("run/passthru/devices");
        fs::create_dir_all(&folder).unwrap();
        let record = serde_json::json!({"version": 1, "device": address, "driver": "vfio-pci",
            "former": {"driver": "igb", "driver_override": null}, "guest": "vm", "pid": 7,
            "boot_id": ""});
        fs::write(folder.join(format!("{address}.json")), record.to_string()).unwrap();
    }

    #[test]
    fn devices_that_a_dead_guest_left_are_shown() {
        let root = host();
        for address in ["0000:01:00.0", "0000:03:00.0", "0000:09:00.0"] {
            leave(root.path(), address);
        }
        let args = Args {
            devices: vec![],
            all: false,
            json: false,
        };
        let listing = listing(&Host::at(root.path()), &args).unwrap();
        let left: Vec<String> = listing
            .devices
            .iter()
            .filter_map(|row| Some(row.left.as_ref()?.to_string()))
            .collect();
        assert_eq!(
            left,
            [
                "left by guest vm",
                "left by guest vm, half bound to vfio-pci"
            ]
        );
        assert!(table(&listing.devices).to_string().contains("half bound"));
        let notes = notes(&listing);
        assert!(
            notes.contains(&"0000:09:00.0: left by guest vm, not there now".into()),
            "{notes:?}"
        );
        assert!(
            notes.iter().any(|note| note.contains("passthru unbind")),
            "{notes:?}"
        );
        let json = serde_json::json!(listing);
        assert_eq!(json["devices"][0]["left"]["left"], "bound");
    }

    #[test]
    fn a_device_asked_for_twice_is_shown_once() {
        assert_eq!(shown(&["02:00.0", "0000:02:00.0"], false).len(), 1);
    }

    #[test]
    fn json_has_everything_of_a_device() {
        let root = host();
        let args = Args {
            devices: vec!["03:00.0".parse().unwrap()],
            all: false,
            json: true,
        };
        let json = serde_json::json!(listing(&Host::at(root.path()), &args).unwrap());
        let device = &json["devices"][0];
        assert_eq!(device["address"], "0000:03:00.0");
        assert_eq!(
            device["vfio"],
            serde_json::json!({"state": "can_with", "devices": ["0000:03:00.1"]})
        );
        assert_eq!(
            (&device["group"], &device["numa_node"]),
            (&4.into(), &serde_json::Value::Null)
        );
        assert_eq!(json["host"]["iommu"], true);
    }
}
