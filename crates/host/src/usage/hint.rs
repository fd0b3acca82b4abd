//! What the user can do about uses of a device, and about what could not be looked at.

use std::collections::BTreeSet;

use super::net::TUNNELS;
use super::{NetworkPurpose, Unseen, Use};

const FORCE: &str = "`passthru bind --force` takes the device regardless";

/// Says how to end the uses of a device.
pub(crate) fn end_uses(uses: &[Use]) -> String {
    let routed: BTreeSet<&str> = uses.iter().filter_map(routed_interface).collect();
    let Some(interface) = routed.first() else {
        return format!("end these uses first; {FORCE}");
    };
    let mut others = uses.iter().filter(|used| routed_interface(used).is_none());
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
pub(crate) fn see(unseen: &[Unseen]) -> String {
    let (tunnels, others): (Vec<&Unseen>, Vec<&Unseen>) =
        unseen.iter().partition(|unseen| unseen.uses == TUNNELS);
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
fn routed_interface(used: &Use) -> Option<&str> {
    let Use::Network(used) = used else {
        return None;
    };
    match used.purpose {
        NetworkPurpose::DefaultRoute { .. }
        | NetworkPurpose::Route { .. }
        | NetworkPurpose::OnlyRoute { .. } => Some(&used.interface),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, NetworkUse};

    fn hint(uses: Vec<Use>) -> String {
        Error::InUse {
            device: "01:00.0".parse().unwrap(),
            uses,
        }
        .hint()
        .unwrap()
    }

    fn default_route(interface: &str) -> Use {
        let purpose = NetworkPurpose::DefaultRoute { table: 254 };
        Use::Network(NetworkUse {
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
        let with_console = hint(vec![default_route("eth1"), Use::Console]);
        assert!(
            with_console.starts_with("end these uses first; to free"),
            "{with_console}"
        );
        let two = hint(vec![default_route("eth1"), default_route("eth1.7")]);
        assert!(
            two.contains("remove the routes, and the others likewise; "),
            "{two}"
        );
        assert!(hint(vec![Use::Console]).starts_with("end these uses first; `passthru"));
    }

    #[test]
    fn hint_about_an_unknown_card_of_a_tunnel_names_the_tunnel() {
        let tunnel = Unseen::new(TUNNELS, "tun0", "a program carries its packets");
        let ring = Unseen::new("devices", "/proc/7", "denied");
        let hint = |unseen| {
            Error::Unseen {
                device: "01:00.0".parse().unwrap(),
                unseen,
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
