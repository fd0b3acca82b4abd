//! Cards in other namespaces, and peers that are needed: storage, SSH.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use passthru_lab::devices::{IGB, PEER};
use passthru_lab::{Finished, host, run};

use super::support::{
    Bench, FAR, Service, bind, connect, expect_free, expect_use, in_far, interface, ip, refused,
    wait_for_interface,
};

#[test]
fn card_in_another_namespace_is_used_there() {
    let _host = host();
    let bench = Bench::new();
    ip("netns add far");
    bench.ip("link set CARD netns far");

    assert_eq!(interface(IGB), None);

    let said = refused(IGB);
    ip("netns del far"); // a card comes back to the first namespace
    assert!(
        said.contains(&format!("{} in network namespace far", bench.card)),
        "{said}"
    );

    wait_for_interface(IGB);
}

#[test]
fn virtual_function_of_a_container_is_used_there() {
    let _host = host();
    let _bench = Bench::new();
    let function = "0000:02:10.0";
    let count = Path::new("/sys/bus/pci/devices")
        .join(IGB)
        .join("sriov_numvfs");
    fs::write(&count, "1").unwrap();
    wait_for_interface(function);
    expect_free(function);
    let name = interface(function).unwrap();
    // A namespace without a name in the file system, with a process in it.
    let mut container = Command::new("unshare")
        .args(["--net", "sleep", "100"])
        .spawn()
        .unwrap();
    let pid = container.id();
    while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() != "sleep\n" {
        std::thread::sleep(Duration::from_millis(10));
    }
    ip(&format!("link set {name} netns {pid}"));
    let said = refused(function);
    container.kill().unwrap();
    container.wait().unwrap();
    fs::write(&count, "0").unwrap();
    let there = format!("{name} in the network namespace of sleep (pid {pid})");

    assert!(said.contains(&there), "{said}");
}

#[test]
fn macvlan_of_a_container_is_carried_by_its_card() {
    let _host = host();
    let bench = Bench::new();
    bench.far();
    expect_use(&format!(
        "far0 in network namespace far, carried by {}",
        bench.card
    ));
}

#[test]
fn connection_of_storage_is_used() {
    let _host = host();
    let bench = Bench::new();
    bench.far();
    for (port, protocol) in [
        (2049, "NFS"),
        (3260, "iSCSI"),
        (4420, "NVMe over TCP"),
        (3300, "Ceph"),
    ] {
        let _server = Service::start(&format!("exec socat TCP-LISTEN:{port},reuseaddr EXEC:cat"));
        let _stream = connect(&format!("{FAR}:{port}"));
        let expected = format!(
            "{protocol} with {FAR} over near0, carried by {}",
            bench.card
        );
        expect_use(&expected);
    }
}

fn run_nvme(words: &[&str]) -> Finished {
    run(Command::new("nvme").args(words))
}

#[test]
fn controller_of_nvme_over_tcp_is_used() {
    let _host = host();
    let bench = Bench::new();
    bench.far();
    let subsystem = "/sys/kernel/config/nvmet/subsystems/made";
    let port = "/sys/kernel/config/nvmet/ports/77";
    fs::create_dir(subsystem).unwrap();
    fs::write(format!("{subsystem}/attr_allow_any_host"), "1").unwrap();
    fs::create_dir(port).unwrap();
    let fields = [
        ("trtype", "tcp"),
        ("adrfam", "ipv4"),
        ("traddr", FAR),
        ("trsvcid", "7777"),
    ];
    for (field, value) in fields {
        fs::write(format!("{port}/addr_{field}"), value).unwrap();
    }
    let _ = in_far(&format!("ln -s {subsystem} {port}/subsystems/made")).expect_success();
    let connected = run_nvme(&[
        "connect", "-t", "tcp", "-a", FAR, "-s", "7777", "-n", "made",
    ]);
    let said = run(&mut bind(IGB)).stderr;
    let _ = run_nvme(&["disconnect", "-n", "made"]);
    fs::remove_file(format!("{port}/subsystems/made")).unwrap();
    fs::remove_dir(port).unwrap();
    fs::remove_dir(subsystem).unwrap();
    let _ = connected.expect_success();
    // The port is not a well-known one; sysfs shows the controller.
    let expected = format!(
        "NVMe over TCP with {FAR} over near0, carried by {}",
        bench.card
    );

    assert!(said.contains(&expected), "{said}");
}

#[test]
fn ssh_session_is_used_by_its_socket_and_as_a_parameter() {
    let _host = host();
    let bench = Bench::new();
    let mut command = bind(IGB);
    let finished = run(command.env("SSH_CONNECTION", format!("{PEER} 50000 10.0.3.15 22")));

    assert_eq!(finished.status.code(), Some(4), "{finished}");

    let session = format!("the SSH session of {PEER} over {}", bench.card);
    assert!(finished.stderr.contains(&session), "{finished}");

    bench.far();
    let server = TcpListener::bind("0.0.0.0:22").unwrap();
    let script = "exec socat TCP:10.0.3.15:22,retry=20,interval=0.5 EXEC:cat";
    let _client = Service::start(script);
    let (_stream, client) = server.accept().unwrap();
    assert_eq!(client.ip().to_string(), FAR);

    expect_use(&format!(
        "the SSH session of {FAR} over near0, carried by {}",
        bench.card
    ));
}

#[test]
fn address_of_the_ssh_server_is_used() {
    let _host = host();
    let bench = Bench::new();
    let server = TcpListener::bind("10.0.3.15:22").unwrap();
    expect_use(&format!(
        "the SSH server's address 10.0.3.15 on {}",
        bench.card
    ));
    drop(server);
    expect_free(IGB);
}

#[test]
fn card_is_not_free_as_seen_from_a_container() {
    let _host = host();
    let _bench = Bench::new();
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--pid",
        "--mount-proc",
        "--fork",
        "passthru",
        "bind",
        "--dry-run",
        IGB,
    ]);
    let finished = run(&mut command);

    assert_eq!(finished.status.code(), Some(4), "{finished}");
    assert!(
        finished
            .stderr
            .contains("uses of network interfaces cannot be seen"),
        "{finished}"
    );
}
