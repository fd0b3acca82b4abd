//! Interfaces that a card carries: tunnels, bridges, bonds, taps.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use passthru_lab::devices::{IGB, PEER};
use passthru_lab::{Finished, host, run};

use super::support::{Bench, Service, expect_free, expect_use, ip, refused};

#[test]
fn vxlan_is_carried_by_its_link_and_its_route() {
    let _host = host();
    let bench = Bench::new();
    let ends = [
        format!("remote {PEER} dstport 4789"),
        format!("group 239.1.1.1 dev {} dstport 4789", bench.card),
        "local 10.0.3.15 dstport 4789".to_owned(),
    ];
    for end in ends {
        ip(&format!("link add made0 type vxlan id 7 {end}"));
        ip("link set made0 up");
        expect_use(&format!("the tunnel made0, carried by {}", bench.card));
        ip("link del made0");
        expect_free(IGB);
    }

    ip("link add made0 type vxlan id 7 dstport 4789");
    ip("link set made0 up");
    expect_free(IGB);
    let entry = [
        "fdb",
        "append",
        "00:00:00:00:00:00",
        "dev",
        "made0",
        "dst",
        PEER,
    ];
    let _ = run(Command::new("bridge").args(entry)).expect_success();
    expect_use(&format!("the tunnel made0, carried by {}", bench.card));
}

#[test]
fn vxlan_with_an_end_per_packet_makes_the_card_unknown() {
    let _host = host();
    let _bench = Bench::new();
    ip("link add made0 type vxlan external dstport 4789");
    expect_free(IGB);
    ip("link set made0 up");
    expect_use("made0: each packet brings its remote end");
}

#[test]
fn wireguard_is_carried_by_the_route_to_its_peer() {
    let _host = host();
    let bench = Bench::new();
    ip("link add made0 type wireguard");
    ip("link set made0 up");
    expect_free(IGB);
    let key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    let end = format!("{PEER}:51820");
    let words = [
        "set",
        "made0",
        "peer",
        key,
        "allowed-ips",
        "0.0.0.0/0",
        "endpoint",
        &end,
    ];
    let _ = run(Command::new("wg").args(words)).expect_success();
    expect_use(&format!("the tunnel made0, carried by {}", bench.card));
    ip("route add 0.0.0.0/1 dev made0");
    expect_use(&format!(
        "the route to 0.0.0.0/1 over made0, carried by {}",
        bench.card
    ));
}

#[test]
fn wireguard_moved_to_a_namespace_is_carried_here() {
    let _host = host();
    let bench = Bench::new();
    ip("netns add far");
    ip("link add made0 type wireguard");
    let key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    let end = format!("{PEER}:51820");
    let _ = run(Command::new("wg").args(["set", "made0", "peer", key, "endpoint", &end]))
        .expect_success();
    ip("link set made0 netns far");
    expect_use(&format!(
        "made0 in network namespace far, carried by {}",
        bench.card
    ));
}

/// Program that opens a PPPoE session over an interface, by the calls of pppd, and keeps it.
const PPPOE: &str = r#"
    socket(my $session, 24, 1, 0) or die "socket: $!";
    my $peer = pack("S L n a6 a16", 24, 0, 1, "\x52\x54\0\0\0\1", $ARGV[0]);
    connect($session, $peer) or die "connect: $!";
    my ($channel, $unit) = (pack("i", 0), pack("i", -1));
    ioctl($session, 0x80047437, $channel) or die "PPPIOCGCHAN: $!";
    open(my $link, "+<", "/dev/ppp") or die "/dev/ppp: $!";
    ioctl($link, 0x40047438, $channel) or die "PPPIOCATTCHAN: $!";
    open(my $interface, "+<", "/dev/ppp") or die "/dev/ppp: $!";
    ioctl($interface, 0xc004743e, $unit) or die "PPPIOCNEWUNIT: $!";
    ioctl($link, 0x4004743a, $unit) or die "PPPIOCCONNECT: $!";
    $| = 1; print "ready\n"; sleep 60;
"#;

#[test]
fn pppoe_is_carried_by_the_card_of_its_session() {
    let _host = host();
    let bench = Bench::new();
    let mut command = Command::new("perl");
    let mut session = command
        .args(["-e", PPPOE, &bench.card])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(session.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let _session = Service(session);

    assert_eq!(line, "ready\n");

    expect_free(IGB);
    ip("address add 192.0.2.1 peer 192.0.2.2 dev ppp0");
    ip("link set ppp0 up");
    ip("route add 0.0.0.0/1 dev ppp0");
    expect_use(&format!(
        "the route to 0.0.0.0/1 over ppp0, carried by {}",
        bench.card
    ));
}

#[test]
fn tun_with_the_default_route_makes_the_card_unknown() {
    let _host = host();
    let _bench = Bench::new();
    ip("tuntap add dev made0 mode tun");
    ip("link set made0 up");
    expect_free(IGB);
    ip("route add 0.0.0.0/1 dev made0");
    expect_use("made0: a program carries its packets");
}

#[test]
fn bridge_with_a_tap_is_used() {
    let _host = host();
    let bench = Bench::new();
    ip("link add br0 type bridge");
    bench.ip("link set CARD master br0");
    ip("tuntap add dev made0 mode tap");
    expect_free(IGB);
    ip("link set made0 master br0");
    expect_use(&format!("br0, which joins {} with made0", bench.card));
    ip("link set br0 up");
    ip("route add 0.0.0.0/1 dev br0");
    expect_use(&format!(
        "the route to 0.0.0.0/1 over br0, carried by {}",
        bench.card
    ));
}

#[test]
fn route_over_a_vlan_of_a_bond_is_used() {
    let _host = host();
    let bench = Bench::new();
    bench.ip("link set CARD down");
    ip("link add bond0 type bond mode active-backup");
    bench.ip("link set CARD master bond0");
    ip("link add link bond0 name made0 type vlan id 7");
    ip("link set bond0 up");
    ip("link set made0 up");
    expect_free(IGB);
    ip("route add 0.0.0.0/1 dev made0");
    expect_use(&format!(
        "the route to 0.0.0.0/1 over made0, carried by {}",
        bench.card
    ));
}

#[test]
fn macvtap_of_a_guest_is_used() {
    let _host = host();
    let bench = Bench::new();
    bench.ip("link add link CARD name made0 type macvtap mode bridge");
    expect_free(IGB);
    ip("link set made0 up");
    expect_use(&format!("the tap made0, carried by {}", bench.card));
}

fn run_dpctl(words: &[&str]) -> Finished {
    run(Command::new("ovs-dpctl").args(words))
}

#[test]
fn port_of_open_vswitch_is_used() {
    let _host = host();
    let bench = Bench::new();
    ip("tuntap add dev made1 mode tap");
    let _ = run_dpctl(&["add-dp", "made0"]).expect_success();
    let said = run_dpctl(&["add-if", "made0", &bench.card])
        .status
        .success()
        .then(|| {
            ip("link set made0 up");
            ip("route add 0.0.0.0/1 dev made0");
            let routed = refused(IGB);
            ip("route del 0.0.0.0/1 dev made0");
            let _ = run_dpctl(&["add-if", "made0", "made1"]).expect_success();
            [routed, refused(IGB)]
        });
    let _ = run_dpctl(&["del-dp", "made0"]).expect_success();
    let [routed, joined] = said.unwrap();
    let over = format!(
        "the route to 0.0.0.0/1 over made0, carried by {}",
        bench.card
    );

    assert!(routed.contains(&over), "{routed}");
    assert!(
        joined.contains(&format!("made0, which joins {} with made1", bench.card)),
        "{joined}"
    );
}
