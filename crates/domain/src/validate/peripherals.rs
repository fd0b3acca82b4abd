//! TPMs, shared memory, watchdogs, filesystems, screens, sound cards and USB devices.

use super::check::{Check, duplicates, span_of};
use super::passwords;
use crate::model::device::chardev::CharSourceType;
use crate::model::device::filesystem::FilesystemType;
use crate::model::device::graphics::{GraphicsType, ListenType};
use crate::model::device::panic::PanicModel;
use crate::model::device::shmem::ShmemModel;
use crate::model::device::sound::SoundModel;
use crate::model::device::tpm::{TpmModel, TpmVersion};
use crate::model::device::video::VideoModel;
use crate::model::device::watchdog::WatchdogModel;
use crate::model::device::{Address, ControllerType, Shmem, Tpm};
use crate::model::os::Arch;
use crate::place::usb::is_usb;
use crate::platform::Board;

/// Smallest size of shared memory, in bytes.
const MIN_SHMEM: u64 = 1 << 20;

pub(super) fn check(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    for tpm in &devices.tpms {
        check_tpm(check, tpm);
    }
    if let Some(second) = devices.tpms.get(1) {
        check.error(&second.info.span, "a guest can have only one TPM".into());
    }
    for shmem in &devices.shmems {
        check_shmem(check, shmem);
    }
    check_panics(check);
    check_watchdogs(check);
    check_filesystems(check);
    check_graphics(check);
    check_videos(check);
    check_sounds(check);
    check_usb(check);
    if let Some(vsock) = &devices.vsock
        && let Some(cid) = vsock.cid
        && cid.auto == Some(false)
        && cid.address.is_none()
    {
        check.error(
            &vsock.info.span,
            "<cid auto='no'> of <vsock> needs an 'address'".into(),
        );
    }
}

/// Checks the version, model and backend of a TPM.
fn check_tpm(check: &mut Check<'_>, tpm: &Tpm) {
    let span = &tpm.info.span;
    let Some(backend) = &tpm.backend else { return };
    if backend.version == Some(TpmVersion::V1_2) {
        let message = "a TPM of version '1.2' is not supported".to_owned();
        check.error_with_hint(span, message, "set version='2.0', or leave it out");
    }

    let arch = check.machine.arch;
    let x86 = matches!(arch, Arch::X86_64 | Arch::I686);
    let fits = match tpm.model {
        Some(TpmModel::Crb) => x86,
        Some(TpmModel::Tis) => x86 || arch == Arch::Aarch64,
        Some(TpmModel::Spapr | TpmModel::SpaprProxy) | None => false,
    };
    if let Some(model) = tpm.model.filter(|_| !fits) {
        check.error(
            span,
            format!("a TPM of model '{model}' is not for the architecture {arch}"),
        );
    }

    let external = backend.external.as_ref().and_then(|e| e.kind);
    if external.is_some_and(|kind| kind != CharSourceType::Unix) {
        check.error(
            span,
            "an external TPM needs a socket: <source type='unix' mode='connect' path='…'/>".into(),
        );
    }
}

/// Checks the size, model and server of shared memory.
fn check_shmem(check: &mut Check<'_>, shmem: &Shmem) {
    let span = &shmem.info.span;
    let model = shmem.model.unwrap_or(ShmemModel::Plain);
    if let Some(size) = shmem.size.map(|s| s.0.bytes())
        && (size < MIN_SHMEM || !size.is_power_of_two())
    {
        let message =
            format!("the size of <shmem>, {size} bytes, must be a power of two of at least 1 MiB");
        check.error(span, message);
    }

    match model {
        ShmemModel::Ivshmem => {
            let message = "<shmem> of model 'ivshmem' was removed in QEMU 4.0".to_owned();
            check.error_with_hint(span, message, "use 'ivshmem-plain' or 'ivshmem-doorbell'");
        }
        ShmemModel::Plain if shmem.server.is_some() => {
            check.error(
                span,
                "<shmem> of model 'ivshmem-plain' cannot have a <server>".into(),
            );
        }
        ShmemModel::Plain if shmem.msi.is_some() => {
            check.error(
                span,
                "<msi> of <shmem> is for the model 'ivshmem-doorbell' only".into(),
            );
        }
        ShmemModel::Doorbell if shmem.size.is_some() => {
            check.error(
                span,
                "<shmem> of model 'ivshmem-doorbell' cannot have a <size>: its server sets it"
                    .into(),
            );
        }
        _ => {}
    }
}

/// Checks that the guest can have each panic device, and has one of a model.
fn check_panics(check: &mut Check<'_>) {
    let panics = &check.domain.devices.panics;
    let arch = check.machine.arch;
    let x86 = matches!(arch, Arch::X86_64 | Arch::I686);
    for panic in panics {
        let fits = match panic.model {
            Some(PanicModel::Isa | PanicModel::Hyperv) => x86,
            Some(PanicModel::S390) => arch == Arch::S390x,
            Some(PanicModel::Pvpanic) => check.machine.has_pci(),
            Some(PanicModel::Pseries) => false,
            None => true,
        };
        if let Some(model) = panic.model.filter(|_| !fits) {
            let name = &check.machine.name;
            let message = format!("a panic device of model '{model}' is not for machine '{name}'");
            check.error(&panic.info.span, message);
        }
        if panic.model == Some(PanicModel::Hyperv) && panic.info.address.is_some() {
            let message = "a panic device of model 'hyperv' has no address: it is part of the CPU";
            check.error(&panic.info.span, message.into());
        }
    }

    for (_, second) in duplicates(panics.iter().map(|panic| (panic.model, panic))) {
        let model = second.model.map_or("", PanicModel::as_str);
        let message = format!("two panic devices of the model '{model}'");
        check.error(&second.info.span, message);
    }
}

/// Checks that the machine has each watchdog, and that all watchdogs have one action.
///
/// A guest can have several cards of model `i6300esb`, and one watchdog of each other model
/// (libvirt's `qemuValidateDomainDefWatchdogs`).
fn check_watchdogs(check: &mut Check<'_>) {
    let watchdogs = &check.domain.devices.watchdogs;
    let x86 = matches!(check.machine.arch, Arch::X86_64 | Arch::I686);
    for watchdog in watchdogs {
        let span = &watchdog.info.span;
        let fits = match watchdog.model {
            Some(WatchdogModel::Itco) => check.machine.board == Board::Q35,
            Some(WatchdogModel::Ib700) => x86,
            Some(WatchdogModel::Diag288) => check.machine.arch == Arch::S390x,
            Some(WatchdogModel::I6300esb) => check.machine.has_pci(),
            None => true,
        };
        if let Some(model) = watchdog.model.filter(|_| !fits) {
            let name = &check.machine.name;
            check.error(
                span,
                format!("a watchdog of model '{model}' is not for the machine '{name}'"),
            );
        }
        let first = watchdogs.first().and_then(|w| w.action);
        if watchdog.action != first {
            check.error(span, "all watchdogs must have the same action".into());
        }
    }

    let single = watchdogs
        .iter()
        .filter(|w| w.model != Some(WatchdogModel::I6300esb));
    for (_, second) in duplicates(single.map(|w| (w.model, w))) {
        let model = second.model.map_or("", WatchdogModel::as_str);
        check.error(
            &second.info.span,
            format!("two watchdogs of the model '{model}'"),
        );
    }
}

/// Checks the type and the options of filesystems.
fn check_filesystems(check: &mut Check<'_>) {
    for filesystem in &check.domain.devices.filesystems {
        let span = &filesystem.info.span;
        if filesystem.kind != Some(FilesystemType::Mount) {
            let kind = filesystem.kind.map_or("", FilesystemType::as_str);
            check.error(
                span,
                format!("a <filesystem> of type '{kind}' is for containers: expected 'mount'"),
            );
        }
        if filesystem.info.boot.is_some() && !filesystem.is_virtiofs() {
            check.error(
                span,
                "a guest can boot only from a <filesystem> with <driver type='virtiofs'/>".into(),
            );
        }
        if filesystem.readonly
            && filesystem.is_virtiofs()
            && filesystem
                .source
                .as_ref()
                .is_some_and(|s| s.socket.is_some())
        {
            check.error(
                span,
                "<readonly/> cannot be used with the socket of a virtiofsd: \
                 configure that virtiofsd"
                    .into(),
            );
        }
        if filesystem.is_virtiofs() && filesystem.model.is_some() {
            check.error(
                span,
                "a <filesystem> with <driver type='virtiofs'/> cannot have a model".into(),
            );
        }
    }
}

/// Checks the listeners and ports of screens.
fn check_graphics(check: &mut Check<'_>) {
    let all = &check.domain.devices.graphics;
    for graphics in all {
        let span = &graphics.span;
        for listen in &graphics.listens {
            if listen.kind == Some(ListenType::Network) {
                let message =
                    "<listen type='network'> names a network of libvirt, which is not supported"
                        .to_owned();
                check.error_with_hint(
                    span,
                    message,
                    "give the address: <listen type='address' address='…'/>",
                );
            }
        }
        if graphics.listens.len() > 1 {
            check.error(span, "a <graphics> can have only one <listen>".into());
        }
        if graphics.kind == Some(GraphicsType::Vnc)
            && graphics.port.and_then(|p| p.0).is_some_and(|p| p < 5900)
        {
            check.error(span, "a VNC port must be 5900 or more".into());
        }
        passwords::check(check, graphics);
    }

    for kind in [GraphicsType::Vnc, GraphicsType::Spice, GraphicsType::Sdl] {
        if let Some(second) = all.iter().filter(|g| g.kind == Some(kind)).nth(1) {
            check.error(
                &second.span,
                format!("two <graphics> of type '{kind}': a guest can have only one"),
            );
        }
    }
}

/// Returns whether a card uses the fixed VGA ranges, which only the primary card has.
const fn is_primary_only(model: Option<VideoModel>) -> bool {
    matches!(
        model,
        Some(VideoModel::Vga | VideoModel::Cirrus | VideoModel::Vmvga)
    )
}

/// Checks the graphics cards.
fn check_videos(check: &mut Check<'_>) {
    let videos = &check.domain.devices.videos;
    for video in videos {
        let span = &video.info.span;
        let model = video.model();
        if model == Some(VideoModel::None) && videos.len() > 1 {
            check.error(
                span,
                "a graphics card of model 'none' must be the only one".into(),
            );
        }
        if !video.is_primary() && is_primary_only(model) {
            let name = model.map_or("", VideoModel::as_str);
            check.error(
                span,
                format!("a graphics card of model '{name}' must be the primary one"),
            );
        }
        if video.is_vhost_user() && model != Some(VideoModel::Virtio) {
            check.error(
                span,
                "<driver name='vhostuser'/> is for a graphics card of model 'virtio' only".into(),
            );
        }
        if video.model.heads == Some(0) {
            check.error(span, "a graphics card must have at least one head".into());
        }
    }

    if let Some(second) = videos.iter().filter(|v| v.is_primary()).nth(1) {
        check.error(
            &second.info.span,
            "two graphics cards have primary='yes'".into(),
        );
    }
}

/// Checks the sound cards and the audio backends.
fn check_sounds(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    for sound in &devices.sounds {
        let span = &sound.info.span;
        if sound.model == Some(SoundModel::Ich7) {
            check.error(
                span,
                "there is no sound card of model 'ich7': use 'ich6' or 'ich9'".into(),
            );
        }
        if let Some(id) = sound
            .audio
            .filter(|id| devices.audios.iter().all(|a| a.id != *id))
        {
            check.error(
                span,
                format!("the sound card names <audio id='{id}'/>, which does not exist"),
            );
        }
    }

    for (_, second) in duplicates(devices.audios.iter().map(|a| (a.id, a))) {
        check.error(
            &second.span,
            format!("two <audio> have the id {}", second.id),
        );
    }
}

/// Checks that each USB device has a port of its own on a controller that exists.
fn check_usb(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let items: Vec<_> = devices
        .items()
        .into_iter()
        .filter(|item| is_usb(devices, *item))
        .collect();
    let mut ports = Vec::new();
    for item in items {
        let device = devices.describe(item);
        let span = span_of(devices.info(item));
        match devices.info(item).and_then(|info| info.address.as_ref()) {
            Some(Address::Usb(usb)) => {
                let bus = usb.bus.unwrap_or(0);
                if !check.has_controller(ControllerType::Usb, bus) {
                    check.error(
                        &span,
                        format!("{device} is on USB bus {bus}, but there is no such controller"),
                    );
                }
                ports.push(((bus, usb.port.clone()), (device, span)));
            }
            Some(_) => check.error(
                &span,
                format!("{device} is on USB: its address must be of type 'usb'"),
            ),
            // `complete` reports that no port is free.
            None => {}
        }
    }

    for (first, second) in duplicates(ports) {
        let message = format!("{} and {} are on the same USB port", first.0, second.0);
        check.error(&second.1, message);
    }
}
