//! Disks in use, object by object.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use passthru_lab::devices::CMB_NVME;
use passthru_lab::host;

use super::support::{Holder, Undo, expect_free, expect_used, sh};
use crate::commands::{O_EXCL, disk, names, passthru, sysfs};

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
    // `list` runs in a pid namespace of its own. A child of this process would share the open disk
    // for a moment. A look at this process's descriptors would keep a closed file open.
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
    let script = r#"exec perl -e '$| = 1; open F, "<", $ENV{DISK};
        syscall(9, 0, 4096, 1, 2, fileno(F), 0) > 0 or die; close F; print "ready\n"; sleep 60'"#;
    let holder = Holder::start(&disk(CMB_NVME), script);
    let fds = names(format!("/proc/{}/fd", holder.0.id()));
    let links = fds
        .iter()
        .map(|fd| fs::read_link(format!("/proc/{}/fd/{fd}", holder.0.id())).unwrap());

    assert!(links.into_iter().all(|link| link != disk(CMB_NVME)));

    expect_used(CMB_NVME, &holder.pid_text());
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
    expect_used(CMB_NVME, &holder.pid_text());
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
        list.contains(&holder.pid_text()) && list.contains(&node) && list.contains(" can "),
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
    expect_used(CMB_NVME, &holder.pid_text());
    drop(holder);
    drop(undo);
    expect_free(CMB_NVME);
}

#[test]
fn raid_over_the_disk_is_a_use() {
    let _host = host();
    let undo = Undo("mdadm --stop /dev/md9; mdadm --zero-superblock $DISK");
    sh(
        "mdadm --create /dev/md9 --run --force --level=1 --raid-devices=2 --metadata=1.2 \
         $DISK missing",
    );
    expect_used(CMB_NVME, ", part of md9");
    drop(undo);
    expect_free(CMB_NVME);
}

#[test]
fn second_device_of_a_btrfs_is_used() {
    let _host = host();
    let undo = Undo(
        "umount /run/uses; losetup -j /tmp/uses.img -O NAME -n | xargs -r losetup -d; \
         rm /tmp/uses.img; \
         wipefs -qa $DISK",
    );
    sh(
        "truncate -s 200M /tmp/uses.img; first=$(losetup -f --show /tmp/uses.img); \
         mkfs.btrfs -q $first; \
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
        "cd /sys/kernel/config/nvmet/subsystems; mkdir uses; \
         echo -n {controller} >uses/passthru/device_path; \
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
             cd /sys/kernel/config/target/core/{backend}/uses; echo \"{control}\" >control; \
             echo 1 >enable"
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
    expect_used(CMB_NVME, &holder.pid_text());
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
