//! Routes by which the host needs a card.

use std::fs;

use passthru_lab::devices::{IGB, PEER, UPLINK};
use passthru_lab::{host, run};

use super::support::{Bench, bind, expect_free, expect_use, interface, ip, try_ip};

#[test]
fn second_card_with_an_address_is_free() {
    let _host = host();
    let bench = Bench::new();
    expect_free(IGB);
    bench.ip("link set CARD down");
    expect_free(IGB);
}

#[test]
fn default_route_of_another_table_counts_with_its_rule() {
    let _host = host();
    let bench = Bench::new();
    bench.ip(&format!("route add default via {PEER} dev CARD table 100"));
    expect_free(IGB);
    ip("rule add from 10.0.3.15 table 100");
    expect_use(&format!(
        "the default route of table 100 over {}",
        bench.card
    ));
}

#[test]
fn each_next_hop_of_a_multipath_route_is_used() {
    let _host = host();
    let bench = Bench::new();
    let uplink = interface(UPLINK).unwrap();
    let ways = format!("nexthop via {PEER} dev CARD nexthop via 10.0.2.2 dev {uplink}");
    bench.ip(&format!("route add 198.51.100.0/24 {ways}"));
    expect_use(&format!("the route to 198.51.100.0/24 over {}", bench.card));
    ip("route del 198.51.100.0/24");
    expect_free(IGB);
}

#[test]
fn next_hop_objects_are_followed() {
    let _host = host();
    let bench = Bench::new();
    bench.ip(&format!("nexthop add id 1 via {PEER} dev CARD"));
    ip("nexthop add id 10 group 1");
    ip("route add 198.51.100.0/24 nhid 10");
    for compatible in ["1", "0"] {
        fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", compatible).unwrap();
        expect_use(&format!("the route to 198.51.100.0/24 over {}", bench.card));
    }

    fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", "1").unwrap();
}

#[test]
fn halves_of_a_default_route_are_used() {
    let _host = host();
    let bench = Bench::new();
    bench.ip("-6 address add 2001:db8:3::15/64 dev CARD nodad");
    let halves = [
        ("0.0.0.0/1", "-4"),
        ("128.0.0.0/1", "-4"),
        ("::/1", "-6"),
        ("8000::/1", "-6"),
    ];
    for (half, family) in halves {
        expect_free(IGB);
        bench.ip(&format!("{family} route add {half} dev CARD"));
        expect_use(&format!("the route to {half} over {}", bench.card));
        bench.ip(&format!("{family} route del {half} dev CARD"));
    }
}

#[test]
fn route_to_a_router_of_a_management_network_is_used() {
    let _host = host();
    let bench = Bench::new();
    bench.ip(&format!("route add 198.51.100.0/24 via {PEER} dev CARD"));
    expect_use(&format!("the route to 198.51.100.0/24 over {}", bench.card));
}

#[test]
fn only_route_of_a_host_without_a_default_route_is_used() {
    let _host = host();
    let bench = Bench::new();
    ip("route del default via 10.0.2.2");
    let _ = try_ip("-6 route del default");
    let said = run(&mut bind(IGB)).stderr;
    ip("route add default via 10.0.2.2");
    let only = format!(
        "the route to 10.0.3.0/24 over {}, on a host without a default",
        bench.card
    );

    assert!(said.contains(&only), "{said}");
}
