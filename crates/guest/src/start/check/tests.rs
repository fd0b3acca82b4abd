//! Plans with several reasons against the start.

use passthru_host::Error as HostError;
use tempfile::TempDir;

use super::*;

/// Returns a host without devices.
fn empty_host() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["proc", "sys/bus/pci/devices"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    root
}

/// Plans a guest with these elements of `<os>` and devices, in a folder.
fn plan(root: &Path, os: &str, devices: &str) -> StartPlan {
    let xml = format!(
        "<domain type='kvm'><name>vm</name><memory>1048576</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type>{os}</os>\
         <devices>{devices}</devices></domain>"
    );
    StartPlan::for_test(&xml, root, User::choose(None).unwrap())
}

fn disk(format: &str, name: &str) -> String {
    format!(
        "<disk type='file'><driver name='qemu' type='{format}'/>\
         <source file='/nonexistent/{name}'/><target dev='{name}'/></disk>"
    )
}

fn hostdev(bus: u8, inner: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci' managed='yes'><driver{inner}/><source>\
         <address domain='0' bus='{bus}' slot='0' function='0'/></source></hostdev>"
    )
}

/// Returns a device that a start does not support.
fn usb_device() -> String {
    "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0x5678'/>\
     </source></hostdev>"
        .into()
}

/// Returns the errors of the check of a plan.
fn errors(plan: &StartPlan, root: &Path) -> Vec<Error> {
    match check(plan, &Host::at(root)) {
        Err(Error::Several(errors)) => errors,
        Err(error) => vec![error],
        Ok(()) => Vec::new(),
    }
}

#[test]
fn files_that_cannot_be_opened_are_named_together() {
    let root = empty_host();
    let os = "<loader readonly='yes' type='pflash'>/nonexistent/code</loader>\
        <nvram template='/nonexistent/template'>/nonexistent/vars</nvram>\
        <kernel>/nonexistent/kernel</kernel>";
    let disks = ["vda", "vdb"].map(|name| disk("raw", name)).concat();
    let devices = format!("{disks}{}", disk("qcow2", "vdc"));
    let found = errors(&plan(root.path(), os, &devices), root.path());
    let messages: Vec<String> = found.iter().map(ToString::to_string).collect();
    let expected = ["vdc", "template", "code", "kernel", "vda", "vdb"];

    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (message, name) in messages.iter().zip(expected) {
        assert!(
            message.contains(&format!("/nonexistent/{name}")),
            "{message}"
        );
    }
}

#[test]
fn devices_and_images_are_refused_together() {
    let root = empty_host();
    let devices = [
        hostdev(1, ""),
        hostdev(2, " iommufd='no'"),
        usb_device(),
        disk("qcow2", "vda"),
        disk("qcow2", "vdb"),
    ];
    let plan = plan(root.path(), "", &devices.concat());
    let found = errors(&plan, root.path());
    let Some((Error::Host(HostError::Several(missing)), others)) = found.split_last() else {
        panic!("{found:#?}")
    };

    assert_eq!(missing.len(), 2);
    assert!(matches!(
        others,
        [Error::NotPci { .. }, Error::Image(_), Error::Image(_)]
    ));

    assert!(matches!(
        plan.ops(&Host::at(root.path())),
        Err(Error::Several(faults)) if faults.len() == 3
    ));
}

#[test]
fn plan_without_reasons_against_it_is_permitted() {
    let root = empty_host();
    assert!(errors(&plan(root.path(), "", ""), root.path()).is_empty());
}

#[test]
fn devices_are_checked_without_a_plan() {
    let root = empty_host();
    let devices = hostdev(1, "") + &hostdev(2, " iommufd='no'") + &usb_device();
    let domain = plan(root.path(), "", &devices).domain;
    let error = check_devices(&domain, &Host::at(root.path())).unwrap_err();

    assert!(matches!(
        error,
        Error::Several(errors)
            if matches!(&errors[..], [Error::NotPci { .. }, Error::Host(HostError::Several(_))])
    ));
}
