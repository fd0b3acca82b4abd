//! Messages that docs/troubleshooting.md quotes as headings.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use passthru_domain::{Arch, Domain};
use passthru_guest::{Error as GuestError, FolderError, GroupRule, ImageError, RecordError};
use passthru_host::{BlindSpot, Companion, Error as HostError, Owner, Usage};
use passthru_pci::Address;
use passthru_qemu::{Capabilities, FirmwareCatalog, ProbeError};

const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// Returns the messages in the page's headings, between one or two backticks.
fn quoted() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/troubleshooting.md");
    let text = fs::read_to_string(file).unwrap();
    let headings = text
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let messages = headings.map(|heading| heading.trim_matches('`').to_owned());
    // The qemu crate checks the message about an old QEMU.
    messages
        .filter(|message| !message.starts_with("QEMU "))
        .collect()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn denied() -> io::Error {
    io::ErrorKind::PermissionDenied.into()
}

fn host_errors() -> Vec<HostError> {
    let device = address("0000:01:00.0");
    let companion = Companion {
        address: address("0000:06:02.0"),
        name: Some("82540EM Gigabit Ethernet Controller".into()),
        driver: Some("e1000".into()),
        usages: Vec::new(),
    };
    let holder = Usage::Process {
        pid: 4242,
        comm: "qemu-system-x86".into(),
        node: "/dev/vfio/devices/vfio0".into(),
        vital: true,
    };
    let mount = Usage::Mount {
        block: "nvme0n1".into(),
        mount_point: "/data".into(),
    };
    let namespace = "pid:[4026532180], not the host's own PID namespace";
    let blind_spot = BlindSpot::new("processes that have it open", "/proc/1/ns/pid", namespace);
    vec![
        HostError::NoIommu,
        HostError::NoGroup {
            device,
            others_have: true,
        },
        HostError::NoIommufd,
        HostError::NoCdev,
        HostError::NoType1,
        HostError::NotViable {
            device: address("0000:06:01.0"),
            group: 14,
            companions: vec![companion],
        },
        HostError::InUse {
            device,
            usages: vec![mount],
        },
        HostError::UsageUnknown {
            device,
            blind_spots: vec![blind_spot],
        },
        HostError::Claimed {
            device: device.into(),
            owner: Owner {
                guest: Some("web".into()),
                pid: 4242,
            },
        },
        HostError::NotOnVfio {
            device,
            driver: Some("nvme".into()),
        },
        HostError::NoDriver {
            driver: "vfio-pci".into(),
            answer: String::new(),
        },
        HostError::Write {
            path: "/sys/bus/pci/drivers/vfio-pci/bind".into(),
            value: device.to_string(),
            source: denied(),
        },
        HostError::WrongDriver {
            device,
            wanted: Some("nvme".into()),
            now: Some("vfio-pci".into()),
        },
        HostError::OpenInProcesses {
            device,
            holders: vec![holder],
        },
    ]
}

fn guest_errors() -> Vec<GuestError> {
    vec![
        GuestError::NotRoot,
        GuestError::SharedGroup {
            device: address("0000:01:00.0"),
            owner: "disk 'vda'".into(),
            group: 12,
            other: address("0000:01:00.1"),
            other_owner: "hostdev 0000:01:00.1".into(),
            rule: GroupRule::OwnGroup,
        },
        GuestError::SharedGroup {
            device: address("0000:01:00.1"),
            owner: "hostdev 0000:01:00.1".into(),
            group: 12,
            other: address("0000:01:00.0"),
            other_owner: "hostdev 0000:01:00.0".into(),
            rule: GroupRule::OneBackend,
        },
        GuestError::Ended {
            emulator: QEMU.into(),
            status: None,
            messages: "qemu-system-x86_64: Cannot allocate memory\n".into(),
            about: Some("hostdev0 (0000:01:00.0)".into()),
            hint: None,
        },
        GuestError::Image(ImageError::Open {
            path: "/srv/guests/disk.qcow2".into(),
            source: denied(),
        }),
        GuestError::File {
            what: "libvirt-1-storage".into(),
            path: "/srv/guests/disk.raw".into(),
            source: denied(),
        },
        GuestError::NoTemplate {
            path: "/var/lib/passthru/nvram/web_VARS.fd".into(),
            loader: "/srv/firmware/code.fd".into(),
        },
        GuestError::FirmwareGone {
            descriptor: "60-edk2-x86_64.json".into(),
            missing: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(),
            variables: Some("/var/lib/passthru/nvram/web_VARS.fd".into()),
        },
        GuestError::Folder(FolderError::Running {
            name: "web".into(),
            pid: 4242,
        }),
        GuestError::Folder(FolderError::VmmLives {
            name: "web".into(),
            pid: 4242,
        }),
        GuestError::Folder(FolderError::VmmUnseen {
            name: "web".into(),
            pid: 4242,
            journal: "/run/passthru/domain-web/journal".into(),
        }),
        GuestError::Record(RecordError::Shared {
            user: "qemu".into(),
            guest: "web".into(),
        }),
    ]
}

fn domain_error() -> String {
    let xml = "<domain type='kvm'><name>vm</name><memory>1048576</memory><os firmware='efi'>\
        <type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features></domain>";
    let none = FirmwareCatalog::Descriptors(Vec::new());
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(none);
    let errors = Domain::parse(xml).unwrap().complete(&capabilities);
    let errors = errors.unwrap_err();
    errors.iter().next().unwrap().message.clone()
}

/// Returns the first line of each message.
fn printed() -> BTreeSet<String> {
    let start = ProbeError::Start {
        binary: QEMU.into(),
        source: denied(),
    };
    let mut messages = vec![domain_error(), start.to_string()];
    messages.extend(host_errors().iter().map(ToString::to_string));
    messages.extend(guest_errors().iter().map(ToString::to_string));
    messages
        .iter()
        .filter_map(|message| message.lines().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn troubleshooting_quotes_messages_as_they_are_printed() {
    assert_eq!(quoted(), printed());
}
