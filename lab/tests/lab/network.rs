//! The networks of the virtual host: a peer at the end of a cable, and the kinds of interfaces that a host has.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use passthru_lab::{Guest, devices, host, run, run_guest};

use super::guest::{Bound, qemu};

fn ip(words: &str) {
    let _ = run(Command::new("ip").args(words.split(' '))).expect_success();
}

/// Returns the network interface of a device on its own driver.
fn interface(device: &str) -> String {
    let folder = Path::new("/sys/bus/pci/devices").join(device).join("net");
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap()
}

#[test]
fn host_reaches_the_peer_through_the_network_card() {
    let _host = host();
    let card = interface(devices::IGB);
    ip(&format!("address add {} dev {card}", devices::IGB_ADDRESS));
    ip(&format!("link set {card} up"));
    let peer = format!("{}:{}", devices::PEER, devices::PEER_PORT).parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&peer, Duration::from_secs(20)).unwrap();
    let sent: Vec<u8> = (0..100_000_u32).map(|byte| byte as u8).collect();
    let mut received = vec![0; sent.len()];
    let mut writer = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&sent).unwrap());
        stream.read_exact(&mut received).unwrap();
    });
    assert!(sent == received, "the peer sent other bytes back");
    ip(&format!("link set {card} down"));
    ip(&format!("address del {} dev {card}", devices::IGB_ADDRESS));
}

#[test]
fn guest_reaches_the_peer_through_the_assigned_card() {
    let _host = host();
    let _bound = Bound::new(devices::IGB);
    let script = format!(
        "ip link set eth0 up; ip address add {} dev eth0; sleep 3; \
         echo passed through | nc -w 20 {} {}",
        devices::IGB_ADDRESS,
        devices::PEER,
        devices::PEER_PORT
    );
    let mut qemu = qemu(&Guest::new().run(script));
    let device = format!("vfio-pci,host={},iommufd=iommufd0", devices::IGB);
    qemu.args(["-object", "iommufd,id=iommufd0", "-device", &device]);
    let console = run_guest(Duration::from_secs(90), &mut qemu).expect_success().stdout;
    assert!(console.lines().any(|line| line.trim() == "passed through"), "{console}");
}

#[test]
fn interfaces_of_each_kind_can_be_made() {
    let _host = host();
    let kinds = [
        "bridge",
        "dummy",
        "bond",
        "wireguard",
        "veth peer name peer0",
        "vxlan id 7 dev eth0 dstport 4789",
        "macvlan link eth0",
        "macvtap link eth0",
        "ipvlan link eth0",
        "vlan link eth0 id 7",
    ];
    let card = interface(devices::IGB);
    for kind in kinds {
        let words = kind.replace("eth0", &card);
        let add = match words.split_once(" link ") {
            Some((kind, parent)) => {
                let (parent, rest) = parent.split_once(' ').unwrap_or((parent, ""));
                format!("link add link {parent} name made0 type {kind} {rest}").trim_end().to_owned()
            }
            None => format!("link add made0 type {words}"),
        };
        ip(&add);
        ip("link del made0");
    }
    ip("tuntap add dev made0 mode tap");
    ip("link del made0");
    ip("rule add from 192.0.2.1 table 100");
    ip("rule del from 192.0.2.1 table 100");
}

#[test]
fn open_vswitch_has_a_datapath() {
    let _host = host();
    for words in [["add-dp", "made0"], ["del-dp", "made0"]] {
        let _ = run(Command::new("ovs-dpctl").args(words)).expect_success();
    }
}
