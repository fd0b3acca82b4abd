//! A guest whose disk is `<disk type='nvme'>`: QEMU's own driver opens the controller by type1.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::thread;
use std::time::{Duration, Instant};

use passthru_lab::devices::{CMB_NVME, DATA_MOUNT, DATA_NVME, NVME, NVME_SHA256};
use passthru_lab::host;

use super::support::{
    Domain, IOMMUFD, Running, assert_all_back, assert_own_nodes, driver, group, guest_sum,
    host_sum, hostdev, wait_for_disk,
};

/// QEMU with the mend of [`mended_qemu`]. QEMU finds its files by its own folder.
const MENDED_QEMU: &str = "/usr/bin/qemu-system-x86_64-mended";
/// Prints the checksum of the guest's disk.
const SUM: &str = "echo '<<sha256'; sha256sum /dev/vda | cut -c1-64; echo 'sha256>>'";

/// Makes a copy of QEMU that sets the admin completion queue of an NVMe controller before it starts
/// the controller. Returns the `<emulator>` for it.
///
/// The registers are plain memory to the compiler since QEMU has `host_pci_stq_le_p`. So the
/// compiler may change the order of stores. In Debian's QEMU 11.1.3, the controller is started
/// (`movl $0x460001,0x14(%rbp)`) before it has the queue (`mov %rax,0x30(%rbp)`). It then answers
/// into the queue of the host's driver, and QEMU waits for ever. The mend exchanges the two
/// instructions. A QEMU without them is taken as it is.
fn mended_qemu() -> String {
    const START: [u8; 7] = [0xc7, 0x45, 0x14, 0x01, 0x00, 0x46, 0x00];
    const QUEUE: [u8; 4] = [0x48, 0x89, 0x45, 0x30];
    let faulty = [&START[..], &QUEUE].concat();
    let mut program = fs::read("/usr/bin/qemu-system-x86_64").unwrap();
    let place = program
        .windows(faulty.len())
        .position(|window| window == faulty);
    if let Some(place) = place {
        program[place..place + faulty.len()].copy_from_slice(&[&QUEUE[..], &START].concat());
    }

    fs::write(MENDED_QEMU, program).unwrap();
    fs::set_permissions(MENDED_QEMU, fs::Permissions::from_mode(0o755)).unwrap();
    format!("<emulator>{MENDED_QEMU}</emulator>")
}

fn nvme_disk(target: &str, device: &str, namespace: u32) -> String {
    let bus = &device[5..7];
    format!(
        "<disk type='nvme' device='disk'><driver name='qemu' type='raw'/>\
         <source type='pci' managed='yes' namespace='{namespace}'>\
         <address domain='0' bus='0x{bus}' slot='0' function='0'/></source>\
         <target dev='{target}' bus='virtio'/></disk>"
    )
}

#[test]
fn guest_reads_its_nvme_disk_and_gives_it_back() {
    let _ = host();
    let domain = Domain::new("nvme-disk")
        .with(&mended_qemu())
        .with(&nvme_disk("vda", NVME, 1))
        .script(SUM);
    let finished = domain.run(&[]).expect_success();
    assert_eq!(guest_sum(&finished), NVME_SHA256, "{finished}");
    assert!(
        finished.stderr.contains("backend type1 for disk 'vda'"),
        "{finished}"
    );
    assert!(!finished.stderr.contains("DMA"), "{finished}");

    assert_all_back(domain.name, &[(NVME, "nvme")]);
    assert_eq!(host_sum(&wait_for_disk(NVME)), NVME_SHA256);
}

#[test]
fn nvme_disk_works_beside_a_hostdev_with_iommufd() {
    let _ = host();
    let domain = Domain::new("nvme-beside")
        .with(&mended_qemu())
        .with(&nvme_disk("vda", NVME, 1))
        .hostdev(CMB_NVME, IOMMUFD, "")
        .script(SUM);
    let finished = domain.run(&[]).expect_success();
    assert_eq!(guest_sum(&finished), NVME_SHA256, "{finished}");

    let both = [(NVME, "nvme"), (CMB_NVME, "nvme")];
    assert_all_back(domain.name, &both);
}

#[test]
fn vmm_with_an_nvme_disk_sees_its_own_nodes_alone() {
    let _ = host();
    let domain = Domain::new("nvme-nodes")
        .with(&mended_qemu())
        .with(&nvme_disk("vda", NVME, 1))
        .script("echo ready; read line");
    let guest = domain.start(&[]);
    assert_own_nodes(guest.vmm(), &[NVME]);
    let on_the_host = fs::metadata(format!("/dev/vfio/{}", group(NVME))).unwrap();

    assert_eq!(on_the_host.uid(), 0, "a node of the host changed its owner");

    guest.signal(guest.manager(), "-TERM");
    guest.signal(guest.manager(), "-TERM");
    let _ = guest.wait();
    assert_all_back(domain.name, &[(NVME, "nvme")]);
}

/// The installed QEMU may wait for its controller for ever (see [`mended_qemu`]), or run the guest.
#[test]
fn signal_during_the_start_of_an_nvme_disk_gives_it_back() {
    let _ = host();
    let domain = Domain::new("nvme-signal")
        .with(&nvme_disk("vda", NVME, 1))
        .script("read line");
    let guest = Running::start(&[], &domain.write(), domain.name);
    let deadline = Instant::now() + Duration::from_secs(20);
    while driver(NVME).as_deref() != Some("vfio-pci") {
        assert!(Instant::now() < deadline, "the disk is not taken");
        thread::sleep(Duration::from_millis(50));
    }

    thread::sleep(Duration::from_secs(3));
    guest.signal(guest.manager(), "-TERM");
    guest.signal(guest.manager(), "-TERM");
    let _ = guest.wait();
    assert_all_back(domain.name, &[(NVME, "nvme")]);

    assert_eq!(host_sum(&wait_for_disk(NVME)), NVME_SHA256);
}

#[test]
fn nvme_disk_in_use_or_twice_is_refused() {
    let _ = host();
    let mounted = Domain::new("nvme-mounted").with(&nvme_disk("vda", DATA_NVME, 1));
    let refused = mounted.run(&[]);
    assert_eq!(refused.status.code(), Some(4), "{refused}");
    assert!(refused.stderr.contains(DATA_MOUNT), "{refused}");
    assert_eq!(driver(DATA_NVME).as_deref(), Some("nvme"));

    let both = nvme_disk("vda", NVME, 1) + &hostdev(NVME, IOMMUFD, "");
    let two = nvme_disk("vda", NVME, 1) + &nvme_disk("vdb", NVME, 2);
    let iommufd = Domain::new("nvme-iommufd")
        .top("<iommufd enabled='yes'/>")
        .with(&nvme_disk("vda", NVME, 1));
    for (domain, words) in [
        (Domain::new("nvme-both").with(&both), "as a whole"),
        (Domain::new("nvme-two").with(&two), "on one controller"),
        (iommufd, "<hostdev mode='subsystem'"),
    ] {
        let refused = domain.run(&[]);
        assert_eq!(refused.status.code(), Some(3), "{refused}");
        assert!(refused.stderr.contains(words), "{words}: {refused}");
        assert_all_back(domain.name, &[(NVME, "nvme")]);
    }
}

#[test]
fn dry_run_of_an_nvme_disk_lists_its_steps() {
    let domain = Domain::new("nvme-dry").with(&nvme_disk("vda", NVME, 1));
    let text = domain.run(&["--dry-run"]).expect_success().stdout;
    for step in [
        "bind 0000:01:00.0 from nvme to vfio-pci",
        "for what it opens by type1: /dev/vfio/vfio, /dev/vfio/",
        "queues and buffers of QEMU's own NVMe driver",
        "back to nvme",
    ] {
        assert!(text.contains(step), "'{step}' is not in:\n{text}");
    }

    assert_all_back("nvme-dry", &[(NVME, "nvme")]);
}
