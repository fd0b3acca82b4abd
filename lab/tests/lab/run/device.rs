//! A guest reads the assigned NVMe disk, with each spelling of each backend.

use std::fs;
use std::path::Path;
use std::process::Command;

use passthru_lab::devices::{NVME, NVME_SHA256};
use passthru_lab::{host, run, run_within};

use super::support::{
    Domain, IOMMUFD, PATIENCE, TYPE1, assert_all_back, driver, guest_sum, host_sum, wait_for_disk,
};

fn reads_the_disk(domain: &Domain) {
    let _ = host();
    let on_the_host = host_sum(&wait_for_disk(NVME));
    assert_eq!(on_the_host, NVME_SHA256);
    let finished = domain.run(&[]).expect_success();
    assert_eq!(guest_sum(&finished), on_the_host, "{finished}");
    assert_all_back(domain.name, &[(NVME, "nvme")]);
    assert_eq!(host_sum(&wait_for_disk(NVME)), NVME_SHA256);
}

#[test]
fn guest_reads_disk_with_iommufd_set_at_the_device() {
    reads_the_disk(&Domain::new("by-device").hostdev(
        NVME,
        "<driver name='vfio' iommufd='yes'/>",
        "",
    ));
}

#[test]
fn guest_reads_disk_with_iommufd_set_at_the_domain() {
    let domain = Domain::new("by-domain")
        .top("<iommufd enabled='yes'/>")
        .hostdev(NVME, "", "");
    reads_the_disk(&domain);
}

#[test]
fn guest_reads_disk_with_iommufd_in_the_old_spelling() {
    reads_the_disk(&Domain::new("by-id").hostdev(NVME, "", "<iommufdId>iommufd0</iommufdId>"));
}

#[test]
fn guest_reads_disk_with_type1_set_at_the_device() {
    reads_the_disk(&Domain::new("type1-device").hostdev(
        NVME,
        "<driver name='vfio' iommufd='no'/>",
        "",
    ));
}

#[test]
fn guest_reads_disk_with_type1_set_at_the_domain() {
    let domain = Domain::new("type1-domain")
        .top("<iommufd enabled='no'/>")
        .hostdev(NVME, "", "");
    reads_the_disk(&domain);
}

#[test]
fn unset_backend_is_chosen_and_named() {
    let domain = Domain::new("unsaid").hostdev(NVME, "", "");
    let finished = domain.run(&[]).expect_success();
    assert_eq!(guest_sum(&finished), NVME_SHA256);
    assert!(finished.stderr.contains("backend iommufd"), "{finished}");
}

#[test]
fn standalone_line_runs_when_pasted() {
    for driver in [IOMMUFD, TYPE1] {
        run_pasted(&Domain::new("pasted").hostdev(NVME, driver, ""));
    }
}

fn run_pasted(domain: &Domain) {
    let _ = host();
    let xml = domain
        .xml()
        .replace("<serial type='pty'/>", "<serial type='stdio'/>");
    std::fs::write("/tmp/pasted.xml", xml).unwrap();
    let _ = run(Command::new("passthru").args(["bind", NVME])).expect_success();
    let line =
        "passthru convert --standalone /tmp/pasted.xml >/tmp/pasted.sh && exec bash /tmp/pasted.sh";
    let finished = run_within(PATIENCE, Command::new("bash").args(["-c", line]));
    let _ = run(Command::new("passthru").args(["unbind", NVME])).expect_success();

    assert_eq!(guest_sum(&finished.expect_success()), NVME_SHA256);
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
}

#[test]
fn dry_run_lists_operations_and_changes_nothing() {
    let domain = Domain::new("dry").hostdev(NVME, IOMMUFD, "");
    let text = domain.run(&["--dry-run"]).expect_success().stdout;
    for step in [
        "bind 0000:01:00.0 from nvme to vfio-pci",
        "IOMMU_OPTION_RLIMIT_MODE",
        "as a user of its own (uid 21",
        "back to nvme",
    ] {
        assert!(text.contains(step), "'{step}' is not in:\n{text}");
    }

    assert_all_back("dry", &[(NVME, "nvme")]);
    let json = domain.run(&["--dry-run", "--json"]).expect_success().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let ops = json["operations"].as_array().unwrap();
    let names: Vec<&str> = ops.iter().map(|op| op["op"].as_str().unwrap()).collect();
    let end = json["at_the_end"].as_array().unwrap();

    assert_eq!(names.first(), Some(&"make-guest-folder"));
    assert_eq!(names.last(), Some(&"resume"));
    assert_eq!(end[0], "remove the socket /run/passthru/control/dry.sock");
    let back = serde_json::json!("give 0000:01:00.0 back to nvme");
    assert!(end.contains(&back), "{end:?}");
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
}

#[test]
fn guest_gets_the_identity_of_the_host() {
    let _ = host();
    let path = "/tmp/identity.xml";
    let xml = Domain::new("identity").xml();
    fs::write(
        path,
        xml.replace("<kernel>", "<smbios mode='host'/><kernel>"),
    )
    .unwrap();
    let text = run(Command::new("passthru").args(["run", "--dry-run", path]))
        .expect_success()
        .stdout;

    for (key, file) in [
        ("manufacturer", "sys_vendor"),
        ("product", "product_name"),
        ("version", "product_version"),
    ] {
        let value = fs::read_to_string(Path::new("/sys/class/dmi/id").join(file)).unwrap();
        // QEMU reads two commas as one that belongs to the value.
        let option = format!("{key}={}", value.trim().replace(',', ",,"));
        assert!(text.contains(&option), "'{option}' is not in:\n{text}");
    }

    assert!(!text.contains("@sys_vendor@"), "{text}");
}
