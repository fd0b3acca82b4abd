//! Uses of network interfaces: the default route, also through bonds, bridges and VLANs; the only link.

mod connection;
mod flow;
mod link;
mod namespace;
mod purpose;
mod route;
mod snapshot;
mod socket;
mod stack;
mod storage;
mod wire;
mod wireguard;

pub use purpose::{NetworkPurpose, NetworkUse};
use std::collections::BTreeSet;

use super::{Below, Usage, Use};
use crate::{Host, sysfs};

const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x200;

pub(crate) fn uses(usage: &Usage, below: &Below) -> Vec<Use> {
    let mut uses = Vec::new();
    for netdev in &below.netdevs {
        let stack = stack(&usage.host, netdev);
        uses.extend(
            usage
                .routes
                .iter()
                .filter(|route| stack.contains(*route))
                .map(|route| Use::DefaultRoute { netdev: netdev.clone(), route: route.clone() }),
        );
        if usage.links == [netdev.as_str()] {
            uses.push(Use::OnlyLink { netdev: netdev.clone() });
        }
    }
    uses
}

/// Interfaces that have a default route, IPv4 or IPv6.
pub(crate) fn default_routes(host: &Host) -> Vec<String> {
    let ipv4 = sysfs::read(host.path("proc/net/route")).unwrap_or_default();
    let ipv6 = sysfs::read(host.path("proc/net/ipv6_route")).unwrap_or_default();
    let routes: BTreeSet<&str> =
        ipv4.lines().filter_map(ipv4_default).chain(ipv6.lines().filter_map(ipv6_default)).collect();
    routes.into_iter().map(str::to_owned).collect()
}

/// Interfaces of devices (not `lo`, bridges and the like) that are up.
pub(crate) fn links_up(host: &Host) -> Vec<String> {
    let class = host.path("sys/class/net");
    let mut names = sysfs::names(&class);
    names.retain(|name| {
        let dir = class.join(name);
        dir.join("device").exists() && sysfs::read(dir.join("operstate")).as_deref() == Some("up")
    });
    names
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`
fn ipv4_default(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[netdev, "00000000", _, flags, _, _, _, "00000000", ..] = fields.as_slice() else { return None };
    is_usable(flags).then_some(netdev)
}

/// `Destination PrefixLength Source PrefixLength NextHop Metric RefCnt Use Flags Iface`
fn ipv6_default(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[destination, "00", _, _, _, _, _, _, flags, netdev] = fields.as_slice() else { return None };
    let default = destination.bytes().all(|digit| digit == b'0');
    (default && netdev != "lo" && is_usable(flags)).then_some(netdev)
}

fn is_usable(flags: &str) -> bool {
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & RTF_UP != 0 && flags & RTF_REJECT == 0)
}

/// An interface and all that are made of it.
fn stack(host: &Host, netdev: &str) -> BTreeSet<String> {
    let mut stack = BTreeSet::new();
    let mut todo = vec![netdev.to_owned()];
    while let Some(netdev) = todo.pop() {
        if stack.insert(netdev.clone()) {
            let names = sysfs::names(host.path("sys/class/net").join(netdev));
            todo.extend(names.iter().filter_map(|name| name.strip_prefix("upper_")).map(str::to_owned));
        }
    }
    stack
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    /// A NIC with eth0 below a virtio device, in bond0, in br0.
    fn bonded() -> Tree {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x020000);
        let netdev = format!("{dir}/virtio0/net/eth0");
        tree.class("net", &netdev);
        tree.file(&format!("{netdev}/operstate"), "up\n");
        tree.link(&format!("{netdev}/device"), "..");
        tree.link(&format!("{netdev}/upper_bond0"), "x");
        for (netdev, upper) in [("bond0", "upper_br0"), ("br0", "bridge")] {
            tree.class("net", &format!("sys/devices/virtual/net/{netdev}"));
            tree.link(&format!("sys/devices/virtual/net/{netdev}/{upper}"), "x");
        }
        tree
    }

    fn uses(tree: &Tree) -> Vec<Use> {
        tree.host().uses(&tree.host().devices()[0]).known
    }

    fn default_route(route: &str) -> Use {
        Use::DefaultRoute { netdev: "eth0".into(), route: route.into() }
    }

    fn only_link() -> Use {
        Use::OnlyLink { netdev: "eth0".into() }
    }

    #[test]
    fn finds_the_default_route_through_a_bridge_over_a_bond() {
        let tree = bonded();
        tree.file(
            "proc/net/route",
            format!("{HEAD}br0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"),
        );
        assert_eq!(uses(&tree), [default_route("br0"), only_link()]);
    }

    #[test]
    fn finds_an_ipv6_default_route() {
        let tree = bonded();
        let zero = "0".repeat(32);
        let line = |flags: &str, netdev: &str| {
            format!("{zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 {flags} {netdev}\n")
        };
        tree.file("proc/net/ipv6_route", line("00000003", "eth0"));
        assert_eq!(uses(&tree), [default_route("eth0"), only_link()]);
        tree.file("proc/net/ipv6_route", line("00200200", "eth0"));
        assert_eq!(uses(&tree), [only_link()]);
    }

    #[test]
    fn a_route_that_is_not_the_default_is_no_use() {
        let tree = bonded();
        let line = "eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        tree.file("proc/net/route", format!("{HEAD}{line}"));
        assert_eq!(uses(&tree), [only_link()]);
    }

    #[test]
    fn a_second_link_makes_the_first_dispensable() {
        let tree = bonded();
        let other = "sys/devices/usb/net/eth1";
        tree.class("net", other);
        tree.file(&format!("{other}/operstate"), "up\n");
        tree.file(&format!("{other}/device"), "");
        assert_eq!(uses(&tree), []);
    }
}
