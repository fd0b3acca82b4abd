//! What happens to a device whose `passthru` is killed. On the virtual host only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use passthru_host::{Error, Former, Host, Request};
use passthru_lab::devices::NVME;
use passthru_pci::Address;

fn nvme() -> Address {
    NVME.parse().unwrap()
}

fn driver() -> Option<String> {
    Host::new().device(nvme()).unwrap().driver
}

/// With this set, the test below keeps the device until it is killed.
const KEEP: &str = "PASSTHRU_TEST_KEEP";

#[test]
fn a_device_that_was_taken_goes_back() {
    let _host = passthru_lab::host();
    let assignment = Host::new().assign(&[Request::managed(nvme())], Some("victim"), false).unwrap();
    assert_eq!(driver().as_deref(), Some("vfio-pci"));
    println!("taken");
    if env::var_os(KEEP).is_some() {
        std::thread::sleep(Duration::from_secs(60));
    }
    assignment.give_back().unwrap();
    assert_eq!(driver().as_deref(), Some("nvme"));
}

/// A process that has the device, to be killed.
fn spawn_holder() -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "a_device_that_was_taken_goes_back", "--nocapture"]).env(KEEP, "1");
    let mut holder = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("taken")), "the holder failed");
    holder
}

#[test]
fn a_second_taker_learns_who_has_the_device() {
    let _host = passthru_lab::host();
    let mut holder = spawn_holder();
    let error = Host::new().assign(&[Request::managed(nvme())], Some("second"), true).unwrap_err();
    let Error::Claimed { owner, .. } = &error else { panic!("{error}") };
    assert_eq!((owner.guest.as_deref(), owner.pid), (Some("victim"), holder.id()));
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(Host::new().release(&[nvme()], false).unwrap(), [Some("nvme".to_owned())]);
}

#[test]
fn the_record_survives_the_killed_holder_and_the_next_one_gives_back() {
    let _host = passthru_lab::host();
    let mut holder = spawn_holder();
    assert_eq!(Host::new().stale().unwrap(), []);
    holder.kill().unwrap();
    holder.wait().unwrap();

    let stale = Host::new().stale().unwrap();
    let former = Former { driver: Some("nvme".into()), driver_override: None };
    assert_eq!(
        stale.iter().map(|record| (record.device, &record.former)).collect::<Vec<_>>(),
        [(nvme(), &former)]
    );
    assert_eq!(driver().as_deref(), Some("vfio-pci"));

    let next = Host::new().assign(&[Request::managed(nvme())], Some("next"), false).unwrap();
    assert_eq!(Host::new().stale().unwrap(), []);
    next.give_back().unwrap();
    assert_eq!(driver().as_deref(), Some("nvme"));
    assert_eq!(Host::new().record(nvme()).unwrap(), None);
}

#[test]
fn devices_go_back_when_the_assignment_is_dropped() {
    let _host = passthru_lab::host();
    let assignment = Host::new().assign(&[Request::managed(nvme())], Some("guest"), false).unwrap();
    let device = assignment.devices().remove(0);
    assert!(Host::new().cdev_path(device.cdev.as_deref().unwrap()).exists());
    drop(assignment);
    assert_eq!(driver().as_deref(), Some("nvme"));
}

#[test]
fn the_lab_has_all_that_iommufd_needs() {
    let _host = passthru_lab::host();
    Host::new().require_iommufd().unwrap();
}
