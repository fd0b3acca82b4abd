//! Disks: types, protocols and drivers.

use super::check::Check;
use super::disk_identity;
use crate::model::device::Sgio;
use crate::model::device::disk::{Disk, DiskBus, DiskDevice, DiskType, ImageFormat};
use crate::model::device::disk_source::{DiskSource, NetworkProtocol};
use crate::model::device::encryption::EncryptionEngine;
use crate::model::device::secret::{Auth, SecretType};

pub(super) fn check(check: &mut Check<'_>) {
    for disk in &check.domain.devices.disks {
        check_source(check, disk);
        check_secrets(check, disk);
        disk_identity::check(check, disk);
        check_driver(check, disk);
        check_threads(check, disk);
    }
}

/// Adds an error about a disk.
pub(super) fn error(check: &mut Check<'_>, disk: &Disk, message: &str) {
    check.error(
        &disk.info.span,
        format!("disk '{}': {message}", disk.target.dev),
    );
}

/// Checks the source of a disk, and the options for pass-through LUNs.
fn check_source(check: &mut Check<'_>, disk: &Disk) {
    let none = DiskSource::default();
    let source = disk.source.as_ref().unwrap_or(&none);
    match disk.kind {
        Some(DiskType::Network) => check_network(check, disk, source),
        Some(DiskType::Volume) => {
            error(
                check,
                disk,
                "volumes of libvirt's storage pools are not supported: name the file or device",
            );
        }
        Some(DiskType::VhostUser) if disk.target.bus != Some(DiskBus::Virtio) => {
            error(
                check,
                disk,
                "a disk of type 'vhostuser' must be on the bus 'virtio'",
            );
        }
        Some(DiskType::VhostUser) if source.path.is_none() => {
            error(
                check,
                disk,
                "a disk of type 'vhostuser' needs a <source type='unix' path='…'/>",
            );
        }
        Some(DiskType::Dir) if !disk.readonly && disk.device == Some(DiskDevice::Disk) => {
            error(
                check,
                disk,
                "a disk that shows a folder must be <readonly/>",
            );
        }
        _ => {}
    }

    if disk.transient {
        error(
            check,
            disk,
            "<transient/> is not supported: use an overlay image and delete it afterwards",
        );
    }

    let is_lun = disk.device == Some(DiskDevice::Lun);
    let by_iscsi =
        disk.kind == Some(DiskType::Network) && source.protocol == Some(NetworkProtocol::Iscsi);
    if is_lun && disk.kind != Some(DiskType::Block) && !by_iscsi {
        error(
            check,
            disk,
            "a disk with device='lun' must be of type 'block' or use iSCSI",
        );
    }

    if is_lun
        && disk
            .driver
            .as_ref()
            .and_then(|d| d.format)
            .is_some_and(|f| f != ImageFormat::Raw)
    {
        error(
            check,
            disk,
            "a disk with device='lun' must have the format 'raw'",
        );
    }

    if source.reservations.is_some() && !is_lun {
        error(check, disk, "<reservations> are for device='lun' only");
    }
    if (disk.rawio.is_some() || disk.sgio.is_some()) && !is_lun {
        error(check, disk, "rawio and sgio are for device='lun' only");
    }
    if disk.sgio == Some(Sgio::Unfiltered) {
        error(
            check,
            disk,
            "sgio='unfiltered' is no longer supported: current kernels always filter",
        );
    }
}

/// Checks the source of a network disk.
fn check_network(check: &mut Check<'_>, disk: &Disk, source: &DiskSource) {
    use NetworkProtocol::{Iscsi, Nbd, Nfs, Rbd, Tftp, Vxhs};
    let Some(protocol) = source.protocol else {
        return error(
            check,
            disk,
            "a disk of type 'network' needs a <source protocol='…'>",
        );
    };
    if matches!(protocol, Vxhs | Tftp) {
        error(
            check,
            disk,
            &format!("QEMU no longer has the protocol '{protocol}'"),
        );
    }

    if source.name.is_none() && protocol != Nbd {
        error(
            check,
            disk,
            &format!("the protocol '{protocol}' needs a <source name='…'>"),
        );
    }

    if source.hosts.is_empty() && protocol != Rbd {
        error(
            check,
            disk,
            &format!("the protocol '{protocol}' needs a <host name='…'/>"),
        );
    }

    let several = matches!(protocol, Rbd | NetworkProtocol::Gluster);
    if source.hosts.len() > 1 && !several {
        error(
            check,
            disk,
            &format!("the protocol '{protocol}' takes only one <host>"),
        );
    }

    if let Some(reconnect) = &source.reconnect
        && (reconnect.delay.is_none() || protocol != Nbd)
    {
        let message = "<reconnect> of a network disk is for the protocol 'nbd' only, with its \
                       attribute 'delay'";
        error(check, disk, message);
    }

    if source.snapshot.is_some() && protocol != Rbd {
        error(
            check,
            disk,
            "<snapshot> of a <source> is for the protocol 'rbd' only",
        );
    }

    if source.initiator.is_some() && protocol != Iscsi {
        error(check, disk, "<initiator> is for the protocol 'iscsi' only");
    }
    if source.identity.is_some() && protocol != Nfs {
        error(check, disk, "<identity> is for the protocol 'nfs' only");
    }
    if protocol == Rbd && source.name.as_ref().is_some_and(|name| !name.contains('/')) {
        error(check, disk, "the name of a Ceph image must be POOL/IMAGE");
    }
}

/// Checks that each secret has the type of its protocol.
fn check_secrets(check: &mut Check<'_>, disk: &Disk) {
    let source = disk.source.as_ref();
    let auth = disk.auth.as_ref().or(source.and_then(|s| s.auth.as_ref()));
    let protocol = source.and_then(|s| s.protocol);
    if let Some(Auth {
        secret: Some(secret),
        ..
    }) = auth
    {
        let wanted = match protocol {
            Some(NetworkProtocol::Iscsi) => Some(SecretType::Iscsi),
            Some(NetworkProtocol::Rbd) => Some(SecretType::Ceph),
            _ => None,
        };
        match (secret.kind, wanted) {
            (None, _) => error(
                check,
                disk,
                "<secret> of <auth> needs the attribute 'type', 'ceph' or 'iscsi'",
            ),
            (Some(kind), Some(wanted)) if kind != wanted => {
                error(
                    check,
                    disk,
                    &format!("the secret must be of type '{wanted}', not '{kind}'"),
                );
            }
            _ => {}
        }
    }

    let encryption = disk
        .encryption
        .as_ref()
        .or(source.and_then(|s| s.encryption.as_ref()));
    if encryption.is_some_and(|e| e.secrets.is_empty()) {
        error(
            check,
            disk,
            "<encryption> needs a <secret type='passphrase' uuid='…'/>",
        );
    }

    let is_layered = encryption.is_some_and(|e| e.secrets.len() > 1);
    if is_layered && encryption.and_then(|e| e.engine) != Some(EncryptionEngine::Librbd) {
        let message = "several <secret> of an <encryption> are for engine='librbd' only, where \
                       each decrypts one layer";
        error(check, disk, message);
    }
}

/// Checks the attributes of `<driver>`.
fn check_driver(check: &mut Check<'_>, disk: &Disk) {
    let Some(driver) = &disk.driver else { return };
    let is_virtio = disk.target.bus == Some(DiskBus::Virtio);
    let virtio = [
        ("queue_size", driver.queue_size.is_some()),
        ("ioeventfd", driver.ioeventfd.is_some()),
        ("event_idx", driver.event_idx.is_some()),
        (
            "iothread",
            driver.iothread.is_some() || driver.iothreads.is_some(),
        ),
        (
            "iommu, ats, packed and page_per_vq",
            driver.virtio != crate::model::device::VirtioOptions::default(),
        ),
    ];
    for (attribute, _) in virtio
        .into_iter()
        .filter(|(_, is_set)| *is_set && !is_virtio)
    {
        error(
            check,
            disk,
            &format!("only a disk on the bus 'virtio' can have '{attribute}'"),
        );
    }

    if driver
        .queue_size
        .is_some_and(|size| !size.is_power_of_two() || size > 1024)
    {
        error(check, disk, "queue_size must be a power of two up to 1024");
    }

    let is_qcow2 = driver.format == Some(ImageFormat::Qcow2);
    if (driver.discard_no_unref.is_some() || driver.metadata_cache.is_some()) && !is_qcow2 {
        error(
            check,
            disk,
            "discard_no_unref and <metadata_cache> are for the format 'qcow2' only",
        );
    }

    if driver.copy_on_read == Some(true) && disk.readonly {
        error(check, disk, "copy_on_read needs a writable image");
    }
    if matches!(driver.format, Some(ImageFormat::Ploop | ImageFormat::Luks)) {
        let format = driver.format.map_or("", ImageFormat::as_str);
        error(
            check,
            disk,
            &format!(
                "QEMU has no image format '{format}': write LUKS as <encryption> of a raw image"
            ),
        );
    }
}

/// Checks that the I/O threads of a disk exist, and that no two serve one queue.
fn check_threads(check: &mut Check<'_>, disk: &Disk) {
    let Some(driver) = &disk.driver else { return };
    let threads = driver.iothreads.iter().flat_map(|t| &t.iothreads);
    if driver.iothread.is_some() && driver.iothreads.is_some() {
        error(
            check,
            disk,
            "iothread= and <iothreads> cannot be used together",
        );
    }

    let known = check
        .domain
        .iothreadids
        .as_ref()
        .map(|ids| ids.iothreads.as_slice())
        .unwrap_or_default();
    let wanted: Vec<u32> = driver
        .iothread
        .into_iter()
        .chain(threads.clone().map(|t| t.id))
        .collect();
    for id in wanted {
        if known.iter().all(|thread| thread.id != id) {
            error(check, disk, &format!("there is no I/O thread {id}"));
        }
    }

    let mut queues: Vec<u32> = threads.flat_map(|t| &t.queues).copied().collect();
    let count = driver.queues.map_or(0, u32::from);
    if queues.iter().any(|queue| *queue >= count) {
        error(
            check,
            disk,
            &format!("an I/O thread serves a queue that does not exist: queues='{count}'"),
        );
    }

    queues.sort_unstable();
    if queues.windows(2).any(|pair| pair[0] == pair[1]) {
        error(check, disk, "two I/O threads serve the same queue");
    }
}
