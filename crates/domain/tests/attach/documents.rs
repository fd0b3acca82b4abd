//! Documents: one device, or a list of them.

use passthru_domain::DeviceDocument;

use crate::helpers::{hostdev, places, plug, refused, with_ports};

#[test]
fn document_has_one_device_or_a_list() {
    let domain = with_ports(2);
    let one = hostdev(1, 0, "");
    let alone = plug(&domain, &one).unwrap();
    assert_eq!(places(&alone), ["hostdev0 0000:01:00.0"]);

    let declared = format!("<?xml version='1.0'?>\n<!-- a card -->\n{one}\n");
    let after = plug(&domain, &declared);
    let after = after.unwrap().domain;
    assert!(after == alone.domain, "{}", after.format());

    let listed = format!("<devices>\n{one}{}</devices>", hostdev(2, 0, ""));
    let two = plug(&domain, &listed);
    let two = two.unwrap();
    assert_eq!(
        places(&two),
        ["hostdev0 0000:01:00.0", "hostdev1 0000:02:00.0"]
    );
}

#[test]
fn errors_of_a_document_have_line_and_column() {
    let xml = "<?xml version='1.0'?>\n<hostdev mode='subsystem' type='pci' manged='yes'>\n\
               <source><address bus='1' slot='x'/></source></hostdev>";
    let errors = DeviceDocument::parse(xml).unwrap_err();
    let found: Vec<_> = errors
        .iter()
        .map(|error| (error.line_column(xml).unwrap(), error.message.as_str()))
        .collect();
    assert_eq!(found[0].0, (2, 38));
    assert_eq!(found[0].1, "<hostdev> has no attribute 'manged'");
    assert_eq!(found[1].0, (3, 32), "{found:?}");

    let errors = DeviceDocument::parse("<hostdev>\n<source>\n</hostdev>").unwrap_err();
    let first = errors.iter().next().unwrap();
    assert!(first.message.contains("not well-formed"), "{first}");
}

#[test]
fn roots_and_kinds_of_other_elements_are_refused() {
    let domain = with_ports(1);
    for (xml, words, at) in [
        ("<domain/>", "the document's root is <domain>", "<domain/>"),
        ("<disks/>", "the document's root is <disks>", "<disks/>"),
        ("<devices/>", "the document has no device", "<devices/>"),
        (
            "<rng model='virtio'><backend model='builtin'/></rng>",
            "<rng> cannot be plugged into a running guest",
            "<rng",
        ),
        (
            "<devices><graphics type='vnc'/></devices>",
            "<graphics> cannot be plugged into a running guest",
            "<graphics",
        ),
        (
            "<devices><emulator>/bin/x</emulator></devices>",
            "<emulator> cannot be plugged into a running guest",
            "<emulator>",
        ),
        (
            "<devices><disks/></devices>",
            "<disks> is not understood within <devices>",
            "<disks/>",
        ),
    ] {
        refused(&domain, xml, words, at);
    }

    let many = format!("<devices>{}</devices>", hostdev(1, 0, "").repeat(257));
    refused(&domain, &many, "has 257 devices", "<devices>");
}

fn disk(kind: &str, source: &str, target: &str) -> String {
    format!("<disk type='{kind}'>{source}{target}</disk>")
}

#[test]
fn kinds_of_devices_from_the_start_alone_are_refused() {
    let domain = with_ports(2);
    let image = "<source file='/images/a'/>";
    let vda = "<target dev='vda' bus='virtio'/>";
    for (xml, words) in [
        (
            disk("file", image, "<target dev='sda' bus='sata'/>"),
            "the bus 'sata' of disks",
        ),
        (
            disk("file", image, "<target dev='sda' bus='usb'/>"),
            "the bus 'usb' of disks",
        ),
        (
            disk("vhostuser", "<source type='unix' path='/s'/>", vda),
            "a disk of type 'vhostuser'",
        ),
        (
            "<interface type='vhostuser'><source type='unix' path='/s' mode='client'/>\
             </interface>"
                .into(),
            "an interface of type 'vhostuser'",
        ),
        (
            "<interface type='user'><backend type='passt'/></interface>".into(),
            "a connection by passt",
        ),
        (
            "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/>\
             <product id='0x5678'/></source></hostdev>"
                .into(),
            "a hostdev of type 'usb'",
        ),
        (
            hostdev(1, 0, "<address type='unassigned'/>"),
            "the guest does not see it",
        ),
        (
            hostdev(1, 0, "<acpi nodeset='1'/>"),
            "ACPI tables, which are made at the start",
        ),
    ] {
        let tag = xml.split([' ', '>']).next().unwrap();
        refused(&domain, &xml, words, tag);
    }
}

#[test]
fn rules_of_a_domain_hold_for_new_devices() {
    let domain = with_ports(3);
    let twice = hostdev(1, 0, "");
    let once = plug(&domain, &twice);
    let once = once.unwrap().domain;
    refused(&once, &twice, "0000:01:00.0", "<hostdev");

    let disk = "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>";
    let with_disk = plug(&domain, disk);
    let with_disk = with_disk.unwrap().domain;
    refused(&with_disk, disk, "two disks have the target 'vda'", "<disk");
}
