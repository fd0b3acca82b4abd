//! Screens, sound, input devices, watchdogs and others: defaults, and devices that a guest gets
//! without asking.

use crate::model::device::audio::AudioType;
use crate::model::device::crypto::{CryptoModel, CryptoType};
use crate::model::device::filesystem::{FilesystemAccess, FilesystemType};
use crate::model::device::graphics::{Graphics, GraphicsPort, GraphicsType, Listen, ListenType};
use crate::model::device::input::{InputBus, InputType};
use crate::model::device::panic::PanicModel;
use crate::model::device::redirdev::RedirdevBus;
use crate::model::device::shmem::{ShmemModel, ShmemSize};
use crate::model::device::tpm::{TpmBackendType, TpmModel, TpmVersion};
use crate::model::device::video::{Video, VideoModel};
use crate::model::device::watchdog::{WatchdogAction, WatchdogModel};
use crate::model::device::{Audio, Devices, Input, Panic, VirtioModel, Watchdog};
use crate::model::memory::Memory;
use crate::model::os::Arch;
use crate::platform::{Board, Machine};

/// One MiB in KiB, the unit of a graphics card's memory.
const MIB: u32 = 1024;

/// Fills in the peripheral devices, and adds those that every guest of the machine has.
pub(super) fn fill(devices: &mut Devices, machine: &Machine) {
    fill_inputs(devices, machine.arch);
    for graphics in &mut devices.graphics {
        fill_graphics(graphics);
    }
    fill_videos(devices, machine.arch);
    add_audio(devices);
    fill_watchdogs(devices, machine.board);
    fill_tpms(devices, machine.arch);
    fill_panics(devices, machine.arch);
    for filesystem in &mut devices.filesystems {
        filesystem.kind.get_or_insert(FilesystemType::Mount);
        // If the user runs virtiofsd, that process decides who owns the files.
        if filesystem
            .source
            .as_ref()
            .is_none_or(|source| source.socket.is_none())
        {
            filesystem
                .accessmode
                .get_or_insert(FilesystemAccess::Passthrough);
        }
    }

    for shmem in &mut devices.shmems {
        let model = *shmem.model.get_or_insert(ShmemModel::Plain);
        if model == ShmemModel::Plain {
            shmem
                .size
                .get_or_insert(ShmemSize(Memory::from_bytes(4 << 20)));
        }
    }

    for crypto in &mut devices.cryptos {
        crypto.model.get_or_insert(CryptoModel::Virtio);
        crypto.kind.get_or_insert(CryptoType::Qemu);
    }

    if let Some(vsock) = &mut devices.vsock {
        vsock.model.get_or_insert(VirtioModel::Virtio);
        let cid = vsock.cid.get_or_insert_default();
        cid.auto.get_or_insert(cid.address.is_none());
    }

    for redirdev in &mut devices.redirdevs {
        redirdev.bus.get_or_insert(RedirdevBus::Usb);
    }
}

/// Fills in the model of TPMs, the version of emulated ones, and the host device of others.
fn fill_tpms(devices: &mut Devices, arch: Arch) {
    let default = if is_x86(arch) || arch == Arch::Aarch64 {
        TpmModel::Tis
    } else {
        TpmModel::Spapr
    };
    for tpm in &mut devices.tpms {
        tpm.model.get_or_insert(default);
        match tpm.backend.as_mut() {
            Some(backend) if backend.kind == Some(TpmBackendType::Emulator) => {
                backend.version.get_or_insert(TpmVersion::V2_0);
            }
            Some(backend) if backend.kind == Some(TpmBackendType::Passthrough) => {
                backend.device.get_or_insert_with(|| "/dev/tpm0".into());
            }
            _ => {}
        }
    }
}

/// Fills in the model of panic devices. A guest on Z always has one.
fn fill_panics(devices: &mut Devices, arch: Arch) {
    if arch == Arch::S390x && devices.panics.is_empty() {
        devices.panics.push(Panic::default());
    }
    let default = match arch {
        Arch::X86_64 | Arch::I686 => PanicModel::Isa,
        Arch::S390x => PanicModel::S390,
        _ => PanicModel::Pvpanic,
    };
    for panic in &mut devices.panics {
        panic.model.get_or_insert(default);
    }
}

/// Returns whether an architecture is x86.
const fn is_x86(arch: Arch) -> bool {
    matches!(arch, Arch::X86_64 | Arch::I686)
}

/// Fills in the bus of input devices, and adds the PS/2 mouse and keyboard of a PC.
fn fill_inputs(devices: &mut Devices, arch: Arch) {
    for input in &mut devices.inputs {
        let default = match input.kind {
            Some(InputType::Passthrough) => InputBus::Virtio,
            Some(InputType::Mouse | InputType::Keyboard) if is_x86(arch) => InputBus::Ps2,
            Some(InputType::Mouse | InputType::Keyboard | InputType::Tablet)
                if arch == Arch::S390x =>
            {
                InputBus::Virtio
            }
            Some(InputType::Mouse | InputType::Keyboard | InputType::Tablet) => InputBus::Usb,
            Some(InputType::Evdev) | None => continue,
        };
        input.bus.get_or_insert(default);
    }

    if is_x86(arch) {
        for kind in [InputType::Mouse, InputType::Keyboard] {
            let is_present = devices
                .inputs
                .iter()
                .any(|i| i.kind == Some(kind) && i.bus == Some(InputBus::Ps2));
            if !is_present {
                devices.inputs.push(Input::new(kind, InputBus::Ps2));
            }
        }
    }
}

/// Fills in `<listen>` of a screen, and whether its ports are chosen at the start.
fn fill_graphics(graphics: &mut Graphics) {
    match graphics.kind {
        Some(GraphicsType::Vnc) => {
            fill_listens(graphics, true);
            if listens_on(graphics, ListenType::Socket) || listens_on(graphics, ListenType::None) {
                return;
            }
            let is_chosen =
                graphics.autoport == Some(true) || graphics.port.is_none_or(|p| p.0.is_none());
            if is_chosen {
                graphics.port = Some(GraphicsPort(None));
            }
            graphics.autoport.get_or_insert(is_chosen);
            if is_chosen {
                graphics.autoport = Some(true);
            }
        }
        Some(GraphicsType::Spice) => {
            let chosen = [graphics.port, graphics.tls_port].contains(&Some(GraphicsPort(None)));
            if chosen || graphics.autoport == Some(true) {
                graphics.autoport = Some(true);
                graphics.port = None;
                graphics.tls_port = None;
            }
            let ports = graphics.port.is_some() || graphics.tls_port.is_some();
            if ports {
                graphics.autoport.get_or_insert(false);
            }
            fill_listens(graphics, ports || graphics.autoport == Some(true));
        }
        _ => {}
    }
}

/// Pairs the attributes `listen` and `socket` with the first `<listen>`.
fn fill_listens(graphics: &mut Graphics, has_port: bool) {
    if graphics.listens.is_empty() {
        let address = graphics.listen.clone();
        let socket = graphics.socket.take();
        let kind = match (&socket, has_port || address.is_some()) {
            (Some(_), _) => ListenType::Socket,
            (None, true) => ListenType::Address,
            (None, false) => ListenType::None,
        };
        graphics.listens.push(Listen {
            kind: Some(kind),
            address,
            network: None,
            socket,
        });
    }

    let first = graphics
        .listens
        .first()
        .filter(|l| l.kind == Some(ListenType::Address));
    graphics.listen = first.and_then(|l| l.address.clone());
}

/// Returns whether the first `<listen>` has a type.
fn listens_on(graphics: &Graphics, kind: ListenType) -> bool {
    graphics
        .listens
        .first()
        .is_some_and(|l| l.kind == Some(kind))
}

/// Fills in the graphics cards, and adds one to a guest with a screen. The primary card comes
/// first.
fn fill_videos(devices: &mut Devices, arch: Arch) {
    if devices.videos.is_empty() && !devices.graphics.is_empty() {
        devices.videos.push(Video::default());
    }
    if let Some(primary) = devices.videos.iter().position(Video::is_primary) {
        devices.videos[..=primary].rotate_right(1);
    }
    for (n, video) in devices.videos.iter_mut().enumerate() {
        let default = if is_x86(arch) {
            VideoModel::Cirrus
        } else {
            VideoModel::Virtio
        };
        let kind = *video.model.kind.get_or_insert(default);
        if kind == VideoModel::None {
            continue;
        }
        fill_video_memory(video, kind);
        video.model.heads.get_or_insert(1);
        // Only the primary card has the attribute: it is the first one.
        video.model.primary = (n == 0 || video.is_primary()).then_some(true);
    }
}

/// Fills in the memory of a graphics card.
fn fill_video_memory(video: &mut Video, kind: VideoModel) {
    let model = &mut video.model;
    let vram = match kind {
        VideoModel::Vga | VideoModel::Cirrus | VideoModel::Vmvga | VideoModel::Bochs => 16 * MIB,
        VideoModel::Qxl => {
            model.ram.get_or_insert(64 * MIB);
            model.vgamem.get_or_insert(16 * MIB);
            64 * MIB
        }
        _ => return,
    };
    model.vram.get_or_insert(vram);
}

/// Adds an audio backend to a guest without one: that of the screen, or else none.
fn add_audio(devices: &mut Devices) {
    if !devices.audios.is_empty() {
        return;
    }
    let kind = if has_graphics(devices, GraphicsType::Spice) {
        AudioType::Spice
    } else if has_graphics(devices, GraphicsType::Sdl) {
        AudioType::Sdl
    } else if has_graphics(devices, GraphicsType::Dbus) {
        AudioType::Dbus
    } else {
        AudioType::None
    };
    devices.audios.push(Audio {
        id: 1,
        kind: Some(kind),
        ..Audio::default()
    });
}

/// Returns whether the guest has a screen of a type.
fn has_graphics(devices: &Devices, kind: GraphicsType) -> bool {
    devices.graphics.iter().any(|g| g.kind == Some(kind))
}

/// Fills in the action of watchdogs, and adds the watchdog of a q35's chip set.
fn fill_watchdogs(devices: &mut Devices, board: Board) {
    let has_itco = devices
        .watchdogs
        .iter()
        .any(|w| w.model == Some(WatchdogModel::Itco));
    if board == Board::Q35 && !has_itco {
        let action = devices.watchdogs.first().and_then(|w| w.action);
        devices.watchdogs.push(Watchdog {
            model: Some(WatchdogModel::Itco),
            action,
            ..Watchdog::default()
        });
    }

    for watchdog in &mut devices.watchdogs {
        watchdog.action.get_or_insert(WatchdogAction::Reset);
    }
}
