//! What the user can do about uses of a device, and about what could not be looked at.

use std::collections::BTreeSet;

use super::net::TUNNELS;
use super::{BlindSpot, NetworkPurpose, Usage};

const FORCE: &str = "`passthru bind --force` takes the device regardless";

/// Says how to end the uses of a device.
pub(crate) fn end_uses(usages: &[Usage]) -> String {
    let routed: BTreeSet<&str> = usages.iter().filter_map(routed_interface).collect();
    let Some(interface) = routed.first() else {
        return format!("end these uses first; {FORCE}");
    };
    let mut others = usages
        .iter()
        .filter(|usage| routed_interface(usage).is_none());
    let first = if others.next().is_some() {
        "end these uses first; "
    } else {
        ""
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

/// Says how to see what could not be looked at, or how to do without.
pub(crate) fn see(blind_spots: &[BlindSpot]) -> String {
    let (tunnels, others): (Vec<&BlindSpot>, Vec<&BlindSpot>) =
        blind_spots.iter().partition(|spot| spot.usages == TUNNELS);
    let mut hints = Vec::new();
    if !others.is_empty() {
        hints.push("run it as root on the host itself, outside of any container".to_owned());
    }
    if let Some(tunnel) = tunnels.first() {
        hints.push(format!(
            "it is not known which card carries {}: end the tunnel, or, if another card carries it, take \
             the interface of this device down, so that no route leads over it",
            tunnel.place
        ));
    }
    hints.push("with `--force`, `bind` and `unbind` go on regardless".to_owned());
    hints.join("; ")
}

/// Returns the interface of a use that is a route.
fn routed_interface(usage: &Usage) -> Option<&str> {
    let Usage::Network(usage) = usage else {
        return None;
    };
    match usage.purpose {
        NetworkPurpose::DefaultRoute { .. }
        | NetworkPurpose::Route { .. }
        | NetworkPurpose::OnlyRoute { .. } => Some(&usage.interface),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, NetworkUsage};

    fn hint(usages: Vec<Usage>) -> String {
        Error::InUse {
            device: "01:00.0".parse().unwrap(),
            usages,
        }
        .hint()
        .unwrap()
    }

    fn default_route(interface: &str) -> Usage {
        let purpose = NetworkPurpose::DefaultRoute { table: 254 };
        Usage::Network(NetworkUsage {
            netdev: "eth1".into(),
            interface: interface.into(),
            purpose,
            more: 0,
        })
    }

    #[test]
    fn hint_about_a_route_names_what_frees_the_card() {
        let expected = "to free it of routes, take eth1 down (`ip link set eth1 down`, or `nmcli device \
                        disconnect eth1`) or remove the routes; `passthru bind --force` takes the device \
                        regardless";
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
    fn hint_about_an_unknown_card_of_a_tunnel_names_the_tunnel() {
        let tunnel = BlindSpot::new(TUNNELS, "tun0", "a program carries its packets");
        let ring = BlindSpot::new("devices", "/proc/7", "denied");
        let hint = |blind_spots| {
            Error::UsageUnknown {
                device: "01:00.0".parse().unwrap(),
                blind_spots,
            }
            .hint()
            .unwrap()
        };
        let only = hint(vec![tunnel.clone()]);
        assert!(
            only.starts_with("it is not known which card carries tun0: end the tunnel, or"),
            "{only}"
        );
        assert!(
            !only.contains("as root") && only.contains("--force"),
            "{only}"
        );
        let both = hint(vec![tunnel, ring]);
        assert!(both.contains("as root") && both.contains("tun0"), "{both}");
    }
}
