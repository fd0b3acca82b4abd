//! The backend of host devices: spellings, precedence, and iommufd objects.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use passthru_domain::{Backend, Descriptor, Domain, IommufdObject};

use common::{check, guest, refused};

fn hostdev(bus: u8, inner: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci'>{inner}<source><address bus='{bus}'/></source>\
         </hostdev>"
    )
}

fn with(domain_wide: &str, devices: &str) -> Domain {
    check(&guest("q35", devices).replace("<os>", &format!("{domain_wide}<os>"))).unwrap()
}

fn backends(domain: &Domain) -> Vec<Option<Backend>> {
    domain
        .devices
        .hostdevs
        .iter()
        .map(|h| domain.backend(h))
        .collect()
}

fn object(id: &str, fd: Option<Descriptor>) -> IommufdObject {
    IommufdObject { id: id.into(), fd }
}

fn number(number: u32) -> Option<Descriptor> {
    Some(Descriptor::Number(number))
}

fn name(name: &str) -> Option<Descriptor> {
    Some(Descriptor::Name(name.into()))
}

#[test]
fn backend_of_the_device_overrides_the_domains() {
    let devices = ["<driver iommufd='yes'/>", "<driver iommufd='no'/>", ""];
    let devices: String = (1..)
        .zip(devices)
        .map(|(bus, inner)| hostdev(bus, inner))
        .collect();
    let yes = Some(Backend::Iommufd);
    let no = Some(Backend::Type1);

    assert_eq!(backends(&with("", &devices)), [yes, no, None]);
    assert_eq!(
        backends(&with("<iommufd enabled='yes'/>", &devices)),
        [yes, no, yes]
    );
    assert_eq!(
        backends(&with("<iommufd enabled='no'/>", &devices)),
        [yes, no, no]
    );
}

#[test]
fn default_backend_changes_only_devices_without_one() {
    let mut domain = with(
        "",
        &format!(
            "{}{}",
            hostdev(1, "<driver iommufd='yes'/>"),
            hostdev(2, "")
        ),
    );
    domain.set_default_backend(Backend::Type1);
    assert_eq!(
        backends(&domain),
        [Some(Backend::Iommufd), Some(Backend::Type1)]
    );
    assert!(domain.format().contains("<driver iommufd='no'/>"));
}

#[test]
fn device_behind_accelerated_vsmmu_gets_iommufd() {
    let devices = "<controller type='pci' index='1' model='pcie-expander-bus'/>\
        <controller type='pci' index='2' model='pcie-root-port'>\
        <address type='pci' bus='1' slot='0'/></controller>\
        <controller type='pci' index='3' model='pcie-switch-upstream-port'>\
        <address type='pci' bus='2' slot='0'/></controller>\
        <controller type='pci' index='4' model='pcie-switch-downstream-port'/>\
        <hostdev mode='subsystem' type='pci'><source><address bus='1'/></source>\
        <address type='pci' bus='4'/></hostdev>\
        <hostdev mode='subsystem' type='pci'><source><address bus='2'/></source></hostdev>\
        <iommu model='smmuv3'><driver pciBus='1' accel='on'/><iommufd><id>vsmmu</id><fd>7</fd>\
        </iommufd></iommu>";
    let mut domain = check(&guest("virt", devices)).unwrap();
    assert_eq!(backends(&domain), [Some(Backend::Iommufd), None]);
    assert_eq!(domain.iommufd_of(&domain.devices.hostdevs[0]), "vsmmu");
    assert_eq!(domain.iommufd_of(&domain.devices.hostdevs[1]), "iommufd0");
    assert_eq!(domain.iommufd_objects(), [object("vsmmu", number(7))]);

    domain.set_default_backend(Backend::Iommufd);
    assert_eq!(
        domain.iommufd_objects(),
        [object("iommufd0", None), object("vsmmu", number(7))]
    );
}

#[test]
fn iommufd_object_exists_only_for_devices_that_use_it() {
    let two = format!("{}{}", hostdev(1, ""), hostdev(2, ""));
    assert_eq!(with("", &two).iommufd_objects(), []);
    assert_eq!(with("<iommufd enabled='no'/>", &two).iommufd_objects(), []);

    let domain = with("<iommufd enabled='yes' fdgroup='g'/>", &two);
    assert_eq!(domain.iommufd_objects(), [object("iommufd0", name("g"))]);
}

#[test]
fn fdgroup_of_disabled_iommufd_is_refused() {
    let disabled = "<iommufd enabled='no' fdgroup='g'/>";
    let xml = guest("q35", "").replace("<os>", &format!("{disabled}<os>"));
    refused(&xml, "cannot have fdgroup='g'", "<iommufd");
}

#[test]
fn named_descriptor_gives_an_object_without_a_device() {
    let later = "<iommufd enabled='yes' fdgroup='g'/>";
    let objects = [object("iommufd0", name("g"))];
    assert_eq!(with(later, "").iommufd_objects(), objects);

    let by_type1 = hostdev(1, "<driver name='vfio' iommufd='no'/>");
    assert_eq!(with(later, &by_type1).iommufd_objects(), objects);
    assert_eq!(with("<iommufd enabled='yes'/>", "").iommufd_objects(), []);
}

#[test]
fn older_iommufd_spellings_are_written_as_libvirts() {
    for spelling in [
        "<iommufdId>iommufd0</iommufdId>",
        "<driver name='iommufd'/>",
    ] {
        let written = with("", &hostdev(1, spelling)).format();
        assert!(written.contains("iommufd='yes'/>"), "{written}");
        assert!(
            !written.contains("iommufdId") && !written.contains("name='iommufd'"),
            "{written}"
        );
    }
}

#[test]
fn named_objects_and_descriptors_keep_their_spelling() {
    let devices = format!(
        "{}{}<iommu model='intel'><iommufd><id>iommufd0</id><fd>22</fd></iommufd></iommu>",
        hostdev(
            1,
            "<iommufdId>iommufd0</iommufdId><iommufdFd>23</iommufdFd>"
        ),
        hostdev(2, "<iommufdId>other</iommufdId>"),
    );
    let domain = with("", &devices);
    let objects = [object("iommufd0", number(22)), object("other", None)];
    assert_eq!(domain.iommufd_objects(), objects);

    let written = domain.format();
    for kept in [
        "<iommufdFd>23</iommufdFd>",
        "<iommufdId>other</iommufdId>",
        "<fd>22</fd>",
    ] {
        assert!(written.contains(kept), "{written}");
    }

    assert_eq!(Domain::parse(&written).unwrap().iommufd_objects(), objects);
}

const TWO_NAMES: &str = "<iommufdId>iommufd0</iommufdId><iommufdFd>first gpu</iommufdFd>";

#[test]
fn named_descriptors_keep_their_spelling() {
    let iommu = "<iommu model='intel'><iommufd><fd>a&lt;b=c</fd></iommufd></iommu>";
    let domain = with("", &format!("{}{iommu}", hostdev(1, TWO_NAMES)));
    let objects = [object("iommufd0", name("a<b=c"))];
    assert_eq!(domain.iommufd_objects(), objects);
    assert_eq!(domain.devices.hostdevs[0].iommufd_fd, name("first gpu"));

    let written = domain.format();
    for kept in ["<iommufdFd>first gpu</iommufdFd>", "<fd>a&lt;b=c</fd>"] {
        assert!(written.contains(kept), "{written}");
    }

    assert_eq!(Domain::parse(&written).unwrap().iommufd_objects(), objects);
}

/// Returns the names that a domain uses, each with the text at its position.
fn used_names(domain_wide: &str, devices: &str) -> Vec<String> {
    let xml = guest("q35", devices).replace("<os>", &format!("{domain_wide}<os>"));
    let used = check(&xml).unwrap().descriptor_names();
    used.into_iter()
        .map(|used| format!("{} at {}", used.name, &xml[used.span.0.unwrap()]))
        .collect()
}

#[test]
fn names_are_those_of_devices_and_objects_with_iommufd() {
    let device = hostdev(1, "<iommufdFd>gpu</iommufdFd>");
    let own = "<iommu model='intel'><iommufd><id>own</id><fd>first</fd></iommufd></iommu>";
    assert_eq!(
        used_names("", &format!("{device}{own}")),
        [
            "gpu at <hostdev mode='subsystem' type='pci'>",
            "first at <iommu model='intel'>"
        ]
    );

    let group = "<iommufd enabled='yes' fdgroup='7'/>";
    assert_eq!(used_names(group, ""), [format!("7 at {group}")]);

    let numbers = hostdev(1, "<iommufdFd>23</iommufdFd>");
    assert!(used_names("", &numbers).is_empty());
}

#[test]
fn names_of_devices_without_iommufd_are_not_used() {
    let unassigned = hostdev(1, "<iommufdFd>gpu</iommufdFd>")
        .replace("</hostdev>", "<address type='unassigned'/></hostdev>");
    assert!(used_names("", &unassigned).is_empty());
    let type1 = hostdev(1, "<driver iommufd='no'/>");
    assert!(used_names("<iommufd enabled='no'/>", &type1).is_empty());
}

#[test]
fn descriptor_alone_selects_iommufd() {
    let domain = with("", &hostdev(1, "<iommufdFd>23</iommufdFd>"));
    assert_eq!(backends(&domain), [Some(Backend::Iommufd)]);
}

#[test]
fn smmuv3dev_is_read_as_accelerated_smmuv3_on_its_bus() {
    let pxb = "<controller type='pci' index='1' model='pcie-expander-bus'/>";
    let dev = "<iommu model='smmuv3Dev'><address type='pci' bus='0x01' slot='0x01'/></iommu>";
    let written = check(&guest("virt", &format!("{pxb}{dev}")))
        .unwrap()
        .format();
    assert!(
        written.contains(
            "<iommu model='smmuv3'>\n      <driver pciBus='1' accel='on'/>\n    </iommu>"
        ),
        "{written}"
    );

    let without_address = Domain::parse(&guest("virt", "<iommu model='smmuv3Dev'/>")).unwrap_err();
    assert!(
        without_address
            .to_string()
            .contains("needs a PCI <address>"),
        "{without_address}"
    );
}
