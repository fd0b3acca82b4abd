//! Descriptors of the caller: by number, by name, and wrong ones.

use std::fs;
use std::process::Command;

use passthru_lab::devices::{CMB_NVME, NVME, NVME_SHA256};
use passthru_lab::{Finished, host, run};

use super::support::{Domain, assert_all_back, driver, guest_sum};

/// Devices that are bound for the length of a test.
struct Bound(&'static [&'static str]);

impl Bound {
    fn new(devices: &'static [&'static str]) -> Self {
        let _ = host();
        let _ = run(Command::new("passthru").arg("bind").args(devices)).expect_success();
        Self(devices)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = run(Command::new("passthru").arg("unbind").args(self.0));
    }
}

fn cdev(device: &str) -> String {
    let folder = format!("/sys/bus/pci/devices/{device}/vfio-dev");
    let name = fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    format!("/dev/vfio/devices/{}", name.to_str().unwrap())
}

/// Returns a domain in the old spelling: a number for the device, and one for /dev/iommu on an
/// Intel IOMMU.
fn by_number(name: &'static str) -> Domain {
    let driver = "<driver intremap='on' caching_mode='on'/>";
    let iommu = format!(
        "<iommu model='intel'>{driver}<iommufd><id>iommufd0</id><fd>22</fd></iommufd></iommu>"
    );
    let domain = Domain {
        features: "<ioapic driver='qemu'/>",
        ..Domain::new(name)
    };
    domain
        .hostdev(
            NVME,
            "",
            "<iommufdId>iommufd0</iommufdId><iommufdFd>23</iommufdFd>",
        )
        .with(&iommu)
}

#[track_caller]
fn refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.status.code(), Some(4), "{finished}");
    for word in words {
        assert!(
            finished.stderr.contains(word),
            "'{word}' is not in: {finished}"
        );
    }
}

#[test]
fn descriptors_of_the_domain_are_used() {
    let _bound = Bound::new(&[NVME]);
    let line = format!("exec passthru run $XML 22<>/dev/iommu 23<>{}", cdev(NVME));
    let finished = by_number("numbers").run_by_shell(&line).expect_success();
    assert_eq!(guest_sum(&finished), NVME_SHA256);
    // The caller opened and bound the device, so it stays bound.
    assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));
}

/// Asserts that descriptors 22 and 23 are refused if one of them is missing or wrong.
///
/// `options` is how the command gets them. `unusable` is a file in place of the device's.
fn assert_wrong_descriptors_refused(domain: &Domain, options: &str, unusable: &str) {
    let _bound = Bound::new(&[NVME, CMB_NVME]);
    let not_an_iommufd = format!("22<>/dev/null 23<>{}", cdev(NVME));
    let unusable = format!("22<>/dev/iommu 23<>{unusable}");
    let other_device = format!("22<>/dev/iommu 23<>{}", cdev(CMB_NVME));
    let cases: [(&str, &[&str]); 5] = [
        ("", &["descriptor 22", "not open", "22<>/dev/iommu"]),
        (&not_an_iommufd, &["descriptor 22", "not an iommufd"]),
        ("22<>/dev/iommu", &["descriptor 23", "not open", NVME]),
        (&unusable, &["descriptor 23", "cannot be used"]),
        (&other_device, &["descriptor 23", CMB_NVME]),
    ];
    for (redirections, words) in cases {
        let line = format!("exec passthru run {options} $XML {redirections}");
        refused(&domain.run_by_shell(&line), words);
    }

    assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));
}

#[test]
fn wrong_descriptors_of_the_domain_are_refused() {
    assert_wrong_descriptors_refused(&by_number("wrong"), "", "/dev/null");
}

/// Returns a domain that gives names: one for the device, and one for /dev/iommu on an Intel IOMMU.
fn by_name(name: &'static str) -> Domain {
    let numbers = by_number(name);
    let devices = numbers.devices.replace("<fd>22<", "<fd>context<");
    Domain {
        devices: devices.replace("<iommufdFd>23<", "<iommufdFd>first disk<"),
        ..numbers
    }
}

const NAMES: &str = "--fd context=22 --fd 'first disk=23'";

#[test]
fn named_descriptors_of_the_domain_are_used() {
    let _bound = Bound::new(&[NVME]);
    let files = format!("22<>/dev/iommu 23<>{}", cdev(NVME));
    let line = format!("exec passthru run {NAMES} $XML {files}");
    let finished = by_name("names").run_by_shell(&line).expect_success();

    assert_eq!(guest_sum(&finished), NVME_SHA256);
    assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));

    let manager = format!(
        "exec 3<>/dev/iommu 4<>{}; LISTEN_PID=$$ LISTEN_FDS=2 \
         LISTEN_FDNAMES='context:first disk' exec passthru run --dry-run $XML",
        cdev(NVME)
    );
    let steps = by_name("names").run_by_shell(&manager).expect_success();
    let taken = steps.stdout.matches("check the descriptor handed in as");
    assert_eq!(taken.count(), 2, "{steps}");
}

#[test]
fn wrong_named_descriptors_are_refused() {
    assert_wrong_descriptors_refused(&by_name("wrong-names"), NAMES, "/dev/iommu");
}

#[test]
fn unknown_names_are_refused_at_their_places() {
    let _ = host();
    let domain = by_name("unknown-names");
    let none = domain.run(&["--dry-run"]);
    let both = ["name 'first disk'", "<hostdev", "name 'context'", "<iommu"];
    refused(&none, &both);
    refused(&none, &["unknown-names.xml:1:", "--fd context=N"]);

    let other = domain.run_by_shell("exec passthru run --fd context=9 --fd b=8 $XML 9<>/dev/iommu");
    refused(&other, &["'first disk'", "the given names are: b, context"]);

    assert!(!other.stderr.contains("name 'context'"), "{other}");
}

#[test]
fn named_group_takes_the_callers_descriptor() {
    let _ = host();
    let domain = Domain::new("named")
        .top("<iommufd enabled='yes' fdgroup='iommu'/>")
        .hostdev(NVME, "", "");
    let finished = domain
        .run_by_shell("exec passthru run --fd iommu=9 $XML 9<>/dev/iommu")
        .expect_success();
    assert_eq!(guest_sum(&finished), NVME_SHA256);

    assert_all_back("named", &[(NVME, "nvme")]);
    let absent = domain.run(&[]);
    refused(&absent, &["'iommu'", "--fd iommu=N"]);
    let wrong = domain.run_by_shell("exec passthru run --fd iommu=9 $XML 9</etc/passwd");
    refused(&wrong, &["descriptor 9", "not an iommufd"]);
}

#[test]
fn descriptor_of_a_service_manager_is_found_by_name() {
    let _ = host();
    let domain = Domain::new("service")
        .top("<iommufd enabled='yes' fdgroup='iommu'/>")
        .hostdev(NVME, "", "");
    let line = "exec 3</dev/null 4<>/dev/iommu; LISTEN_PID=$$ LISTEN_FDS=2 \
                LISTEN_FDNAMES=other:iommu exec passthru run --dry-run $XML";
    let steps = domain.run_by_shell(line).expect_success().stdout;

    assert!(
        steps.contains("check the descriptor handed in as /dev/iommu"),
        "{steps}"
    );

    let not_for_us = line.replace("LISTEN_PID=$$", "LISTEN_PID=1");
    refused(&domain.run_by_shell(&not_for_us), &["'iommu'"]);
}
