//! Refusals, each with its position and a message that names the faulty part.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{check, guest};

#[track_caller]
fn refused(machine: &str, devices: &str, words: &str, at: &str) {
    common::refused(&guest(machine, devices), words, at);
}

#[track_caller]
fn accepted(machine: &str, devices: &str) {
    common::accepted(&guest(machine, devices));
}

fn hostdev(source: &str, rest: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci'><source><address {source}/></source>{rest}</hostdev>"
    )
}

const VIRTIO_NET: &str = "<interface type='user'><model type='virtio'/>";

#[test]
fn unknown_text_is_refused() {
    refused(
        "q35",
        "<disks/>",
        "<disks> is not understood within <devices>",
        "<disks/>",
    );
    refused(
        "q35",
        "<rng model='virtoi'><backend model='builtin'/></rng>",
        "'virtoi'",
        "virtoi",
    );
    refused(
        "q35",
        "<memballoon model='none' moddel='x'/>",
        "no attribute 'moddel'",
        "moddel",
    );
    refused(
        "q35",
        "<controller type='pci' index='-1'/>",
        "'index' of <controller> is '-1'",
        "-1",
    );
    refused(
        "q35",
        "<memballoon model='none'>x</memballoon>",
        "cannot hold text",
        "x",
    );
    refused(
        "q35",
        "<memballoon model='none'/><memballoon model='none'/>",
        "appears twice",
        "<memballoon",
    );
}

#[test]
fn faulty_value_is_not_also_reported_missing() {
    let errors = check(&guest("q35", "<interface type='bridge'/>")).unwrap_err();
    assert_eq!(errors.iter().count(), 1, "{errors}");
}

#[test]
fn duplicate_pci_address_names_both_devices() {
    let net = format!("{VIRTIO_NET}<address type='pci' slot='4'/></interface>");
    let assigned = hostdev("bus='1'", "<address type='pci' slot='4'/>");
    let devices = format!("{net}{assigned}");
    refused(
        "pc",
        &devices,
        "0000:00:04.0 is used twice: by interface 0 and by hostdev 0000:01:00.0",
        "<hostdev",
    );
    refused(
        "q35",
        &hostdev("bus='1'", "<address type='pci' slot='0x1f'/>"),
        "by the board's ISA bridge and by hostdev 0000:01:00.0",
        "<hostdev",
    );
}

fn card_at(address: &str) -> String {
    format!("{VIRTIO_NET}<address type='pci' {address}/></interface>")
}

#[test]
fn pci_address_out_of_range_is_refused() {
    refused(
        "pc",
        &card_at("domain='1' slot='4'"),
        "a guest has only domain 0",
        "<interface",
    );
    refused(
        "pc",
        &card_at("slot='0x20'"),
        "slot 0x20 is above 0x1f",
        "<address",
    );
    refused(
        "pc",
        &card_at("bus='0x100' slot='1'"),
        "'bus' of <address> is '0x100'",
        "0x100",
    );
    refused(
        "q35",
        &card_at("bus='1' slot='3'"),
        "out of range: a pcie-root-port has only slot 0",
        "<interface",
    );
    refused(
        "pc",
        &card_at("bus='1' slot='0' function='1'"),
        "out of range: a pci-bridge has 0x1 to 0x1f",
        "<interface",
    );
    accepted("q35", &card_at("bus='1' slot='0'"));
    accepted("q35", &card_at("slot='7'"));
}

#[test]
fn device_directly_on_an_expander_is_refused() {
    let devices = format!(
        "<controller type='pci' index='1' model='pcie-expander-bus'/>{}",
        hostdev("bus='1'", "<address type='pci' bus='1' slot='0'/>")
    );
    refused(
        "q35",
        &devices,
        "index 1 (pcie-expander-bus); it needs a controller that accepts",
        "<hostdev",
    );
}

fn disk_at(bus: &str, address: &str) -> String {
    format!("<disk type='file'><source file='/x'/><target dev='sda' bus='{bus}'/>{address}</disk>")
}

#[test]
fn address_of_the_wrong_type_is_refused() {
    refused(
        "q35",
        &disk_at("sata", "<address type='pci' slot='4'/>"),
        "disk 'sda' is not a PCI device",
        "<disk",
    );
    refused(
        "q35",
        &disk_at("virtio", "<address type='drive'/>"),
        "needs an address of type 'pci', not 'drive'",
        "<disk",
    );
    refused(
        "q35",
        "<memballoon model='virtio'><address type='virtio-mmio'/></memballoon>",
        "memballoon is not on a machine with virtio-mmio",
        "<mem",
    );
}

#[test]
fn pci_device_without_a_pci_bus_is_refused() {
    refused(
        "microvm",
        "<interface type='user'><model type='e1000'/></interface>",
        "interface 0 is a PCI device, but the machine 'microvm' has no PCI bus",
        "<interface",
    );
}

fn pci_controller(rest: &str) -> String {
    format!("<controller type='pci' {rest}/>")
}

fn pci_bridge(slot: &str) -> String {
    format!("<controller type='pci' index='1' model='pci-bridge'>{slot}</controller>")
}

#[test]
fn impossible_controllers_are_refused() {
    refused(
        "pc",
        &pci_controller("index='0' model='pcie-root'"),
        "must be a 'pci-root' on the machine 'pc'",
        "<controller",
    );
    refused(
        "q35",
        &pci_controller("index='0' model='pci-root'"),
        "must be a 'pcie-root' on the machine 'q35'",
        "<controller",
    );
    refused(
        "pc",
        &pci_controller("index='1' model='pci-root'"),
        "must have the index 0",
        "<controller",
    );
    refused(
        "q35",
        &pci_controller("index='300' model='pcie-root-port'"),
        "index 300 of a PCI controller is above 255",
        "<con",
    );
    let twice = format!("{0}{0}", pci_controller("index='1' model='pci-bridge'"));
    refused(
        "pc",
        &twice,
        "two 'pci' controllers have the index 1",
        "<controller",
    );
    let own = pci_bridge("<address type='pci' bus='1' slot='1'/>");
    refused(
        "pc",
        &own,
        "its index must be larger than its bus",
        "<controller",
    );
    refused(
        "q35",
        "<controller type='usb' model='pcie-root-port'/>",
        "not a model of a 'usb' controller",
        "<con",
    );
    refused(
        "q35",
        "<controller type='ide' index='0'/>",
        "has no IDE controller",
        "<controller",
    );
    refused(
        "q35",
        "<controller type='pci' index='1' model='pcie-switch-downstream-port'/>",
        "none can be added",
        "<con",
    );
}

#[test]
fn root_ports_beyond_the_slots_are_refused() {
    let ports = "<controller type='pci' model='pcie-root-port'/>".repeat(250);
    refused(
        "q35",
        &ports,
        "no slot is free that accepts a pcie-root-port",
        "<controller",
    );
}

#[test]
fn host_device_in_two_spellings_is_refused() {
    let devices = format!(
        "{}{}",
        hostdev("bus='6' slot='1'", ""),
        hostdev("bus='0x06' slot='0x01'", "")
    );
    refused(
        "q35",
        &devices,
        "0000:06:01.0 is given to the guest twice",
        "<hostdev",
    );
}

fn card_with_order(order: u32) -> String {
    format!("{VIRTIO_NET}<boot order='{order}'/></interface>")
}

#[test]
fn contradictory_boot_orders_are_refused() {
    refused(
        "q35",
        &format!("{}{}", card_with_order(1), card_with_order(1)),
        "boot order 1 is used twice: by interface 0 and by interface 1",
        "<interface",
    );
    refused(
        "q35",
        &card_with_order(0),
        "must be 1 or more",
        "<interface",
    );
    let xml = guest("q35", &card_with_order(1)).replace("</os>", "<boot dev='hd'/></os>");
    common::refused(&xml, "cannot be used together with <boot dev='…'/>", "<os>");
}

fn file_disk(attributes: &str, inner: &str) -> String {
    format!("<disk type='file' {attributes}>{inner}</disk>")
}

#[test]
fn contradictory_disks_are_refused() {
    let image = "<source file='/x'/>";
    let two = file_disk("", &format!("{image}<target dev='vda'/>")).repeat(2);
    refused("q35", &two, "two disks have the target 'vda'", "<disk");
    let sata = |dev| {
        file_disk(
            "",
            &format!("{image}<target dev='{dev}' bus='sata'/><address type='drive' unit='0'/>"),
        )
    };
    refused(
        "q35",
        &format!("{}{}", sata("sda"), sata("sdb")),
        "'sda' and 'sdb' have the same drive address",
        "<disk",
    );
    refused(
        "q35",
        &file_disk("", "<target dev='vda'/>"),
        "disk 'vda' needs a <source>",
        "<disk",
    );
    refused(
        "q35",
        &file_disk("device='cdrom'", "<target dev='vda'/>"),
        "a cdrom cannot be on the bus 'virtio'",
        "<disk",
    );
    refused(
        "virt",
        &file_disk("device='floppy'", "<target dev='fda'/>"),
        "no floppy controller",
        "<disk",
    );
    refused(
        "q35",
        &file_disk("", &format!("{image}<target dev='hda'/>")),
        "no IDE controller",
        "<disk",
    );
    refused(
        "q35",
        &file_disk(
            "",
            &format!("{image}<target dev='sda' bus='sata'/><readonly/>"),
        ),
        "cannot be read-only",
        "<disk",
    );
    refused(
        "virt",
        &file_disk("", &format!("{image}<target dev='sda' bus='usb'/>")),
        "no USB controller",
        "<disk",
    );
    refused(
        "q35",
        &file_disk(
            "",
            &format!("<driver io='native'/>{image}<target dev='vda'/>"),
        ),
        "io='native' needs",
        "<disk",
    );
    refused(
        "q35",
        &file_disk("", &format!("{image}<target dev='v1'/>")),
        "'v1' is not the name of a disk",
        "<disk",
    );
    let far = "<target dev='sda' bus='sata'/><address type='drive' unit='6'/>";
    refused(
        "q35",
        &file_disk("", &format!("{image}{far}")),
        "unit 6 of its address is above 5",
        "<disk",
    );
    let beyond = "<target dev='sda' bus='scsi'/><address type='drive' controller='4000000000'/>";
    refused(
        "q35",
        &file_disk("", &format!("{image}{beyond}")),
        "there is no 'scsi' controller 4000000000",
        "<disk",
    );
}

#[test]
fn iommu_on_the_wrong_machine_or_with_others_is_refused() {
    refused(
        "pc",
        "<iommu model='intel'/>",
        "for the machines q35 only, not for 'pc'",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='smmuv3'/>",
        "for the machines virt only",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='intel'/><iommu model='virtio'/>",
        "'virtio' must be the only one",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='intel'><driver intremap='on'/></iommu>",
        "I/O APIC",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='intel'><driver eim='on'/></iommu>",
        "needs intremap='on'",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='virtio'><driver iotlb='on'/></iommu>",
        "has no 'iotlb'",
        "<iommu",
    );
    refused(
        "virt",
        "<iommu model='virtio'><driver accel='on'/></iommu>",
        "has no 'accel'",
        "<iommu",
    );
    let elsewhere = "<controller type='pci' model='pcie-root-port'/><iommu model='virtio'>\
        <address type='pci' bus='1'/></iommu>";
    refused("q35", elsewhere, "must be on the root bus", "<iommu");
}

fn smmu(driver: &str) -> String {
    format!("<iommu model='smmuv3'><driver {driver}/></iommu>")
}

#[test]
fn smmuv3_without_a_root_bus_of_its_own_is_refused() {
    let pxb = "<controller type='pci' index='1' model='pcie-expander-bus'/>";
    let with = |drivers: &[&str]| {
        format!(
            "{pxb}{}",
            drivers.iter().map(|d| smmu(d)).collect::<String>()
        )
    };
    accepted("virt", &with(&["pciBus='0'", "pciBus='1' accel='on'"]));
    accepted("virt", "<iommu model='smmuv3'/>");
    refused(
        "virt",
        &with(&["pciBus='1'", "pciBus='1'"]),
        "two SMMUv3 serve the PCI bus 1",
        "<iommu",
    );
    refused(
        "virt",
        &format!("{}<iommu model='smmuv3'/>", with(&["pciBus='1'"])),
        "needs its own PCI bus",
        "<iommu",
    );
    refused(
        "virt",
        &with(&["pciBus='7'"]),
        "there is no such PCI controller",
        "<iommu",
    );
    refused(
        "virt",
        &with(&["accel='on'"]),
        "needs the attribute 'pciBus'",
        "<iommu",
    );
    refused(
        "virt",
        &with(&["pciBus='1' ats='on'"]),
        "ats='on' of the SMMUv3 needs accel='on'",
        "<iommu",
    );
    refused(
        "virt",
        &with(&["pciBus='1' accel='on' ssidsize='21'"]),
        "ssidsize='21'",
        "<iommu",
    );
    let port = "<controller type='pci' index='1' model='pcie-root-port'/>";
    refused(
        "virt",
        &format!("{port}{}", smmu("pciBus='1'")),
        "pciBus='1' of the SMMUv3 is a pcie-root-port",
        "<iommu",
    );
}

#[test]
fn type1_behind_an_accelerated_vsmmu_is_refused() {
    let topology = "<controller type='pci' index='1' model='pcie-expander-bus'/>\
                    <controller type='pci' index='2' model='pcie-root-port'>\
                    <address type='pci' bus='1' slot='0'/></controller>\
                    <iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>";
    let with = |driver| {
        format!(
            "{topology}{}",
            hostdev(
                "bus='9'",
                &format!("{driver}<address type='pci' bus='2' slot='0'/>")
            )
        )
    };
    accepted("virt", &with(""));
    refused(
        "virt",
        &with("<driver iommufd='no'/>"),
        "behind an accelerated vSMMU, which needs iommufd; its <driver> disables it",
        "<hostdev",
    );
    let xml = guest("virt", &with("")).replace("<os>", "<iommufd enabled='no'/><os>");
    common::refused(&xml, "<iommufd> of the domain disables it", "<hostdev");
    refused(
        "virt",
        &with("<iommufdId>other</iommufdId>"),
        "object 'other', but its vSMMU uses 'iommufd0'",
        "<hostdev",
    );
}

#[test]
fn descriptor_given_twice_is_refused() {
    let two = format!(
        "{}{}",
        hostdev("bus='1'", "<iommufdFd>9</iommufdFd>"),
        hostdev("bus='2'", "<iommufdFd>9</iommufdFd>")
    );
    refused(
        "q35",
        &two,
        "the descriptor 9 is given for two devices",
        "<hostdev",
    );
    let grouped = guest(
        "q35",
        "<iommu model='intel'><iommufd><fd>5</fd></iommufd></iommu>",
    )
    .replace("<os>", "<iommufd enabled='yes' fdgroup='g'/><os>");
    common::refused(&grouped, "the descriptor 5 and the fdgroup 'g'", "<iommu");
}

fn with_part(machine: &str, part: &str) -> String {
    guest(machine, "").replace("<os>", &format!("{part}<os>"))
}

fn hugepages(page: &str) -> String {
    format!("<memoryBacking><hugepages><page {page}/></hugepages></memoryBacking>")
}

#[test]
fn contradictory_guest_settings_are_refused() {
    let cpu = "<vcpu>3</vcpu><cpu><topology sockets='1' cores='2' threads='2'/></cpu>";
    common::refused(
        &with_part("q35", cpu),
        "has 4 CPUs, but <vcpu> is 3",
        "<topology",
    );
    common::refused(
        &with_part("q35", "<features><gic version='3'/></features>"),
        "<gic> is for aarch64",
        "<domain",
    );
    let tcg = with_part("q35", "<cpu mode='host-passthrough'/>").replace("'kvm'", "'qemu'");
    common::refused(&tcg, "needs <domain type='kvm'>", "<domain");
    common::refused(
        &with_part("q35", &hugepages("size='2048' nodeset='1'")),
        "the guest has 1, and no node 1",
        "<domain",
    );
    let uefi = guest("q35", "").replace("</os>", "<loader type='pflash'>/ovmf</loader></os>");
    common::refused(&uefi, "UEFI firmware needs ACPI", "<os>");
    common::refused(
        &guest("q35", "").replace("machine='q35'", "machine='pdp11'"),
        "no machine 'pdp11'",
        "<type",
    );
}

fn with_driver(model: &str) -> String {
    hostdev(
        "bus='1' slot='0' function='0'",
        &format!("<driver name='vfio' model='{model}'/>"),
    )
}

#[test]
fn driver_name_that_is_a_path_is_refused() {
    for model in ["../../../../etc", "", "a b"] {
        refused(
            "q35",
            &with_driver(model),
            &format!("'{model}' is not the name of a driver"),
            "<driver",
        );
    }
    accepted("q35", &with_driver("mlx5_vfio_pci"));
}

fn efi_guest(rest: &str) -> String {
    guest("q35", "")
        .replace("<os>", "<features><acpi/></features><os firmware='efi'>")
        .replace("</os>", &format!("{rest}</os>"))
}

#[test]
fn automatic_firmware_selection_is_refused() {
    for rest in ["", "<loader secure='yes'/>"] {
        common::refused(
            &efi_guest(rest),
            "automatic selection of firmware is not supported yet",
            "<os",
        );
    }
    check(&efi_guest(
        "<loader type='pflash' readonly='yes'>/ovmf</loader>",
    ))
    .unwrap();
    common::refused(
        &guest("q35", "").replace("</os>", "<loader/></os>"),
        "<loader> names no file",
        "<os>",
    );
    check(&guest("q35", "").replace("<os>", "<os firmware='bios'>")).unwrap();
}

#[test]
fn all_errors_come_at_once_in_source_order() {
    let devices = "<disk type='file'><target dev='vda'/></disk><iommu model='smmuv3'/>\
        <controller type='ide'/>";
    let errors = check(&guest("q35", devices)).unwrap_err();
    let starts: Vec<_> = errors
        .iter()
        .map(|e| e.span.clone().unwrap().start)
        .collect();
    assert_eq!(starts.len(), 3, "{errors}");
    assert!(starts.is_sorted());
}

fn with_iommufd_id(id: &str) -> String {
    hostdev("bus='1'", &format!("<iommufdId>{id}</iommufdId>"))
}

#[test]
fn malformed_ids_are_refused() {
    for id in ["", "a,b=$(x)", "0a", "a b"] {
        refused(
            "q35",
            &with_iommufd_id(id),
            &format!("the iommufd object's id '{id}' is not a valid id"),
            "<hostdev",
        );
        let iommu = format!("<iommu model='intel'><iommufd><id>{id}</id></iommufd></iommu>");
        refused(
            "q35",
            &iommu,
            &format!("'{id}' is not a valid id"),
            "<iommu ",
        );
    }
    refused(
        "q35",
        "<iommu model='intel'><alias name='ua-a,b'/></iommu>",
        "the alias 'ua-a,b' of iommu 0",
        "<iommu",
    );
    accepted("q35", &with_iommufd_id("my.Object_1-b"));
}

fn card_with_alias(alias: &str) -> String {
    format!("{VIRTIO_NET}<alias name='{alias}'/></interface>")
}

#[test]
fn ids_in_use_are_refused() {
    refused(
        "q35",
        &card_with_alias("ua-dup").repeat(2),
        "'ua-dup' of interface 1 is already used by interface 0",
        "<interface",
    );
    refused(
        "q35",
        &card_with_alias("balloon0"),
        "'balloon0' of interface 0 is already used by memballoon",
        "<interface",
    );
    refused(
        "q35",
        &card_with_alias("pcie.0"),
        "'pcie.0' of interface 0 is already used by controller pci 0",
        "<interface",
    );
    for id in ["pc.ram", "monitor", "pci.0"] {
        refused(
            "q35",
            &with_iommufd_id(id),
            &format!("'{id}' is already used by the emulator itself"),
            "<hostdev",
        );
    }
    for id in ["ua-x", "hostua-x"] {
        refused(
            "q35",
            &format!("{}{}", card_with_alias("ua-x"), with_iommufd_id(id)),
            "is already used by interface 0",
            "<hostdev",
        );
    }
    let serial = "<serial type='pty'><alias name='ua-s'/></serial><console type='pty'>\
        <alias name='ua-s'/></console>";
    accepted("q35", serial);
}

fn with_shared_object(bus: &str) -> String {
    hostdev(bus, "<iommufdId>shared</iommufdId>")
}

#[test]
fn iommufd_object_may_serve_many_devices() {
    let iommu = "<iommu model='intel'><iommufd><id>shared</id></iommufd></iommu>";
    accepted(
        "q35",
        &format!(
            "{}{}{iommu}",
            with_shared_object("bus='1'"),
            with_shared_object("bus='2'")
        ),
    );
}

#[test]
fn parse_errors_come_in_source_order() {
    let errors = check(&guest("q35", "<memballoon model='x'/><disk type='y'/>")).unwrap_err();
    let starts: Vec<_> = errors
        .iter()
        .map(|e| e.span.clone().unwrap().start)
        .collect();
    assert!(starts.len() >= 2 && starts.is_sorted(), "{errors}");
}

fn with_cpu(cpu: &str) -> String {
    guest("q35", "").replace("<os>", &format!("<cpu mode='custom'>{cpu}</cpu><os>"))
}

#[test]
fn cpu_words_that_would_be_options_are_refused() {
    for word in ["Penryn,kvm=off", "a=b", "a b"] {
        let words = format!("is '{word}': expected letters, digits");
        common::refused(
            &with_cpu(&format!("<model>{word}</model>")),
            &words,
            "<model",
        );
        let feature = format!("<model>Penryn</model><feature policy='require' name='{word}'/>");
        common::refused(&with_cpu(&feature), &words, word);
    }
    common::refused(
        &with_cpu("<feature name=''/>"),
        "'name' of <feature> is ''",
        "",
    );
    let usual = "<model>Opteron_G3-v1</model><feature name='sse4.1'/><feature name='sve512'/>";
    check(&with_cpu(usual)).unwrap();
}

fn disk_with_empty(source: &str) -> String {
    format!("<disk type='file'><source {source}=''/><target dev='vda'/></disk>")
}

#[test]
fn empty_and_relative_paths_are_refused() {
    refused(
        "q35",
        &disk_with_empty("file"),
        "'file' of <source> is '': expected the path of a file",
        "",
    );
    refused(
        "q35",
        &disk_with_empty("dev"),
        "'dev' of <source> is ''",
        "",
    );
    for (element, at) in [
        ("<kernel/>", "<kernel/>"),
        ("<kernel>/k</kernel><initrd> </initrd>", "<initrd>"),
    ] {
        let xml = guest("q35", "").replace("</os>", &format!("{element}</os>"));
        common::refused(&xml, "is '': expected the path of a file", at);
    }
    let nvram = "<loader type='pflash'>/l</loader><nvram template=''>/n</nvram></os>";
    common::refused(
        &guest("q35", "").replace("</os>", nvram),
        "'template' of <nvram> is ''",
        "",
    );
    for emulator in ["", "qemu-system-x86_64", "./qemu"] {
        let devices = format!("<emulator>{emulator}</emulator>");
        refused(
            "q35",
            &devices,
            "expected a path that starts with '/'",
            "<emulator>",
        );
    }
}

fn named_guest(name: &str) -> String {
    guest("q35", "").replace("<name>t<", &format!("<name>{name}<"))
}

#[test]
fn guest_name_that_is_not_a_file_name_is_refused() {
    common::refused(
        &named_guest(".."),
        "<name> is '..': '.' and '..' are folders, not names",
        "<name>",
    );
    common::refused(
        &named_guest("it's/x"),
        "<name> is 'it's/x': expected a name without a slash or control character",
        "<name>",
    );
    common::refused(
        &named_guest("a\nb"),
        r"<name> is 'a\nb': expected a name without a slash",
        "<name>",
    );
    common::refused(&named_guest(""), "<name> is '': expected a name", "<name>");
    common::refused(
        &guest("q35", "").replace("<name>t</name>", ""),
        "needs a <name>",
        "<domain",
    );
}

#[test]
fn faulty_host_address_is_reported_once() {
    for address in ["bus='x'", "slot='0x20'", "bus='0x100'"] {
        let errors = check(&guest("q35", &hostdev(address, ""))).unwrap_err();
        assert_eq!(errors.iter().count(), 1, "{errors}");
    }
    refused(
        "q35",
        &hostdev("", ""),
        "<address> of a PCI device needs domain=",
        "<address",
    );
    let empty = "<hostdev mode='subsystem' type='pci'><source/></hostdev>";
    refused(
        "q35",
        empty,
        "<source> of a PCI device needs an <address",
        "<source",
    );
}

fn qemu_property(property: &str) -> String {
    qemu_override(&format!(
        "<x:device alias='a'><x:frontend><x:property name='p' {property}/></x:frontend></x:device>"
    ))
}

fn qemu_override(inner: &str) -> String {
    let inner = format!(
        "</devices>\
         <x:override xmlns:x='http://libvirt.org/schemas/domain/qemu/1.0'>{inner}</x:override>"
    );
    guest("q35", "").replace("</devices>", &inner)
}

#[test]
fn malformed_qemu_elements_are_refused() {
    for wrong in [
        "type='bool' value='on'",
        "type='unsigned' value='-1'",
        "type='string'",
        "type='remove' value='1'",
    ] {
        common::refused(
            &qemu_property(wrong),
            "value of the property 'p' is not of type",
            "<x:property",
        );
    }
    common::refused(
        &qemu_override("<x:device alias='a'/>"),
        "needs a <qemu:frontend>",
        "<x:device",
    );
    common::refused(
        &qemu_override("<x:devices/>"),
        "<qemu:devices> is not understood within <qemu:override>",
        "<x:devices",
    );
    let xml = qemu_override("").replace("x:override", "x:overide");
    common::refused(
        &xml,
        "<qemu:overide> is not understood within <domain>",
        "<x:overide",
    );
    let xml = qemu_override("<x:env name='A=B'/>").replace("x:override", "x:commandline");
    common::refused(&xml, "the variable's name 'A=B'", "<x:env");
}

#[test]
fn duplicate_acpi_index_names_both_devices() {
    let card = format!("{VIRTIO_NET}<acpi index='7'/></interface>");
    refused(
        "q35",
        &card.repeat(2),
        "the index 7 of <acpi> is used twice: by interface 0 and by interface 1",
        "<interface",
    );
}

#[test]
fn virtio_iommu_without_acpi_is_refused() {
    let iommu = "<iommu model='virtio'/>";
    refused("q35", iommu, "'virtio' needs ACPI", "<iommu");
    check(&guest("q35", iommu).replace("<os>", "<features><acpi/></features><os>")).unwrap();
}

fn video(model: &str) -> String {
    format!("<video><model type='{model}'/></video>")
}

#[test]
fn secondary_vga_card_is_refused() {
    refused(
        "pc",
        &video("vga").repeat(2),
        "model 'vga' must be the primary one",
        "<video",
    );
    accepted("pc", &format!("{}{}", video("vga"), video("virtio")));
}

#[test]
fn host_address_of_another_type_is_refused() {
    accepted(
        "q35",
        &hostdev("type='pci' bus='1' slot='0' function='0'", ""),
    );
    refused(
        "q35",
        &hostdev("type='ccw' bus='1' slot='0' function='0'", ""),
        "of type 'pci', not 'ccw'",
        "<address",
    );
}
