use super::*;
use crate::start::qcow2::header;
use crate::start::user::User;

/// Writes an image with a backing image.
fn write(image: &Path, below: &str, format: Option<&str>) {
    std::fs::write(image, header::with_backing(below, format)).unwrap();
}

fn domain(image: &Path) -> Domain {
    Domain::parse(&format!(
        "<domain type='kvm'><name>a</name><memory>1024</memory><os><type>hvm</type></os>\
         <devices><disk type='file'>\
         <driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda'/>\
         </disk></devices></domain>",
        image.display()
    ))
    .unwrap()
}

/// Completes the chains for a user that is not root.
fn complete(domain: &mut Domain) -> Result<BTreeSet<PathBuf>, Error> {
    let user = User::choose(None).unwrap();
    let mut chains = complete_chains(domain, &Opener::new(&user));
    match chains.errors.pop() {
        Some(error) => Err(error),
        None => Ok(chains.header_named),
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

/// Makes top.qcow2 over middle.qcow2 over base.raw in a folder that others may enter.
fn chain() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    std::fs::write(folder.path().join("base.raw"), [0; 1024]).unwrap();
    write(&folder.path().join("middle.qcow2"), "base.raw", Some("raw"));
    write(
        &folder.path().join("top.qcow2"),
        "middle.qcow2",
        Some("qcow2"),
    );
    folder
}

#[test]
fn image_of_root_in_a_header_is_refused_with_an_element() {
    let folder = chain();
    for name in ["base.raw", "middle.qcow2", "top.qcow2"] {
        // Without root, mode 0 keeps this process's user out.
        let mode = if rustix::process::geteuid().is_root() || name == "top.qcow2" {
            0o600
        } else {
            0
        };
        set_mode(&folder.path().join(name), mode);
    }

    let image = folder.path().join("top.qcow2");
    let error = complete(&mut domain(&image)).unwrap_err();

    assert!(matches!(error, Error::OnlyInHeader { .. }), "{error}");

    let hint = error.hint().unwrap();
    let (_, element) = hint.split_once('\n').unwrap();
    let xml = domain(&image)
        .format()
        .replace("</disk>", &format!("{element}</disk>"));
    let mut pasted = Domain::parse(&xml).unwrap();
    assert_eq!(complete(&mut pasted).unwrap(), BTreeSet::new(), "{hint}");
    assert_eq!(
        pasted.devices.disks[0].backing.as_deref().and_then(path_of),
        { Some(folder.path().join("middle.qcow2")) }
    );
}

#[test]
fn image_named_elsewhere_in_the_xml_is_permitted() {
    let folder = chain();
    for name in ["base.raw", "middle.qcow2"] {
        set_mode(&folder.path().join(name), 0o600);
    }
    let at = |name: &str| folder.path().join(name);
    let mut domain = domain(&at("top.qcow2"));
    for name in ["middle.qcow2", "base.raw"] {
        let mut other = domain.devices.disks[0].clone();
        other.source.as_mut().unwrap().file = Some(at(name).display().to_string());
        other.driver.as_mut().unwrap().format = Some(ImageFormat::Raw);
        domain.devices.disks.push(other);
    }

    assert_eq!(complete(&mut domain).unwrap(), BTreeSet::new());
}

#[test]
fn chain_that_is_left_out_is_read_to_its_end() {
    let folder = chain();
    let mut domain = domain(&folder.path().join("top.qcow2"));
    let by_header = complete(&mut domain).unwrap();
    let below = ["base.raw", "middle.qcow2"].map(|name| folder.path().join(name));

    assert_eq!(by_header, below.into());

    let middle = domain.devices.disks[0].backing.as_ref().unwrap();
    assert!(
        middle
            .source
            .as_ref()
            .unwrap()
            .path()
            .unwrap()
            .ends_with("/middle.qcow2")
    );

    let base = middle.backing.as_ref().unwrap();
    assert_eq!(base.format, Some(ImageFormat::Raw));
    assert_eq!(
        base.source.as_ref().unwrap().path(),
        folder.path().join("base.raw").to_str()
    );
}

#[test]
fn chain_in_a_circle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let image = folder.path().join("loop.qcow2");
    write(&image, "loop.qcow2", Some("qcow2"));

    assert!(matches!(
        complete(&mut domain(&image)),
        Err(Error::Endless { .. })
    ));
}

#[test]
fn missing_format_of_a_backing_image_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("top.qcow2");
    write(&image, "base", None);
    let error = complete(&mut domain(&image)).unwrap_err();
    assert!(error.hint().unwrap().contains("qemu-img rebase"), "{error}");
}

#[test]
fn kind_is_not_read_through_a_link_of_others() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let at = |name: &str| folder.path().join(name);
    let device = rustix::fs::makedev(7, 4095);
    let mode = rustix::fs::Mode::RUSR;
    let node = at("node");
    rustix::fs::mknodat(rustix::fs::CWD, node, FileType::BlockDevice, mode, device).unwrap();
    std::os::unix::fs::symlink(at("node"), at("link")).unwrap();
    write(&at("direct.qcow2"), "node", Some("raw"));
    write(&at("linked.qcow2"), "link", Some("raw"));
    let user = User::choose(None).unwrap();
    let opener = Opener::new(&user);
    let chains = Chains {
        opener: &opener,
        named: BTreeSet::new(),
        by_header: BTreeSet::new(),
    };
    let kind = |image| chains.read_below(&at(image)).unwrap().kind;

    assert_eq!(kind("direct.qcow2"), Some(DiskType::Block));
    assert_eq!(kind("linked.qcow2"), Some(DiskType::File));
}
