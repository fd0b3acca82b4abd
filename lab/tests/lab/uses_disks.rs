//! Disks that something on the host uses, object by object: `bind` refuses each, and `list` names
//! it.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use passthru_lab::devices::{CMB_NVME, MULTIPATH_NVME};
use passthru_lab::{Finished, host, run};

use crate::host::{GiveBack, O_EXCL, disk, driver, names, passthru, refused, sysfs};

/// Runs a script with `$DISK` set.
#[track_caller]
fn sh(script: &str) -> String {
    run(Command::new("sh")
        .args(["-ec", script])
        .env("DISK", disk(CMB_NVME)))
    .expect_success()
    .stdout
}

/// Undoes what a test set up, however it ends.
struct Undo(&'static str);

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = run(Command::new("sh")
            .args(["-c", self.0])
            .env("DISK", disk(CMB_NVME)));
    }
}

/// A process that has a disk in some way, and has said that it is ready.
struct Holder(Child);

impl Holder {
    #[track_caller]
    fn start(disk: &Path, script: &str) -> Self {
        let mut command = Command::new("sh");
        let command = command
            .args(["-ec", script])
            .env("DISK", disk)
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let holder = Self(child);
        assert_eq!(line, "ready\n");
        holder
    }

    fn pid(&self) -> String {
        format!("(pid {}", self.0.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Expects that a disk is refused for a use, that `list` shows the use, and that nothing was
/// changed.
#[track_caller]
fn expect_used(device: &str, text: &str) {
    let said = refused(&["bind", device]);
    assert!(
        said.contains(&format!("{device} is in use: ")) && said.contains(text),
        "{said}"
    );
    let list = passthru(&["list", device]).expect_success().stdout;
    assert!(list.contains(" in use ") && list.contains(text), "{list}");
    assert_eq!(driver(device).as_deref(), Some("nvme"));
}

/// Expects that a disk could be had: also after the uses of a test have gone.
#[track_caller]
fn expect_free(device: &str) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let finished = passthru(&["bind", "--dry-run", device]);
        if finished.status.success() {
            return;
        }
        assert!(Instant::now() < end, "{finished}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn unused_disk_is_free() {
    let _host = host();
    expect_free(CMB_NVME);
    let list = passthru(&["list", "--json", CMB_NVME])
        .expect_success()
        .stdout;
    assert!(
        list.contains("\"unseen\": []") && list.contains("\"state\": \"can\""),
        "{list}"
    );
}

#[test]
fn list_does_not_claim_a_disk() {
    let _host = host();
    let disk = disk(CMB_NVME);
    // A process of its own: one that is forked from here would have the open disk for a moment. It
    // does not see this one: a look at a descriptor in `/proc` keeps its file open after it was
    // closed.
    let lists = "for n in 1 2 3 4 5 6 7 8 9 10; do passthru list || exit 1; done";
    let mut list = Command::new("unshare");
    let mut list = list
        .args(["-pf", "--mount-proc", "sh", "-c", lists])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut options = fs::OpenOptions::new();
    let exclusively = options.read(true).custom_flags(O_EXCL);
    let status = loop {
        exclusively.open(&disk).unwrap();
        if let Some(status) = list.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success());
}

#[test]
fn loop_device_over_the_disk_is_a_use() {
    let _host = host();
    let undo = Undo("losetup -j \"$DISK\" -O NAME -n | xargs -r losetup -d");
    let name = sh("losetup -f --show $DISK");
    let text = format!(
        "{}, a loop device over {}",
        &name.trim()[5..],
        disk(CMB_NVME).display()
    );
    expect_used(CMB_NVME, &text);
    drop(undo);
    expect_free(CMB_NVME);
}

#[test]
fn loop_device_over_a_deleted_alias_is_a_use() {
    let _host = host();
    let make =
        "mknod /dev/alias b $(lsblk -dno MAJ:MIN $DISK | tr : ' '); losetup -f --show /dev/alias";
    let name = sh(&format!("{make}; rm /dev/alias"));
    expect_used(CMB_NVME, "a loop device over /dev/alias (deleted)");
    sh(&format!("losetup -d {}", name.trim()));
    expect_free(CMB_NVME);
}

#[test]
fn disk_open_under_another_name_is_used() {
    let _host = host();
    sh("mknod /dev/alias b $(lsblk -dno MAJ:MIN $DISK | tr : ' ')");
    let open = File::open("/dev/alias").unwrap();
    fs::remove_file("/dev/alias").unwrap();
    expect_used(
        CMB_NVME,
        &format!("(pid {}, {})", std::process::id(), disk(CMB_NVME).display()),
    );
    drop(open);
    expect_free(CMB_NVME);
}

#[test]
fn disk_that_is_only_mapped_is_used() {
    let _host = host();
    let script = r#"exec perl -e '$| = 1; open F, "<", $ENV{DISK}; syscall(9, 0, 4096, 1, 2, fileno(F), 0) > 0
        or die; close F; print "ready\n"; sleep 60'"#;
    let holder = Holder::start(&disk(CMB_NVME), script);
    let fds = names(format!("/proc/{}/fd", holder.0.id()));
    let links = fds
        .iter()
        .map(|fd| fs::read_link(format!("/proc/{}/fd/{fd}", holder.0.id())).unwrap());
    assert!(links.into_iter().all(|link| link != disk(CMB_NVME)));
    expect_used(CMB_NVME, &holder.pid());
    drop(holder);
    expect_free(CMB_NVME);
}

#[test]
fn disk_registered_with_an_io_uring_is_used() {
    let _host = host();
    let script = r#"exec perl -e '$| = 1; open F, "<", $ENV{DISK}; my $p = "\0" x 120;
        my $ring = syscall(425, 8, $p); my $files = pack("l", fileno(F));
        syscall(427, $ring, 2, $files, 1) == 0 or die; close F; print "ready\n"; sleep 60'"#;
    let holder = Holder::start(&disk(CMB_NVME), script);
    expect_used(CMB_NVME, &holder.pid());
    drop(holder);
    expect_free(CMB_NVME);
}

#[test]
fn generic_node_that_is_open_is_shown_and_does_not_block() {
    let _host = host();
    let node = disk(CMB_NVME)
        .display()
        .to_string()
        .replace("/dev/nvme", "/dev/ng");
    let holder = Holder::start(Path::new(&node), "exec 3<$DISK; echo ready; exec sleep 60");
    let list = passthru(&["list", CMB_NVME]).expect_success().stdout;
    assert!(
        list.contains(&holder.pid()) && list.contains(&node) && list.contains(" can "),
        "{list}"
    );
    expect_free(CMB_NVME);
}

#[test]
fn swap_on_the_disk_is_a_use() {
    let _host = host();
    let undo = Undo("swapoff $DISK; wipefs -qa $DISK");
    sh("mkswap $DISK; swapon $DISK");
    expect_used(CMB_NVME, "swap space on ");
    drop(undo);
    expect_free(CMB_NVME);
}

#[test]
fn mapping_over_the_disk_is_a_use() {
    let _host = host();
    let undo = Undo("dmsetup remove --noudevsync uses");
    let create = "dmsetup create --noudevsync --noudevrules uses --table";
    sh(&format!(
        "{create} \"0 $(blockdev --getsz $DISK) linear $DISK 0\""
    ));
    expect_used(CMB_NVME, ", part of uses");
    let holder = Holder::start(
        Path::new("/dev/dm-0"),
        "exec 3<$DISK; echo ready; exec sleep 60",
    );
    expect_used(CMB_NVME, &holder.pid());
    drop(holder);
    drop(undo);
    expect_free(CMB_NVME);
}

#[test]
fn raid_over_the_disk_is_a_use() {
    let _host = host();
    let undo = Undo("mdadm --stop /dev/md9; mdadm --zero-superblock $DISK");
    sh(
        "mdadm --create /dev/md9 --run --force --level=1 --raid-devices=2 --metadata=1.2 $DISK missing",
    );
    expect_used(CMB_NVME, ", part of md9");
    drop(undo);
    expect_free(CMB_NVME);
}

#[test]
fn second_device_of_a_btrfs_is_used() {
    let _host = host();
    let undo = Undo(
        "umount /run/uses; losetup -j /tmp/uses.img -O NAME -n | xargs -r losetup -d; rm /tmp/uses.img; \
         wipefs -qa $DISK",
    );
    sh(
        "truncate -s 200M /tmp/uses.img; first=$(losetup -f --show /tmp/uses.img); mkfs.btrfs -q $first; \
        mkdir -p /run/uses; mount -t btrfs $first /run/uses; btrfs device add -f $DISK /run/uses",
    );
    expect_used(CMB_NVME, "the file system on /run/uses (");
    drop(undo);
    expect_free(CMB_NVME);
}

#[test]
fn namespace_of_nvmet_is_a_use() {
    let _host = host();
    let undo = Undo(
        "cd /sys/kernel/config/nvmet/subsystems; echo 0 >uses/namespaces/1/enable; \
         rmdir uses/namespaces/1; rmdir uses",
    );
    sh(
        "cd /sys/kernel/config/nvmet/subsystems; mkdir -p uses/namespaces/1; \
        echo -n $DISK >uses/namespaces/1/device_path; echo 1 >uses/namespaces/1/enable",
    );
    let text = format!(
        "nvmet namespace 1 of uses, which exports {}",
        disk(CMB_NVME).display()
    );
    expect_used(CMB_NVME, &text);
    drop(undo);
    expect_free(CMB_NVME);
}

#[test]
fn controller_that_nvmet_passes_through_is_used() {
    let _host = host();
    let undo =
        Undo("cd /sys/kernel/config/nvmet/subsystems; echo 0 >uses/passthru/enable; rmdir uses");
    let controller = format!("/dev/{}", names(sysfs(CMB_NVME).join("nvme")).remove(0));
    sh(&format!(
        "cd /sys/kernel/config/nvmet/subsystems; mkdir uses; echo -n {controller} >uses/passthru/device_path; \
         echo 1 >uses/passthru/enable"
    ));
    expect_used(
        CMB_NVME,
        &format!("nvmet passthru of uses, which exports {controller}"),
    );
    drop(undo);
    expect_free(CMB_NVME);
}

#[test]
fn objects_of_lio_are_uses() {
    let _host = host();
    let objects = [
        ("fileio_7", "fd_dev_name=$DISK,fd_dev_size=16777216"),
        ("iblock_7", "udev_path=$DISK"),
    ];
    for (backend, control) in objects {
        let undo = Undo(
            "rmdir /sys/kernel/config/target/core/*_7/uses /sys/kernel/config/target/core/*_7",
        );
        sh(&format!(
            "mkdir -p /sys/kernel/config/target/core/{backend}/uses; \
             cd /sys/kernel/config/target/core/{backend}/uses; echo \"{control}\" >control; echo 1 >enable"
        ));
        expect_used(CMB_NVME, &format!("LIO {backend}/uses, which exports "));
        drop(undo);
        expect_free(CMB_NVME);
    }
}

#[test]
fn mount_in_another_namespace_is_a_use() {
    let _host = host();
    let undo = Undo("wipefs -qa $DISK");
    sh("mkfs.ext4 -q -F $DISK; mkdir -p /run/uses");
    let mount = "mount $DISK /run/uses && echo ready && exec sleep 60";
    let holder = Holder::start(
        &disk(CMB_NVME),
        &format!("exec unshare -m sh -ec '{mount}'"),
    );
    assert!(
        !fs::read_to_string("/proc/mounts")
            .unwrap()
            .contains("/run/uses ")
    );
    expect_used(CMB_NVME, "the file system on /run/uses (");
    expect_used(CMB_NVME, &holder.pid());
    drop(holder);
    expect_free(CMB_NVME);
    drop(undo);
}

#[test]
fn private_namespace_without_the_disk_is_not_a_use() {
    let _host = host();
    let _holder = Holder::start(
        &disk(CMB_NVME),
        "exec unshare -m sh -ec 'echo ready && exec sleep 60'",
    );
    expect_free(CMB_NVME);
}

/// Runs `bind` with a script in place of `modprobe`, which it calls for a driver that is missing:
/// after the first look and before the unbind.
fn bind_with(between: &str) -> Finished {
    fs::write("/tmp/between", format!("#!/bin/sh\n{between}\n")).unwrap();
    fs::set_permissions("/tmp/between", fs::Permissions::from_mode(0o755)).unwrap();
    // This kernel has no modules, so no such file either: in a namespace of its own, it has.
    let sysctl = "boot=$(cat /proc/sys/kernel/random/boot_id); mount -t tmpfs none /proc/sys/kernel; \
                  mkdir /proc/sys/kernel/random; echo $boot >/proc/sys/kernel/random/boot_id; \
                  echo /tmp/between >/proc/sys/kernel/modprobe";
    let script = format!("{sysctl}; exec passthru bind --driver no-such-driver {CMB_NVME}");
    run(Command::new("unshare").args(["-m", "sh", "-ec", &script]))
}

#[test]
fn mount_between_check_and_unbind_is_refused() {
    let _host = host();
    let _undo = Undo("umount /run/uses; wipefs -qa $DISK");
    sh("mkfs.ext4 -q -F $DISK; mkdir -p /run/uses; rm -f /tmp/mount.said");
    let mount = format!(
        "mount {} /run/uses 2>/tmp/mount.said",
        disk(CMB_NVME).display()
    );
    let finished = bind_with(&format!("{mount}; echo \"exit $?\" >>/tmp/mount.said"));
    assert!(
        finished.stderr.contains("no PCI driver 'no-such-driver'"),
        "{finished}"
    );
    let mounted = fs::read_to_string("/tmp/mount.said").unwrap();
    assert!(mounted.ends_with("exit 32\n"), "{mounted}");
    sh("mount $DISK /run/uses"); // the hold has ended with the refused command
    expect_used(CMB_NVME, "the file system on /run/uses");
}

#[test]
fn names_of_disks_are_the_same_after_bind_and_unbind() {
    let _host = host();
    let _give_back = GiveBack(&[CMB_NVME]);
    let before = disk(CMB_NVME);
    let _ = passthru(&["bind", CMB_NVME]).expect_success();
    let _ = passthru(&["unbind", CMB_NVME]).expect_success();
    assert_eq!(disk(CMB_NVME), before);
}

#[test]
fn uses_are_unknown_from_another_pid_namespace() {
    let _host = host();
    let inside = |arguments: &[&str]| {
        run(Command::new("unshare")
            .args(["-pf", "--mount-proc", "passthru"])
            .args(arguments))
    };
    let finished = inside(&["bind", CMB_NVME]);
    let reason = "processes that have it open cannot be seen (/proc/1/ns/pid: pid:[";
    assert_eq!(finished.status.code(), Some(4), "{finished}");
    assert!(finished.stderr.contains(reason), "{finished}");
    assert_eq!(driver(CMB_NVME).as_deref(), Some("nvme"));
    let list = inside(&["list", "--json", CMB_NVME])
        .expect_success()
        .stdout;
    assert!(
        list.contains("\"state\": \"unknown\"") && list.contains("/proc/1/ns/pid"),
        "{list}"
    );
    let forced = inside(&["bind", "--dry-run", "--force", CMB_NVME]).expect_success();
    assert!(
        forced.stderr.starts_with("warning: ") && forced.stderr.contains(reason),
        "{forced}"
    );
}

#[test]
fn hidden_processes_are_unknown_except_to_root() {
    let _host = host();
    let list = |user: &str| {
        let script =
            format!("mount -t proc -o hidepid=2 proc /proc; exec {user} passthru list {CMB_NVME}");
        run(Command::new("unshare").args(["-m", "sh", "-ec", &script])).expect_success()
    };
    let hidden = list("setpriv --reuid=65534 --regid=65534 --clear-groups");
    assert!(hidden.stdout.contains(" unknown "), "{hidden}");
    assert!(
        hidden
            .stderr
            .contains("(/proc/1/ns/pid: No such file or directory"),
        "{hidden}"
    );
    let seen = list("");
    assert!(
        seen.stdout.contains(" can ") && seen.stderr.is_empty(),
        "{seen}"
    );
}

#[test]
fn unbind_is_refused_from_another_pid_namespace() {
    let _host = host();
    let _give_back = GiveBack(&[CMB_NVME]);
    let _ = passthru(&["bind", CMB_NVME]).expect_success();
    let inside =
        run(Command::new("unshare").args(["-pf", "--mount-proc", "passthru", "unbind", CMB_NVME]));
    assert_eq!(inside.status.code(), Some(4), "{inside}");
    assert!(
        inside
            .stderr
            .contains("may be in use: processes that have it open"),
        "{inside}"
    );
    assert_eq!(driver(CMB_NVME).as_deref(), Some("vfio-pci"));
}

#[test]
fn disk_without_its_node_is_unknown() {
    let _host = host();
    let disk = disk(CMB_NVME);
    let away = PathBuf::from("/dev/away");
    fs::rename(&disk, &away).unwrap();
    let finished = passthru(&["bind", CMB_NVME]);
    fs::rename(&away, &disk).unwrap();
    assert_eq!(finished.status.code(), Some(4), "{finished}");
    let reason = format!(
        "exclusive claims on it cannot be seen ({}: No such file",
        disk.display()
    );
    assert!(finished.stderr.contains(&reason), "{finished}");
    expect_free(CMB_NVME);
}

/// Returns the disk of the two controllers of one subsystem: the kernel's multipath head.
#[track_caller]
fn multipath_head() -> PathBuf {
    let [one, other] = MULTIPATH_NVME.map(|address| names(sysfs(address).join("nvme")));
    let subsystems = Path::new("/sys/class/nvme-subsystem");
    for subsystem in names(subsystems)
        .into_iter()
        .map(|name| subsystems.join(name))
    {
        let entries = names(&subsystem);
        let has = |controllers: &[String]| controllers.iter().any(|name| entries.contains(name));
        let is_head = |name: &&String| Path::new("/sys/class/block").join(name).exists();
        if has(&one) && has(&other) {
            let head = entries.iter().find(is_head);
            return Path::new("/dev")
                .join(head.unwrap_or_else(|| panic!("{entries:?} have no disk")));
        }
    }
    panic!("no subsystem has both {one:?} and {other:?}");
}

#[test]
fn open_multipath_head_is_a_use_of_both_controllers() {
    let _host = host();
    let head = multipath_head();
    let block = Path::new("/sys/class/block").join(head.file_name().unwrap());
    let real = block.canonicalize().unwrap();
    assert!(
        real.starts_with("/sys/devices/virtual/nvme-subsystem"),
        "{}",
        real.display()
    );
    for controller in MULTIPATH_NVME {
        expect_free(controller);
    }
    let holder = Holder::start(&head, "exec 3<$DISK; echo ready; exec sleep 60");
    for controller in MULTIPATH_NVME {
        expect_used(controller, &holder.pid());
    }
    drop(holder);
    let mounted = Undo("umount /tmp/head 2>/dev/null; rmdir /tmp/head 2>/dev/null");
    let mount = "mkdir -p /tmp/head; mkfs.ext4 -q $HEAD; mount $HEAD /tmp/head";
    let _ = run(Command::new("sh").args(["-ec", mount]).env("HEAD", &head)).expect_success();
    for controller in MULTIPATH_NVME {
        expect_used(controller, "the file system on /tmp/head");
    }
    drop(mounted);
    for controller in MULTIPATH_NVME {
        expect_free(controller);
    }
}
