//! Hints for errors of the host.

use std::collections::BTreeSet;
use std::io;

use passthru_host::{BlindSpot, Companion, Error as HostError, NetworkPurpose, Owner, Usage};

const NO_IOMMU: &str = "switch the IOMMU on in the firmware (VT-d, AMD-Vi, SMMU), and on Intel \
                        add intel_iommu=on to the kernel's command line";
const FORCE: &str = "`passthru bind --force` takes the device regardless";

/// Returns the hint for an error of the host.
pub(crate) fn host_hint(error: &HostError) -> Option<String> {
    Some(match error {
        HostError::NotFound { near, .. } if near.is_empty() => {
            "this host shows no PCI devices".into()
        }
        HostError::NotFound { near, .. } => {
            format!("check the address; devices near it: {}", list(near))
        }
        HostError::NoGroup {
            others_have: false, ..
        }
        | HostError::NoIommu
        | HostError::DeviceWithoutIommu { .. } => NO_IOMMU.into(),
        HostError::NoGroup { .. } => {
            "move the device to another slot: this one is not behind an IOMMU".into()
        }
        HostError::InUse { usages, .. } => usage_hint(usages),
        HostError::UsageUnknown { blind_spots, .. } => blind_spot_hint(blind_spots),
        HostError::NotViable { companions, .. } => group_hint(companions),
        HostError::Several(errors) => return joined_hints(errors),
        HostError::NotOnVfio { device, .. } => {
            format!("run `passthru bind {device}`, or set managed='yes' in the domain")
        }
        HostError::Claimed {
            owner: Owner {
                guest: Some(guest), ..
            },
            ..
        }
        | HostError::HeldByVmm { guest, .. } => {
            format!("stop '{guest}' first, or give this guest another device")
        }
        HostError::Claimed { .. } => "wait until that process has ended".into(),
        HostError::OpenInProcesses { .. } => "end these processes first".into(),
        HostError::VirtualFunctions { device, .. } => format!(
            "free them, write 0 to /sys/bus/pci/devices/{device}/sriov_numvfs and run `passthru \
             unbind {device}`; with `--force` they vanish regardless"
        ),
        HostError::NoDriver { .. } => {
            "use a kernel that has this driver (for vfio-pci: CONFIG_VFIO_PCI)".into()
        }
        HostError::BadDriverName { .. } => "use only letters, digits, '_' and '-'".into(),
        HostError::NotVfio { .. } => "name vfio-pci or a variant of it, or name no driver to get \
                                      the one for the device"
            .into(),
        HostError::NoNode { .. } => "mount a devtmpfs on /dev, or start udev".into(),
        HostError::NotUndone { device, .. } => {
            format!("run `passthru unbind {device}` once the cause is removed")
        }
        HostError::NoIommufd => {
            "let the device use type1 (<driver iommufd='no'/>, or --backend type1 if it names no \
             backend), or use a kernel with CONFIG_IOMMUFD (Fedora, Ubuntu and Arch have it, \
             Debian does not)"
                .into()
        }
        HostError::NoCdev => {
            "let the device use type1 (<driver iommufd='no'/>, or --backend type1 if it names no \
             backend), or use a kernel with CONFIG_VFIO_DEVICE_CDEV (Fedora, Ubuntu and Arch have \
             it)"
            .into()
        }
        HostError::NoType1 => {
            "let the devices use iommufd, an NVMe disk's controller as a <hostdev>, or use a \
             kernel with CONFIG_VFIO_GROUP and CONFIG_VFIO_CONTAINER (or \
             CONFIG_IOMMUFD_VFIO_CONTAINER)"
                .into()
        }
        HostError::Read { source, .. }
        | HostError::Write { source, .. }
        | HostError::File { source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            "run it as root".into()
        }
        HostError::Write { path, .. } if path.ends_with("bind") => {
            "read the driver's reason in the kernel's log (`dmesg`)".into()
        }
        HostError::Stuck { device, .. } => format!(
            "end what uses the device (`dmesg` may name it), then run `passthru unbind {device}`"
        ),
        HostError::Absent { device } => {
            format!("run `passthru unbind {device}` once the device is there again")
        }
        HostError::NewerRecord { .. } => "use the newer version of passthru that wrote it".into(),
        HostError::BadRecord { path, .. } => format!("remove {}", path.display()),
        _ => return None,
    })
}

/// Joins the hints for several errors, each hint once.
fn joined_hints(errors: &[HostError]) -> Option<String> {
    let hints: BTreeSet<String> = errors.iter().filter_map(host_hint).collect();
    let hints = Vec::from_iter(hints);
    (!hints.is_empty()).then(|| hints.join("\n"))
}

fn group_hint(companions: &[Companion]) -> String {
    let addresses: Vec<_> = companions
        .iter()
        .map(|companion| companion.address)
        .collect();
    format!(
        "bind {} too, in the same call: the devices of a group are isolated only together",
        list(&addresses)
    )
}

/// Returns the hint to end usages of a device.
fn usage_hint(usages: &[Usage]) -> String {
    let routed: BTreeSet<&str> = usages.iter().filter_map(routed_interface).collect();
    let Some(interface) = routed.first() else {
        return format!("end these uses first; {FORCE}");
    };
    let are_all_routes = usages.iter().all(|usage| routed_interface(usage).is_some());
    let first = if are_all_routes {
        ""
    } else {
        "end these uses first; "
    };
    let more = if routed.len() > 1 {
        ", and the others likewise"
    } else {
        ""
    };
    format!(
        "{first}to free it of routes, take {interface} down (`ip link set {interface} down`, or \
         `nmcli device disconnect {interface}`) or remove the routes{more}; {FORCE}"
    )
}

/// Returns the hint to inspect the parts of the host that were not inspected, or to do without.
fn blind_spot_hint(blind_spots: &[BlindSpot]) -> String {
    let (tunnels, others): (Vec<&BlindSpot>, Vec<&BlindSpot>) = blind_spots
        .iter()
        .partition(|blind_spot| blind_spot.is_tunnel());
    let mut hints = Vec::new();
    if !others.is_empty() {
        hints.push("run it as root on the host itself, outside of any container".to_owned());
    }
    if let Some(tunnel) = tunnels.first() {
        hints.push(format!(
            "it is not known which card carries {}: end the tunnel, or, if another card carries \
             it, take the interface of this device down, so that no route leads over it",
            tunnel.place
        ));
    }

    hints.push("with `--force`, `bind` and `unbind` go on regardless".to_owned());
    hints.join("; ")
}

/// Returns the interface of a usage that is a route.
fn routed_interface(usage: &Usage) -> Option<&str> {
    let Usage::Network(network) = usage else {
        return None;
    };
    match network.purpose {
        NetworkPurpose::DefaultRoute { .. }
        | NetworkPurpose::Route { .. }
        | NetworkPurpose::OnlyRoute { .. } => Some(&network.interface),
        _ => None,
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use passthru_host::NetworkUsage;

    use super::*;

    fn hint(usages: Vec<Usage>) -> String {
        let device = "01:00.0".parse().unwrap();
        host_hint(&HostError::InUse { device, usages }).unwrap()
    }

    fn default_route(interface: &str) -> Usage {
        Usage::Network(NetworkUsage {
            netdev: "eth1".into(),
            interface: interface.into(),
            purpose: NetworkPurpose::DefaultRoute { table: 254 },
            more: 0,
        })
    }

    #[test]
    fn route_hint_names_the_commands_that_free_the_card() {
        let expected = "to free it of routes, take eth1 down (`ip link set eth1 down`, or `nmcli \
                        device disconnect eth1`) or remove the routes; `passthru bind --force` \
                        takes the device regardless";
        assert_eq!(hint(vec![default_route("eth1")]), expected);

        let with_console = hint(vec![default_route("eth1"), Usage::Console]);
        assert!(
            with_console.starts_with("end these uses first; to free"),
            "{with_console}"
        );

        let two = hint(vec![default_route("eth1"), default_route("eth1.7")]);
        assert!(
            two.contains("remove the routes, and the others likewise; "),
            "{two}"
        );
        assert!(hint(vec![Usage::Console]).starts_with("end these uses first; `passthru"));
    }

    #[test]
    fn tunnel_hint_names_the_tunnel() {
        let tunnel = BlindSpot::tunnel("tun0", "a program carries its packets");
        let ring = BlindSpot::new("devices", "/proc/7", "denied");
        let only = blind_spot_hint(std::slice::from_ref(&tunnel));
        assert!(
            only.starts_with("it is not known which card carries tun0: end the tunnel, or"),
            "{only}"
        );
        assert!(
            !only.contains("as root") && only.contains("--force"),
            "{only}"
        );

        let both = blind_spot_hint(&[tunnel, ring]);
        assert!(both.contains("as root") && both.contains("tun0"), "{both}");
    }

    #[test]
    fn missing_iommu_hint_names_the_firmware() {
        let device = "01:00.0".parse().unwrap();
        let hint = host_hint(&HostError::DeviceWithoutIommu { device }).unwrap();
        assert!(hint.contains("IOMMU on in the firmware"), "{hint}");
    }

    #[test]
    fn group_hint_names_the_companion() {
        let companion = Companion {
            address: "06:02.0".parse().unwrap(),
            name: None,
            driver: Some("e1000".into()),
            usages: Vec::new(),
        };
        let hint = group_hint(&[companion]);
        assert!(hint.starts_with("bind 0000:06:02.0 too"), "{hint}");
    }

    #[test]
    fn virtual_function_hint_names_force() {
        let error = HostError::VirtualFunctions {
            device: "02:00.0".parse().unwrap(),
            driver: None,
            count: 2,
            functions: Vec::new(),
        };
        assert!(host_hint(&error).unwrap().contains("--force"));
    }
}
