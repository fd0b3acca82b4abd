//! Files that QEMU's user cannot open: images, chains of images, kernels. They stay unchanged.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use passthru_lab::devices::{NVME, NVME_SHA256};
use passthru_lab::{Guest, host, run};

use super::privileges::WAIT;
use super::support::{Domain, Running, guest_sum};

/// Makes a folder that only root can enter.
fn private_folder(name: &str) -> PathBuf {
    let _ = host();
    let path = PathBuf::from("/tmp").join(name);
    let _ = fs::remove_dir_all(&path);
    DirBuilder::new().mode(0o700).create(&path).unwrap();
    path
}

/// Script that prints the checksum of the guest's first virtio disk.
const SUM: &str = "echo '<<sha256'; sha256sum /dev/vda | cut -c1-64; echo 'sha256>>'";

fn disk(format: &str, path: &Path) -> String {
    let path = path.display();
    format!(
        "<disk type='file'><driver name='qemu' type='{format}'/><source file='{path}'/>\
         <target dev='vda' bus='virtio'/></disk>"
    )
}

fn sum_of(bytes: &[u8], folder: &Path) -> String {
    let path = folder.join("sum-of");
    fs::write(&path, bytes).unwrap();
    super::support::host_sum(&path)
}

/// Returns owner, group and mode of a file.
fn owner_and_mode(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode())
}

#[test]
fn raw_image_and_kernel_of_root_are_passed() {
    let folder = private_folder("private-raw");
    let image = folder.join("disk.raw");
    let kernel = folder.join("vmlinuz");
    let contents: Vec<u8> = (0..1u32 << 18)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(&image, &contents).unwrap();
    fs::copy(Guest::KERNEL, &kernel).unwrap();
    for path in [&image, &kernel] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let before = (
        owner_and_mode(&image),
        owner_and_mode(&kernel),
        owner_and_mode(&folder),
    );
    let domain = Domain::new("raw").with(&disk("raw", &image)).script(SUM);
    let domain = Domain {
        kernel: kernel.display().to_string(),
        ..domain
    };
    let finished = domain.run(&[]).expect_success();

    assert_eq!(guest_sum(&finished), sum_of(&contents, &folder));
    assert_eq!(
        (
            owner_and_mode(&image),
            owner_and_mode(&kernel),
            owner_and_mode(&folder)
        ),
        before
    );
}

#[test]
fn image_of_another_guest_is_refused_by_its_lock() {
    let folder = private_folder("private-locked");
    let image = folder.join("disk.raw");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    let first = Domain::new("writer")
        .with(&disk("raw", &image))
        .script(WAIT)
        .start(&["--stop-timeout", "1"]);
    let second = Domain::new("rival")
        .with(&disk("raw", &image))
        .script(SUM)
        .run(&[]);

    assert_eq!(second.status.code(), Some(5), "{second}");
    assert!(second.stderr.contains("lock"), "{second}");

    first.signal(first.manager(), "-TERM");
    assert_eq!(first.wait(), Some(0));
}

#[test]
fn unnamed_chain_of_images_is_refused_with_its_xml() {
    let folder = private_folder("private-chain");
    let contents: Vec<u8> = (0..1u32 << 18)
        .flat_map(|n| n.wrapping_mul(40_503).to_le_bytes())
        .collect();
    fs::write(folder.join("base.raw"), &contents).unwrap();
    for (top, below, format) in [
        ("middle.qcow2", "base.raw", "raw"),
        ("top.qcow2", "middle.qcow2", "qcow2"),
    ] {
        let mut create = Command::new("qemu-img");
        create
            .args([
                "create", "-q", "-f", "qcow2", "-b", below, "-F", format, top,
            ])
            .current_dir(&folder);
        let _ = run(&mut create).expect_success();
    }

    let top = disk("qcow2", &folder.join("top.qcow2"));
    // Only root may open the backing images, and the XML does not name them. The message has the
    // elements to add.
    let refused = Domain::new("chain")
        .with(&top)
        .script(SUM)
        .run(&[])
        .expect_failure();
    let start = refused
        .stderr
        .find("<backingStore")
        .unwrap_or_else(|| panic!("{refused}"));
    let end = refused.stderr.rfind("</backingStore>").unwrap() + "</backingStore>".len();
    let pasted = top.replace(
        "</disk>",
        &format!("{}</disk>", &refused.stderr[start..end]),
    );
    let finished = Domain::new("chain")
        .with(&pasted)
        .script(SUM)
        .run(&[])
        .expect_success();

    assert_eq!(guest_sum(&finished), sum_of(&contents, &folder));
}

#[test]
fn chain_that_the_guests_user_may_open_is_followed() {
    let folder = private_folder("public-chain");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let contents: Vec<u8> = (0..1u32 << 18)
        .flat_map(|n| n.wrapping_mul(40_503).to_le_bytes())
        .collect();
    fs::write(folder.join("base.raw"), &contents).unwrap();
    let mut create = Command::new("qemu-img");
    create.args([
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        "base.raw",
        "-F",
        "raw",
        "top.qcow2",
    ]);
    let _ = run(create.current_dir(&folder)).expect_success();
    let domain = Domain::new("open-chain")
        .with(&disk("qcow2", &folder.join("top.qcow2")))
        .script(SUM);
    let finished = domain.run(&[]).expect_success();

    assert_eq!(guest_sum(&finished), sum_of(&contents, &folder));
}

#[test]
fn link_in_a_folder_of_another_user_is_refused() {
    let folder = private_folder("links");
    let alice = folder.join("alice");
    let bob = folder.join("bob");
    for path in [&alice, &bob] {
        fs::create_dir(path).unwrap();
    }
    std::os::unix::fs::chown(&alice, Some(4242), Some(4242)).unwrap();
    let image = bob.join("disk.raw");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    std::os::unix::fs::symlink("../bob", alice.join("vm")).unwrap();
    let stolen = disk("raw", &alice.join("vm/disk.raw"));
    let finished = Domain::new("links")
        .with(&stolen)
        .script(SUM)
        .run(&[])
        .expect_failure();

    assert!(
        finished.stderr.contains("alice/vm is a symbolic link"),
        "{finished}"
    );

    let log = format!(
        "<serial type='file'><source path='{}'/></serial>",
        alice.join("vm/disk.raw").display()
    );
    let finished = Domain::new("links")
        .with(&log)
        .script(SUM)
        .run(&[])
        .expect_failure();
    assert!(
        finished.stderr.contains("alice/vm is a symbolic link"),
        "{finished}"
    );
    assert_eq!(fs::metadata(&image).unwrap().len(), 1 << 20);
}

#[test]
fn foreign_folder_in_huge_pages_is_kept() {
    let _ = host();
    fs::write("/proc/sys/vm/nr_hugepages", "140").unwrap();
    let theirs = Path::new("/dev/hugepages/passthru/strange");
    fs::create_dir_all(theirs).unwrap();
    fs::write(theirs.join("file"), "").unwrap();
    let domain = Domain::new("strange")
        .top("<memoryBacking><hugepages/></memoryBacking>")
        .script(SUM);
    let finished = domain.run(&[]);
    fs::write("/proc/sys/vm/nr_hugepages", "0").unwrap();
    let kept = theirs.join("file").exists();
    fs::remove_dir_all(theirs).unwrap();

    assert!(
        finished.stderr.contains("passthru has not made it"),
        "{finished}"
    );
    assert!(kept && finished.status.code() != Some(0), "{finished}");
}

#[test]
fn guest_in_huge_pages_reads_its_disk() {
    let _ = host();
    fs::write("/proc/sys/vm/nr_hugepages", "140").unwrap();
    let domain = Domain::new("huge")
        .top("<memoryBacking><hugepages/></memoryBacking>")
        .hostdev(NVME, "<driver iommufd='yes'/>", "");
    let finished = domain.run(&[]);
    let left: Vec<_> = fs::read_dir("/dev/hugepages/passthru")
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    fs::write("/proc/sys/vm/nr_hugepages", "0").unwrap();

    assert_eq!(guest_sum(&finished.expect_success()), NVME_SHA256);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn firmware_variables_are_made_from_their_template() {
    let folder = private_folder("private-nvram");
    let vars = folder.join("vars.fd");
    let code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    let template = "/usr/share/OVMF/OVMF_VARS_4M.fd";
    let loader = format!(
        "<loader readonly='yes' type='pflash'>{code}</loader>\
         <nvram template='{template}'>{}</nvram>",
        vars.display()
    );
    let script = "test -d /sys/firmware/efi && echo started by UEFI; sleep 300";
    let xml = Domain::new("uefi")
        .script(script)
        .xml()
        .replace("<kernel>", &format!("{loader}<kernel>"));
    fs::write("/tmp/uefi.xml", xml).unwrap();
    let mut running = Running::start(&["--stop-timeout", "1"], Path::new("/tmp/uefi.xml"), "uefi");
    running.wait_for("started by UEFI");
    running.signal(running.manager(), "-TERM");

    assert_eq!(running.wait(), Some(0));
    // The firmware wrote to its variables during the start.
    assert_ne!(fs::read(&vars).unwrap(), fs::read(template).unwrap());
    assert_eq!(fs::metadata(&vars).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn missing_image_is_named_before_any_change() {
    let folder = private_folder("private-absent");
    let path = folder.join("absent.raw");
    let finished = Domain::new("absent-image")
        .with(&disk("raw", &path))
        .run(&[])
        .expect_failure();
    assert!(
        finished.stderr.contains(path.to_str().unwrap()),
        "{finished}"
    );
    assert!(!Path::new("/run/passthru/domain-absent-image").exists());
}
