//! Networks of the virtual host: a peer on the card's network, and all kinds of interfaces.

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

/// Returns the name of the network interface of a device. The device must be on its own driver.
fn interface(device: &str) -> String {
    let folder = Path::new("/sys/bus/pci/devices").join(device).join("net");
    fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name()
        .into_string()
        .unwrap()
}

#[test]
fn host_reaches_the_peer_through_the_network_card() {
    let _host = host();
    let card = interface(devices::IGB);
    ip(&format!("address add {} dev {card}", devices::IGB_ADDRESS));
    ip(&format!("link set {card} up"));
    let peer = format!("{}:{}", devices::PEER, devices::PEER_PORT)
        .parse()
        .unwrap();
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
    let console = run_guest(Duration::from_secs(90), &mut qemu)
        .expect_success()
        .stdout;

    assert!(
        console.lines().any(|line| line.trim() == "passed through"),
        "{console}"
    );
}

#[test]
fn interfaces_of_each_kind_can_be_made() {
    let _host = host();
    let card = interface(devices::IGB);
    let links = [
        "made0 type bridge".to_owned(),
        "made0 type dummy".to_owned(),
        "made0 type bond".to_owned(),
        "made0 type wireguard".to_owned(),
        "made0 type veth peer name peer0".to_owned(),
        format!("made0 type vxlan id 7 dev {card} dstport 4789"),
        format!("link {card} name made0 type macvlan"),
        format!("link {card} name made0 type macvtap"),
        format!("link {card} name made0 type ipvlan"),
        format!("link {card} name made0 type vlan id 7"),
    ];
    for link in links {
        ip(&format!("link add {link}"));
        ip("link del made0");
    }

    ip("tuntap add dev made0 mode tap");
    ip("link del made0");
    ip("rule add from 192.0.2.1 table 100");
    ip("rule del from 192.0.2.1 table 100");
}

#[test]
fn open_vswitch_datapath_can_be_made() {
    let _host = host();
    for words in [["add-dp", "made0"], ["del-dp", "made0"]] {
        let _ = run(Command::new("ovs-dpctl").args(words)).expect_success();
    }
}
