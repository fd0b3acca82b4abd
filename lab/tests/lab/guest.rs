//! A guest on QEMU alone, without `passthru`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use passthru_lab::{Guest, devices, host, run, run_guest, sum_in};

/// Longest silence of a guest's console.
const LIMIT: Duration = Duration::from_secs(90);

/// A device on vfio-pci. Drop returns it to its own driver.
pub(super) struct Bound {
    address: &'static str,
}

impl Bound {
    pub(super) fn new(address: &'static str) -> Self {
        rebind(address, "vfio-pci");
        Self { address }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        rebind(self.address, "");
    }
}

/// Moves a device to a driver. An empty name stands for the driver that the kernel chooses.
fn rebind(address: &str, driver: &str) {
    let device = Path::new("/sys/bus/pci/devices").join(address);
    fs::write(device.join("driver_override"), format!("{driver}\n")).unwrap();
    fs::write(device.join("driver/unbind"), address).unwrap();
    fs::write("/sys/bus/pci/drivers_probe", address).unwrap();
}

/// Returns a command for QEMU without assigned devices. The guest's console is standard output.
pub(super) fn qemu(guest: &Guest) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args([
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-M",
        "q35",
        "-accel",
        "kvm",
        "-cpu",
        "host",
    ]);
    qemu.args([
        "-m",
        "256",
        "-serial",
        "stdio",
        "-kernel",
        Guest::KERNEL,
        "-initrd",
        Guest::INITRD,
    ]);
    qemu.args(["-append", &guest.kernel_arguments()]);
    qemu
}

/// Returns the node of an NVMe disk's first namespace.
pub(super) fn block_device(address: &str) -> PathBuf {
    let controllers = Path::new("/sys/bus/pci/devices").join(address).join("nvme");
    let controller = fs::read_dir(controllers)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    Path::new("/dev").join(format!("{}n1", controller.to_str().unwrap()))
}

#[test]
fn host_reads_the_documented_contents_of_the_disk() {
    let _host = host();
    let sum = run(Command::new("sha256sum").arg(block_device(devices::NVME))).expect_success();
    assert!(
        sum.stdout.starts_with(devices::NVME_SHA256),
        "{}",
        sum.stdout
    );
}

#[test]
fn guest_reads_the_assigned_disk_through_iommufd() {
    let _host = host();
    let _bound = Bound::new(devices::NVME);
    let device = format!("vfio-pci,host={},iommufd=iommufd0", devices::NVME);
    let mut qemu = qemu(&Guest::new());
    qemu.args(["-object", "iommufd,id=iommufd0", "-device", &device]);
    let console = run_guest(LIMIT, &mut qemu).expect_success().stdout;

    assert_eq!(sum_in(&console), Some(devices::NVME_SHA256), "{console}");
}

#[test]
fn guest_runs_its_script() {
    let _host = host();
    let guest = Guest::new().run("echo sum is $((40 + 2)); sleep 0.5");
    let console = run_guest(LIMIT, &mut qemu(&guest)).expect_success().stdout;
    assert!(
        console.contains("sum is 42") && console.contains("passthru.run exited with 0"),
        "{console}"
    );
}
