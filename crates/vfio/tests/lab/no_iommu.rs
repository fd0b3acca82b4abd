//! A device in VFIO's no-IOMMU mode: refused by `vfio`, and queried by `iommufd`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use passthru_iommufd::{Access, DmaMemory, Ioas, Iommufd, Iova};
use passthru_lab::NoIommuDevice;
use passthru_lab::devices::NO_IOMMU;
use passthru_vfio::device::{Error, Source};
use rustix::io::{FdFlags, dup, fcntl_setfd};

const PAGE: usize = 4096;

#[test]
fn no_iommu_device_is_refused_from_every_source() {
    let _host = passthru_lab::host();
    let bound = NoIommuDevice::bind().unwrap();
    let node = bound.node().unwrap();
    let opened = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&node)
        .unwrap();
    let sources = [
        Source::Pci(NO_IOMMU.parse().unwrap()),
        Source::Sysfs(bound.sysfs().to_owned()),
        Source::Cdev(node.clone()),
        Source::Fd(opened.into()),
    ];
    for source in sources {
        let shown = format!("{source:?}");
        let error = source.open().unwrap_err();
        assert!(
            matches!(&error, Error::NoIommu { node, .. } if node.starts_with("noiommu-vfio")),
            "{shown}: {error}"
        );
    }
}

/// Perl program that binds the device to an iommufd and attaches it to an I/O address space, by
/// bare ioctls, since the library refuses to.
const ATTACH: &str = r#"
    my ($node, $iommufd, $ioas) = @ARGV;
    open(my $device, '+<', $node) or die "$node: $!";
    my $bind = pack('L4', 16, 0, $iommufd, 0);
    ioctl($device, 0x3b76, $bind) or die "VFIO_DEVICE_BIND_IOMMUFD: $!";
    my $attach = pack('L4', 16, 0, $ioas, 0);
    ioctl($device, 0x3b77, $attach) or die "VFIO_DEVICE_ATTACH_IOMMUFD_PT: $!";
    $| = 1; print "ready\n"; sleep 60;
"#;

/// A process that has the device attached. Killed on drop.
struct Attached(Child);

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn noiommu_get_pa_returns_physical_address() {
    let _host = passthru_lab::host();
    let bound = NoIommuDevice::bind().unwrap();
    let iommufd = Arc::new(Iommufd::open().unwrap());
    let ioas = Arc::new(Ioas::alloc(&iommufd).unwrap());
    let inherited = dup(iommufd.as_fd()).unwrap();
    fcntl_setfd(&inherited, FdFlags::empty()).unwrap();
    let mut perl = Command::new("perl");
    perl.args(["-e", ATTACH]).arg(bound.node().unwrap());
    perl.args([inherited.as_raw_fd().to_string(), ioas.id().to_string()]);
    let mut attached = Attached(perl.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(attached.0.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();

    assert_eq!(line, "ready\n");

    let memory = Arc::new(DmaMemory::alloc(PAGE).unwrap());
    let mapping = ioas
        .map_memory(&memory, Iova::Any, Access::ReadWrite)
        .unwrap();
    let range = ioas.noiommu_get_pa(mapping.iova(), PAGE as u64).unwrap();
    assert_eq!(range.address, physical(&memory));
    assert!(range.length >= PAGE as u64, "{range:?}");
}

/// Returns the physical address of the first page, which must be pinned.
fn physical(memory: &DmaMemory) -> u64 {
    let number = memory.as_ptr().addr() / PAGE;
    let mut entry = [0; 8];
    let pagemap = fs::File::open("/proc/self/pagemap").unwrap();
    pagemap
        .read_exact_at(&mut entry, number as u64 * 8)
        .unwrap();
    // Bits 0 to 54 are the number of the physical page.
    (u64::from_le_bytes(entry) & ((1 << 55) - 1)) * PAGE as u64
}
