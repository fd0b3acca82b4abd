//! Explanations of QEMU's error messages.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use passthru_domain::{Backend, Domain};
use passthru_qemu::{Capabilities, CommandLine, Placeholders, Style, command_line, explain};

fn line() -> CommandLine {
    let xml = include_str!("data/nvme-iommufd-q35.xml");
    let domain = Domain::parse(xml).unwrap();
    let capabilities = Capabilities::builtin(domain.os.kind.arch.unwrap());
    let mut domain = domain.complete(&capabilities).unwrap();
    domain.set_default_backend(Backend::Type1);
    command_line(&domain, &capabilities, Style::Managed).unwrap()
}

/// Returns the text that QEMU puts before a message about an option.
fn option(line: &CommandLine, id: &str) -> String {
    let args = line.render(&Placeholders);
    let at = args
        .iter()
        .position(|arg| arg.contains(&format!(r#""id":"{id}""#)))
        .unwrap();
    format!("{} {}", args[at - 1], args[at])
}

#[test]
fn message_about_an_option_names_its_device() {
    let line = line();
    let stderr = format!(
        "2026-11-21T01:45:00.123456Z qemu-system-x86_64: warning: \
         TCG doesn't support requested feature\n\
         2026-11-21T01:45:00.223456Z qemu-system-x86_64: {}: \
         vfio 0000:02:00.0: error bind device fd=15 to \
         iommufd=14: Invalid argument\n",
        option(&line, "hostdev0")
    );
    let explanation = explain(&stderr, &line).unwrap();
    assert_eq!(explanation.id.as_deref(), Some("hostdev0"));
    assert_eq!(explanation.host.unwrap().to_string(), "0000:02:00.0");

    let message = "vfio 0000:02:00.0: error bind device fd=15 to iommufd=14: Invalid argument";
    assert_eq!(explanation.message, message);
    assert_eq!(
        explanation.to_string(),
        format!("hostdev0 (the host's 0000:02:00.0): {message}")
    );
    assert!(
        explanation
            .hint
            .unwrap()
            .contains("open the VFIO device anew")
    );
}

#[test]
fn message_with_a_host_address_names_the_device() {
    let line = line();
    let stderr = "/usr/bin/qemu-system-x86_64: vfio_container_dma_map(0x55, 0x0, 0xa0000, 0x7f) = \
                  -12 (Cannot allocate memory)\n\
                  qemu-system-x86_64: vfio 0000:02:00.0: cannot set up memory\n";
    let explanation = explain(stderr, &line).unwrap();
    assert_eq!(explanation.id.as_deref(), Some("hostdev0"));
}

#[test]
fn frequent_messages_have_hints() {
    let line = line();
    let hint = |text: &str| {
        explain(&format!("qemu-system-x86_64: {text}\n"), &line)
            .unwrap()
            .hint
    };
    for (text, expected) in [
        (
            "vfio_container_dma_map(…) = -12 (Cannot allocate memory)",
            "locked-memory limit",
        ),
        (
            "vfio 0000:02:00.0: group 7 is not viable",
            "other devices of the IOMMU group",
        ),
        (
            "vfio 0000:02:00.0: failed to open /dev/vfio/7: No such file or directory",
            "bind the device to vfio-pci",
        ),
        (
            "vfio 0000:02:00.0: no iommu_group found: No such device",
            "bind the device to vfio-pci",
        ),
        (
            "Could not access KVM kernel module: No such file or directory",
            "load the kernel's KVM module",
        ),
        (
            "Could not access KVM kernel module: Permission denied",
            "access to /dev/kvm",
        ),
        (
            "vfio 0000:02:00.0: Failed to set vIOMMU: Device assignment is not allowed \
             without enabling caching-mode=on for Intel IOMMU.",
            "caching_mode='on'",
        ),
        (
            "vfio 0000:02:00.0: device 01.00.0 requires caching mode",
            "caching_mode='on'",
        ),
        (
            "-machine pc-q35-2.0: unsupported machine type",
            "machine types",
        ),
        (
            "-blockdev x: Failed to get \"write\" lock",
            "stop the other process",
        ),
    ] {
        assert!(
            hint(text).is_some_and(|hint| hint.contains(expected)),
            "{text}: {:?}",
            hint(text)
        );
    }
}

#[test]
fn messages_of_other_programs_are_not_explained() {
    let line = line();
    assert_eq!(explain("", &line), None);
    assert_eq!(
        explain(
            "ld.so: libnuma.so.1: cannot open shared object file\n",
            &line
        ),
        None
    );

    let other = explain("qemu-system-x86_64: something new went wrong\n", &line).unwrap();
    assert_eq!((other.id, other.hint), (None, None));
}
