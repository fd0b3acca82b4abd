//! Tests of devices whose holder is killed. They run on the virtual host only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use passthru_host::{
    Claim, DriverStep, Error, FormerState, HeldDisks, Host, LeftoverState, Request, StepState,
    Usage, Uuid,
};
use passthru_lab::devices::NVME;
use passthru_pci::Address;

fn nvme() -> Address {
    NVME.parse().unwrap()
}

fn driver() -> Option<String> {
    Host::new().device(nvme()).unwrap().driver
}

/// Environment variable that makes a test keep the device until its process is killed.
const KEEP: &str = "PASSTHRU_TEST_KEEP";

#[test]
fn assigned_device_goes_back() {
    let _host = passthru_lab::host();
    let assignment = Host::new()
        .assign(&[Request::managed(nvme())], Some("victim"), false)
        .unwrap();
    assert_eq!(driver().as_deref(), Some("vfio-pci"));

    println!("taken");
    if env::var_os(KEEP).is_some() {
        std::thread::sleep(Duration::from_secs(60));
    }
    assignment.give_back().unwrap();
    assert_eq!(driver().as_deref(), Some("nvme"));
}

/// Starts a process that has the device until it is killed.
fn spawn_holder() -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "assigned_device_goes_back", "--nocapture"])
        .env(KEEP, "1");
    let mut holder = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().ends_with("taken")),
        "the holder failed"
    );
    holder
}

#[test]
fn second_assignment_fails_with_the_owner() {
    let _host = passthru_lab::host();
    let mut holder = spawn_holder();
    let error = Host::new()
        .assign(&[Request::managed(nvme())], Some("second"), true)
        .unwrap_err();
    let Error::Claimed { owner, .. } = &error else {
        panic!("{error}")
    };

    assert_eq!(owner.guest.as_deref(), Some("victim"));
    assert_eq!(owner.pid, holder.id());

    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(
        Host::new().release(&[nvme()], false).unwrap(),
        [Some("nvme".to_owned())]
    );
}

#[test]
fn record_of_a_killed_holder_is_used_by_the_next_one() {
    let _host = passthru_lab::host();
    let mut holder = spawn_holder();
    assert_eq!(Host::new().leftovers().unwrap(), []);

    holder.kill().unwrap();
    holder.wait().unwrap();

    let left = Host::new().leftovers().unwrap().remove(0);
    assert_eq!(left.device, nvme());
    assert_eq!(left.guest.as_deref(), Some("victim"));
    assert_eq!(left.state, LeftoverState::Bound);

    let record = Host::new().record(nvme()).unwrap().unwrap();
    assert_eq!(
        record.former,
        FormerState {
            driver: Some("nvme".into()),
            driver_override: None
        }
    );
    // The serial number was recorded while the device was on its host driver.
    assert!(record.identity.unwrap().nvme_serial.is_some());
    assert_eq!(driver().as_deref(), Some("vfio-pci"));

    let next = Host::new()
        .assign(&[Request::managed(nvme())], Some("next"), false)
        .unwrap();
    assert_eq!(Host::new().leftovers().unwrap(), []);

    next.give_back().unwrap();
    assert_eq!(driver().as_deref(), Some("nvme"));
    assert_eq!(Host::new().record(nvme()).unwrap(), None);
}

fn write(file: &str, text: &str) {
    std::fs::write(format!("/sys/bus/pci/{file}"), text).unwrap();
}

#[test]
fn device_moved_by_the_host_is_not_moved_back() {
    let _host = passthru_lab::host();
    Host::new()
        .assign(&[Request::managed(nvme())], None, false)
        .unwrap()
        .keep();
    // The host reserves the device, as an administrator would.
    write(&format!("devices/{NVME}/driver_override"), "pci-stub");
    write("drivers/vfio-pci/unbind", NVME);
    let left = Host::new().leftovers().unwrap().remove(0);

    assert_eq!(left.state, LeftoverState::DriverChanged);
    assert_eq!(Host::new().release(&[nvme()], false).unwrap(), [None]);
    assert_eq!(Host::new().record(nvme()).unwrap(), None);

    write(&format!("devices/{NVME}/driver_override"), "\n");
    write("drivers_probe", NVME);
    assert_eq!(driver().as_deref(), Some("nvme"));
}

#[test]
fn device_removed_and_rescanned_keeps_its_record() {
    let _host = passthru_lab::host();
    let request = [Request::managed(nvme())];
    let assignment = Host::new()
        .assign(&request, Some("unplugged"), false)
        .unwrap();
    std::fs::write(format!("/sys/bus/pci/devices/{NVME}/remove"), "1").unwrap();
    let errors = assignment.give_back().unwrap_err();

    assert!(matches!(errors[..], [Error::Absent { .. }]), "{errors:?}");
    assert!(Host::new().record(nvme()).unwrap().is_some());

    std::fs::write("/sys/bus/pci/rescan", "1").unwrap();
    // The driver binds some time after the rescan.
    let end = Instant::now() + Duration::from_secs(10);
    while driver().as_deref() != Some("nvme") {
        assert!(Instant::now() < end, "no driver takes the device");
        std::thread::sleep(Duration::from_millis(20));
    }

    assert_eq!(
        Host::new().release(&[nvme()], false).unwrap(),
        [Some("nvme".to_owned())]
    );
    assert_eq!(Host::new().record(nvme()).unwrap(), None);
}

#[test]
fn dropped_assignment_gives_its_devices_back() {
    let _host = passthru_lab::host();
    let assignment = Host::new()
        .assign(&[Request::managed(nvme())], Some("guest"), false)
        .unwrap();
    let device = assignment.devices().remove(0);
    assert!(
        Host::new()
            .cdev_path(device.cdev.as_deref().unwrap())
            .exists()
    );

    drop(assignment);
    assert_eq!(driver().as_deref(), Some("nvme"));
}

#[test]
fn lab_has_all_capabilities_for_iommufd() {
    let _host = passthru_lab::host();
    Host::new().require_iommufd().unwrap();
}

/// Reads the driver and `driver_override`, and whether there is a record.
fn state() -> (Option<String>, Option<String>, bool) {
    let device = Host::new().device(nvme()).unwrap();
    let is_recorded = Host::new().record(nvme()).unwrap().is_some();
    (device.driver, device.driver_override, is_recorded)
}

/// Performs steps, and checks that each is observed before and after.
fn perform(claim: &Claim, steps: &[DriverStep]) {
    let host = Host::new();
    for step in steps {
        let before = host.observe_step(nvme(), step);
        assert_eq!(before, StepState::NotApplied, "{step}");
        claim.perform(step, HeldDisks::default()).unwrap();
        assert_eq!(
            host.observe_step(nvme(), step),
            StepState::Applied,
            "{step}"
        );
    }
}

#[test]
fn bind_cut_after_each_step_is_undone() {
    let _host = passthru_lab::host();
    let host = Host::new();
    host.load_driver("vfio-pci").unwrap();
    let before = state();
    let claim = host.claim(nvme(), Some("guest")).unwrap();
    let steps = claim.steps_to("vfio-pci").unwrap();

    assert_eq!(steps.len(), 4, "{steps:?}");

    for end in 1..=steps.len() {
        perform(&claim, &steps[..end]);
        claim.check_return().unwrap();
        let back = claim.steps_back().unwrap();
        // The way back may be cut short as well.
        for step in &back {
            perform(&claim, std::slice::from_ref(step));
            let rest = claim.steps_back().unwrap();
            assert!(rest.len() < back.len(), "{rest:?}");
        }
        assert_eq!(state(), before, "{back:?}");
    }
}

#[test]
fn probe_finds_the_driver_of_the_kernel() {
    let _host = passthru_lab::host();
    let host = Host::new();
    host.load_driver("vfio-pci").unwrap();
    let before = state();
    let claim = host.claim(nvme(), None).unwrap();
    // Another program has bound the device, and there is no record.
    let steps = claim.steps_to("vfio-pci").unwrap();
    perform(&claim, &steps);
    perform(&claim, &[DriverStep::RemoveRecord]);
    let back = claim.steps_back().unwrap();

    assert!(back.contains(&DriverStep::Probe), "{back:?}");

    perform(&claim, &back);
    assert_eq!(state(), before);
}

#[test]
fn device_of_a_living_vmm_outlives_its_manager() {
    let _host = passthru_lab::host();
    let host = Host::new();
    let mut vmm = Command::new("sleep").arg("60").spawn().unwrap();
    let process = host.process(vmm.id()).unwrap();
    let assignment = host
        .assign(&[Request::managed(nvme())], Some("guest"), false)
        .unwrap();
    assignment.keep();
    let claim = host.claim(nvme(), Some("guest")).unwrap();
    claim.hand_over(&process).unwrap();
    drop(claim);

    let error = host.release(&[nvme()], true).unwrap_err();

    assert!(matches!(error, Error::HeldByVmm { .. }), "{error}");

    let again = host.claim_again(nvme(), "guest", &process).unwrap();
    drop(again);

    vmm.kill().unwrap();
    vmm.wait().unwrap();
    let drivers = host.release(&[nvme()], false).unwrap();
    assert_eq!(drivers, [Some("nvme".to_owned())]);
    assert_eq!(host.record(nvme()).unwrap(), None);
}

#[test]
fn mtty_is_claimed_once() {
    let _host = passthru_lab::host();
    let host = Host::new();
    let uuid: Uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse().unwrap();
    let kind = "/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1";
    std::fs::write(format!("{kind}/create"), uuid.to_string()).unwrap();
    let device = host.mediated_device(uuid).unwrap();
    let node = host.cdev_path(device.cdev.as_deref().unwrap());

    assert_eq!(device.parent.as_deref(), Some("mtty"));
    assert_eq!(device.mdev_type.as_deref(), Some("mtty-1"));
    assert_eq!(device.device_api.as_deref(), Some("vfio-pci"));
    assert!(
        device.driver.is_some() && device.group.is_some(),
        "{device:?}"
    );
    assert_eq!(host.mediated_devices(), std::slice::from_ref(&device));

    let claim = host.claim_mediated(uuid, "guest").unwrap();
    let error = host.claim_mediated(uuid, "other").unwrap_err();
    assert!(matches!(error, Error::Claimed { .. }), "{error}");
    assert!(claim.holders(&device).usages.is_empty());

    let file = std::fs::File::open(&node).unwrap();
    let holders = claim.holders(&device).usages;
    let own = std::process::id();
    assert!(
        matches!(holders[..], [Usage::Process { pid, .. }] if pid == own),
        "{holders:?}"
    );

    drop(file);
    drop(claim);
    let removal = format!("/sys/bus/mdev/devices/{uuid}/remove");
    std::fs::write(removal, "1").unwrap();
    assert!(host.mediated_devices().is_empty());
}
