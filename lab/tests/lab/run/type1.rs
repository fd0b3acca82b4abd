//! Guests with devices on type1: QEMU opens the groups itself, in a `/dev/vfio` of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use passthru_lab::devices::{CMB_NVME, EDU, NVME, NVME_SHA256, SHARED_COMPANION, SHARED_FREE};
use passthru_lab::{Finished, host, run, run_within};

use super::privileges::WAIT;
use super::support::{
    Domain, IOMMUFD, PATIENCE, TYPE1, assert_all_back, assert_own_nodes, driver, group, guest_sum,
    hostdev,
};

/// Shell line that runs `$XML` where the kernel's interface iommufd does not show.
///
/// `/sys/class/misc` has the container of type1 alone, and `/dev/iommu` is another device.
const WITHOUT_IOMMUFD: &str = "exec unshare --mount bash -ec '\
    mount -t tmpfs none /sys/class/misc; \
    ln -s ../../devices/virtual/misc/vfio /sys/class/misc/vfio; \
    mount --bind /dev/null /dev/iommu; \
    exec passthru run $0 $XML' ";

/// Returns owner, group and mode of each node below `/dev/vfio` on the host.
fn nodes_of_the_host() -> Vec<(String, u32, u32, u32)> {
    let mut nodes = Vec::new();
    for entry in fs::read_dir("/dev/vfio").unwrap() {
        let entry = entry.unwrap();
        let node = entry.metadata().unwrap();
        let name = entry.file_name().into_string().unwrap();
        nodes.push((name, node.uid(), node.gid(), node.mode()));
    }

    nodes.sort();
    nodes
}

/// Ends a guest that ignores its power button.
fn end(guest: super::support::Running) {
    guest.signal(guest.manager(), "-TERM");
    guest.signal(guest.manager(), "-TERM");
    let _ = guest.wait();
}

#[test]
fn type1_vmm_sees_only_its_nodes() {
    let _ = host();
    let _ = run(Command::new("passthru").args(["bind", NVME])).expect_success();
    let before = nodes_of_the_host();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let domain = Domain::new("type1-nodes")
        .hostdev(NVME, TYPE1, "")
        .script(WAIT);
    let guest = domain.start(&[]);
    assert_own_nodes(guest.vmm(), &[NVME]);

    assert_eq!(nodes_of_the_host(), before);
    assert_eq!(fs::read_to_string("/proc/mounts").unwrap(), mounts);

    let links = fs::read_dir(format!("/proc/{}/fd", guest.vmm())).unwrap();
    let mut open = Vec::new();
    for link in links.flatten() {
        open.extend(fs::read_link(link.path()));
    }
    let node = format!("/dev/vfio/{}", group(NVME));
    assert!(
        open.iter().any(|path| path.as_os_str() == node.as_str()),
        "{open:?}"
    );
    assert!(!open.iter().any(|path| path.ends_with("iommu")), "{open:?}");

    end(guest);
    assert_eq!(nodes_of_the_host(), before);

    let _ = run(Command::new("passthru").args(["unbind", NVME])).expect_success();
    assert_all_back(domain.name, &[(NVME, "nvme")]);
}

#[test]
fn type1_device_in_use_by_a_vmm_is_refused() {
    let _ = host();
    let first = Domain::new("type1-first")
        .hostdev(NVME, TYPE1, "")
        .script(WAIT);
    let guest = first.start(&[]);
    for backend in [IOMMUFD, TYPE1] {
        let refused = Domain::new("type1-second")
            .hostdev(NVME, backend, "")
            .run(&[]);
        assert_eq!(refused.status.code(), Some(4), "{refused}");
        assert!(refused.stderr.contains("guest type1-first"), "{refused}");
    }

    end(guest);
    assert_all_back(first.name, &[(NVME, "nvme")]);
}

#[test]
fn guest_gets_devices_of_both_backends() {
    let _ = host();
    for (first, second) in [(TYPE1, IOMMUFD), (IOMMUFD, TYPE1)] {
        let domain = behind_iommu("type1-beside")
            .hostdev(NVME, first, "")
            .hostdev(EDU, second, "");
        let finished = domain.run(&[]).expect_success();
        assert_eq!(guest_sum(&finished), NVME_SHA256, "{finished}");
        assert_all_back(domain.name, &[(NVME, "nvme")]);
    }
}

/// QEMU 11.1 ends at such a guest by an assertion. Once it does not, the refusal can go.
#[test]
fn both_backends_without_a_virtual_iommu_are_refused() {
    let _ = host();
    let domain = Domain::new("type1-mixed")
        .hostdev(NVME, TYPE1, "")
        .hostdev(CMB_NVME, IOMMUFD, "");
    let refused = domain.run(&[]);
    assert_eq!(refused.status.code(), Some(3), "{refused}");

    let words = format!("hostdev {CMB_NVME} is on iommufd and hostdev {NVME} on type1");
    assert!(refused.stderr.contains(&words), "{refused}");

    assert_all_back(domain.name, &[(NVME, "nvme"), (CMB_NVME, "nvme")]);

    let iommufd = format!("vfio-pci,host={CMB_NVME},iommufd=iommufd0");
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args([
        "-M",
        "q35",
        "-m",
        "64",
        "-display",
        "none",
        "-S",
        "-object",
        "iommufd,id=iommufd0",
    ])
    .args([
        "-device",
        &format!("vfio-pci,host={NVME}"),
        "-device",
        &iommufd,
    ]);
    let _ = run(Command::new("passthru").args(["bind", NVME, CMB_NVME])).expect_success();
    let ended = run_within(PATIENCE, &mut qemu);
    let _ = run(Command::new("passthru").args(["unbind", NVME, CMB_NVME])).expect_success();
    assert!(
        ended.stderr.contains("is not an instance of type"),
        "{ended}"
    );
}

/// Returns a domain whose devices are behind an emulated IOMMU.
fn behind_iommu(name: &'static str) -> Domain {
    let domain = Domain {
        features: "<ioapic driver='qemu'/>",
        ..Domain::new(name)
    };
    domain.with("<iommu model='intel'><driver intremap='on' caching_mode='on'/></iommu>")
}

#[test]
fn devices_of_one_group_run_on_type1() {
    let _ = host();
    let both = hostdev(SHARED_FREE, TYPE1, "") + &hostdev(SHARED_COMPANION, TYPE1, "");
    let domain = Domain::new("type1-group").with(&both).script(WAIT);
    let guest = domain.start(&[]);
    assert_own_nodes(guest.vmm(), &[SHARED_FREE]);
    end(guest);
    assert_all_back(domain.name, &[(SHARED_COMPANION, "e1000")]);

    assert_eq!(driver(SHARED_FREE), None);
}

#[test]
fn several_type1_devices_behind_an_emulated_iommu_run() {
    let _ = host();
    let domain = behind_iommu("type1-viommu")
        .hostdev(NVME, TYPE1, "")
        .hostdev(EDU, TYPE1, "");
    let finished = domain.run(&[]).expect_success();
    assert_eq!(guest_sum(&finished), NVME_SHA256, "{finished}");

    assert_all_back(domain.name, &[(NVME, "nvme")]);
}

/// Runs a guest where the kernel has no iommufd.
fn run_without_iommufd(domain: &Domain, arguments: &str) -> Finished {
    domain.run_by_shell(&WITHOUT_IOMMUFD.replace("$0", arguments))
}

#[test]
fn auto_without_iommufd_is_type1() {
    let _ = host();
    let domain = Domain::new("no-iommufd").hostdev(NVME, "", "");
    let finished = run_without_iommufd(&domain, "").expect_success();
    assert_eq!(guest_sum(&finished), NVME_SHA256, "{finished}");

    let reason = "backend type1 for the devices that name none: the running kernel has no iommufd";
    assert!(finished.stderr.contains(reason), "{finished}");

    assert_all_back(domain.name, &[(NVME, "nvme")]);

    let asked = domain.run(&["--backend", "type1"]).expect_success();
    assert_eq!(guest_sum(&asked), NVME_SHA256, "{asked}");

    let reason = "backend type1 for the devices that name none: as requested";
    assert!(asked.stderr.contains(reason), "{asked}");
}

#[test]
fn auto_beside_a_type1_device_is_type1() {
    let _ = host();
    let domain = Domain::new("auto-beside")
        .hostdev(NVME, "", "")
        .hostdev(CMB_NVME, TYPE1, "");
    let dry = domain.run(&["--dry-run"]).expect_success();
    let reason = format!("name none: {CMB_NVME} has it, and QEMU does not mix them");

    assert!(dry.stderr.contains(&reason), "{dry}");
    assert!(!dry.stdout.contains("/dev/iommu"), "{dry}");
}

#[test]
fn iommufd_that_the_kernel_lacks_has_code_4() {
    let _ = host();
    let named = Domain::new("lacks-iommufd").hostdev(NVME, IOMMUFD, "");
    let unset = Domain::new("lacks-iommufd").hostdev(NVME, "", "");
    for (domain, arguments) in [
        (&named, ""),
        (&named, "--dry-run"),
        (&unset, "--backend iommufd"),
    ] {
        let refused = run_without_iommufd(domain, arguments);
        assert_eq!(refused.status.code(), Some(4), "{refused}");
        for words in [
            "the running kernel has no iommufd",
            "<driver iommufd='no'/>",
        ] {
            assert!(refused.stderr.contains(words), "{words}: {refused}");
        }
        assert_all_back(domain.name, &[(NVME, "nvme")]);
    }
}
