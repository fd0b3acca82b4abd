//! Features of the virtual host's kernel, and its programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use passthru_lab::{Guest, devices, host, run, run_guest};

use super::guest::{block_device, qemu};

/// Waits until a file exists.
#[track_caller]
fn wait_for(path: &str) {
    wait_until(
        Duration::from_secs(20),
        &format!("{path} does not appear"),
        || Path::new(path).exists(),
    );
}

#[track_caller]
fn wait_until(limit: Duration, failure: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < end, "{failure}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn kernel_has_file_systems_of_hosts_and_guests() {
    let _host = host();
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    for name in [
        "btrfs", "ext4", "fuse", "nfs", "nfs4", "nfsd", "overlay", "virtiofs",
    ] {
        assert!(
            known.split_whitespace().any(|word| word == name),
            "{name}:\n{known}"
        );
    }
}

#[test]
fn kernel_has_all_cgroup_controllers() {
    let _host = host();
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    let wanted = [
        "cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc", "dmem",
    ];
    for name in wanted {
        assert!(
            controllers.split_whitespace().any(|word| word == name),
            "{name}: {controllers}"
        );
    }

    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu").unwrap();
    let group = Path::new("/sys/fs/cgroup/made");
    fs::create_dir(group).unwrap();
    fs::write(group.join("cpu.max"), "50000 100000").unwrap();

    assert_eq!(
        fs::read_to_string(group.join("cpu.max")).unwrap().trim(),
        "50000 100000"
    );

    fs::remove_dir(group).unwrap();
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "-cpu").unwrap();
}

#[test]
fn kernel_targets_can_take_a_disk() {
    let _host = host();
    let nvmet = Path::new("/sys/kernel/config/nvmet/subsystems/made");
    fs::create_dir(nvmet).unwrap();
    let namespace = nvmet.join("namespaces/1");
    fs::create_dir(&namespace).unwrap();
    fs::write(
        namespace.join("device_path"),
        block_device(devices::NVME).as_os_str().as_encoded_bytes(),
    )
    .unwrap();
    fs::write(namespace.join("enable"), "1").unwrap();

    assert_eq!(
        fs::read_to_string(namespace.join("enable")).unwrap().trim(),
        "1"
    );
    assert!(nvmet.join("passthru").exists());

    fs::write(namespace.join("enable"), "0").unwrap();
    fs::remove_dir(namespace).unwrap();
    fs::remove_dir(nvmet).unwrap();
    for backend in ["fileio_7", "iblock_7"] {
        let core = Path::new("/sys/kernel/config/target/core").join(backend);
        fs::create_dir_all(core.join("made")).unwrap();
        fs::remove_dir(core.join("made")).unwrap();
        fs::remove_dir(core).unwrap();
    }

    for fabric in ["iscsi", "loopback"] {
        let folder = Path::new("/sys/kernel/config/target").join(fabric);
        fs::create_dir(&folder).unwrap();
        fs::remove_dir(folder).unwrap();
    }
}

#[test]
fn kernel_can_stack_disks() {
    let _host = host();
    let targets = run(Command::new("dmsetup").arg("targets"))
        .expect_success()
        .stdout;
    for target in ["linear", "crypt", "snapshot"] {
        assert!(
            targets.lines().any(|line| line.starts_with(target)),
            "{target}:\n{targets}"
        );
    }

    let md = fs::read_to_string("/proc/mdstat").unwrap();

    assert!(md.contains("[raid0]") && md.contains("[raid1]"), "{md}");

    let multipath = fs::read_to_string("/sys/module/nvme_core/parameters/multipath").unwrap();
    assert_eq!(multipath.trim(), "Y");
}

#[test]
fn tape_appears_on_request() {
    let _host = host();
    let driver = Path::new("/sys/bus/pseudo/drivers/scsi_debug");
    fs::write(driver.join("ptype"), "1").unwrap();
    fs::write(driver.join("add_host"), "1").unwrap();
    wait_for("/dev/nst0");
    fs::write(driver.join("add_host"), "-1").unwrap();
    fs::write(driver.join("ptype"), "0").unwrap();
    wait_until(Duration::from_secs(10), "/dev/nst0 stays", || {
        !Path::new("/dev/nst0").exists()
    });
}

#[test]
fn programs_of_other_tests_are_installed() {
    let _host = host();
    let programs = [
        "qemu-system-aarch64 --version",
        "qemu-system-s390x --version",
        "swtpm --version",
        "/usr/libexec/virtiofsd --version",
        "passt --version",
        "ip -Version",
        "nvme version",
        "mdadm --version",
        "lvm version",
        "dmidecode --version",
        "mkfs.btrfs --version",
        "mount.nfs4 -V",
        "iscsiadm --version",
    ];
    for line in programs {
        let mut words = line.split(' ');
        let _ = run(Command::new(words.next().unwrap()).args(words)).expect_success();
    }

    let firmware = fs::metadata("/usr/share/AAVMF/AAVMF_CODE.fd").unwrap();

    assert_eq!(firmware.len(), 64 << 20);
}

/// A helper process of a guest, killed on drop.
struct Helper(Child);

impl Helper {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn guest_has_a_tpm_a_shared_folder_and_a_keyboard() {
    let _host = host();
    let work = PathBuf::from("/tmp/guest-helpers");
    fs::create_dir_all(work.join("tpm")).unwrap();
    fs::create_dir_all(work.join("shared")).unwrap();
    fs::write(work.join("shared/word"), "from the host\n").unwrap();
    let mut tpm = Command::new("swtpm");
    tpm.args([
        "socket",
        "--tpm2",
        "--tpmstate",
        "dir=/tmp/guest-helpers/tpm",
    ]);
    tpm.args(["--ctrl", "type=unixio,path=/tmp/guest-helpers/tpm.socket"]);
    let mut files = Command::new("/usr/libexec/virtiofsd");
    files.args(["--sandbox=none", "--shared-dir=/tmp/guest-helpers/shared"]);
    files.arg("--socket-path=/tmp/guest-helpers/files.socket");
    files.stderr(File::create(work.join("virtiofsd.log")).unwrap());
    let _helpers = [Helper::start(&mut tpm), Helper::start(&mut files)];
    wait_for("/tmp/guest-helpers/tpm.socket");
    wait_for("/tmp/guest-helpers/files.socket");

    let script = "cat /sys/class/tpm/tpm0/tpm_version_major; ls /sys/bus/usb/drivers/usbhid; \
                  mount -t virtiofs shared /tmp && cat /tmp/word";
    let mut qemu = qemu(&Guest::new().run(script));
    qemu.args([
        "-chardev",
        "socket,id=tpm,path=/tmp/guest-helpers/tpm.socket",
    ]);
    qemu.args([
        "-tpmdev",
        "emulator,id=tpm0,chardev=tpm",
        "-device",
        "tpm-crb,tpmdev=tpm0",
    ]);
    qemu.args([
        "-chardev",
        "socket,id=files,path=/tmp/guest-helpers/files.socket",
    ]);
    qemu.args([
        "-object",
        "memory-backend-memfd,id=ram,size=256M,share=on",
        "-machine",
        "memory-backend=ram",
    ]);
    qemu.args(["-device", "vhost-user-fs-pci,chardev=files,tag=shared"]);
    qemu.args(["-device", "qemu-xhci", "-device", "usb-kbd"]);
    let console = run_guest(Duration::from_secs(90), &mut qemu)
        .expect_success()
        .stdout;
    let lines: Vec<_> = console.lines().map(str::trim).collect();

    assert!(lines.contains(&"2"), "no TPM 2: {console}");
    assert!(
        lines.contains(&"from the host"),
        "no shared folder: {console}"
    );
    assert!(console.contains("1-1:1.0"), "no USB keyboard: {console}");
}
