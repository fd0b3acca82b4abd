//! Serial ports, parallel ports, consoles and channels: how they pair, and what they are.

use crate::model::device::chardev::{
    CharBackend, CharModel, CharProtocol, CharSourceType, CharTarget, CharTargetType, Chardev,
    SocketMode,
};
use crate::model::device::{Address, CcidAddress, Devices, Info};
use crate::platform::{Board, Machine};

/// Folders where libvirt puts the sockets of channels that name none.
const CHANNEL_DIRS: &[&str] = &[
    "/var/lib/libvirt/qemu/channel/target/",
    "/run/libvirt/qemu/channel/",
];

/// Pairs the first console with the first serial port, and fills in targets and ports.
pub(super) fn fill(devices: &mut Devices, machine: &Machine) {
    pair(devices);
    serial_ports(&mut devices.serials, machine);
    // A card's serial port is no console unless the user says so.
    let is_console = |s: &Chardev| {
        !matches!(
            kind_of(s),
            Some(CharTargetType::PciSerial | CharTargetType::UsbSerial | CharTargetType::IsaDebug)
        )
    };
    if devices.consoles.first().is_none_or(|c| !shows_serial(c))
        && let Some(serial) = devices.serials.first().filter(|s| is_console(s))
    {
        let console = console_of(serial);
        devices.consoles.insert(0, console);
    }
    let first = devices
        .serials
        .first()
        .and_then(|serial| serial.target.as_ref()?.port);
    for (n, console) in devices.consoles.iter_mut().enumerate() {
        let target = console.target.get_or_insert_default();
        target.kind.get_or_insert(CharTargetType::Serial);
        let of_serial = first.filter(|_| n == 0 && target.kind == Some(CharTargetType::Serial));
        target.port = of_serial.or(u32::try_from(n).ok());
    }
    for (n, parallel) in (0..).zip(&mut devices.parallels) {
        parallel
            .target
            .get_or_insert_default()
            .port
            .get_or_insert(n);
    }
    devices.channels.iter_mut().for_each(channel);
    smartcards(devices);
    backends(devices).for_each(backend);
}

/// Every host's end that there is.
fn backends(devices: &mut Devices) -> impl Iterator<Item = &mut CharBackend> {
    let Devices {
        serials,
        parallels,
        consoles,
        channels,
        redirdevs,
        smartcards,
        rngs,
        ..
    } = devices;
    let chardevs = serials
        .iter_mut()
        .chain(parallels)
        .chain(consoles)
        .chain(channels);
    let daemons = rngs
        .iter_mut()
        .filter_map(|rng| rng.backend.as_mut()?.daemon.as_mut());
    let others = redirdevs.iter_mut().map(|r| &mut r.backend);
    chardevs
        .map(|c| &mut c.backend)
        .chain(others)
        .chain(smartcards.iter_mut().filter_map(|s| s.backend.as_mut()))
        .chain(daemons)
}

/// TCP speaks in the clear unless it says so. What a running guest's terminal is called is not the
/// domain's.
fn backend(backend: &mut CharBackend) {
    match backend.kind {
        Some(CharSourceType::Tcp) => {
            backend.protocol.get_or_insert(CharProtocol::Raw);
        }
        _ => backend.protocol = None,
    }
    match backend.kind {
        Some(
            CharSourceType::Pty | CharSourceType::Null | CharSourceType::Stdio | CharSourceType::Vc,
        ) => {
            backend.sources.clear();
        }
        Some(CharSourceType::Unix) if backend.path().is_none() => {
            // That a connection is made again is for `validate` to refuse.
            backend.sources.retain(|source| source.reconnect.is_some());
        }
        Some(CharSourceType::Unix | CharSourceType::Tcp) => {
            for source in &mut backend.sources {
                source.mode.get_or_insert(SocketMode::Connect);
            }
        }
        _ => {}
    }
}

/// Sockets that a manager chose are chosen anew; whether the guest has opened the channel shows
/// later.
fn channel(channel: &mut Chardev) {
    let Some(target) = &mut channel.target else {
        return;
    };
    target.state = None;
    let name = target.name.clone().unwrap_or_default();
    if channel.backend.kind == Some(CharSourceType::Unix)
        && channel
            .backend
            .path()
            .is_some_and(|path| is_chosen(path, &name))
    {
        channel
            .backend
            .sources
            .iter_mut()
            .for_each(|source| source.path = None);
    }
}

fn is_chosen(path: &str, name: &str) -> bool {
    let middles = CHANNEL_DIRS
        .iter()
        .filter_map(|dir| path.strip_prefix(dir)?.strip_suffix(name));
    middles.filter(|_| !name.is_empty()).any(|middle| {
        let folder = middle
            .strip_suffix('/')
            .is_some_and(|folder| !folder.contains('/'));
        let prefix = middle
            .strip_suffix('.')
            .is_some_and(|prefix| !prefix.contains('/'));
        folder || prefix
    })
}

/// Each smart card is in a slot of the reader.
fn smartcards(devices: &mut Devices) {
    for (slot, card) in (0..).zip(&mut devices.smartcards) {
        let usual = || {
            Address::Ccid(CcidAddress {
                controller: Some(0),
                slot: Some(slot),
            })
        };
        card.info.address.get_or_insert_with(usual);
    }
}

/// A console that says nothing of its own is the first serial port: it becomes one where there is
/// none.
fn pair(devices: &mut Devices) {
    let Some(console) = devices.consoles.first().filter(|c| shows_serial(c)) else {
        return;
    };
    match devices.serials.first() {
        None => {
            let mut serial = console.clone();
            serial.target = None;
            devices.serials.push(serial);
            let console = &mut devices.consoles[0];
            console.info.address = None;
            console.info.alias = None;
        }
        Some(serial) => {
            let span = console.info.span.clone();
            devices.consoles[0] = Chardev {
                info: Info {
                    span,
                    ..Info::default()
                },
                ..console_of(serial)
            };
        }
    }
}

fn console_of(serial: &Chardev) -> Chardev {
    let target = CharTarget {
        kind: Some(CharTargetType::Serial),
        ..CharTarget::default()
    };
    let info = Info {
        span: serial.info.span.clone(),
        ..Info::default()
    };
    Chardev {
        info,
        target: Some(target),
        ..serial.clone()
    }
}

fn kind_of(chardev: &Chardev) -> Option<CharTargetType> {
    chardev.target.as_ref().and_then(|t| t.kind)
}

fn shows_serial(console: &Chardev) -> bool {
    kind_of(console).is_none_or(|kind| kind == CharTargetType::Serial)
}

/// Gives serial ports their kind, model, and the next number where they have none.
fn serial_ports(serials: &mut [Chardev], machine: &Machine) {
    // Numbers go on after the highest that is said.
    let said = serials.iter().filter_map(|s| s.target.as_ref()?.port).max();
    let mut next = said.map_or(0, |port| port.saturating_add(1));
    for serial in serials {
        let target = serial.target.get_or_insert_default();
        if target.port.is_none() {
            target.port = Some(next);
            next = next.saturating_add(1);
        }
        let kind = target.kind.get_or_insert(machine.serial);
        if *kind == CharTargetType::IsaSerial && !is_x86(machine) {
            // An old spelling of the machine's own port.
            *kind = machine.serial;
            target.model = target.model.filter(|m| *m != CharModel::IsaSerial);
        }
        if target.model.is_none() {
            target.model = usual_model(*kind);
        }
    }
}

const fn is_x86(machine: &Machine) -> bool {
    !matches!(machine.board, Board::Virt | Board::S390Ccw)
}

const fn usual_model(kind: CharTargetType) -> Option<CharModel> {
    match kind {
        CharTargetType::IsaSerial => Some(CharModel::IsaSerial),
        CharTargetType::UsbSerial => Some(CharModel::UsbSerial),
        CharTargetType::PciSerial => Some(CharModel::PciSerial),
        CharTargetType::SpaprVioSerial => Some(CharModel::SpaprVty),
        CharTargetType::SystemSerial => Some(CharModel::Pl011),
        CharTargetType::SclpSerial => Some(CharModel::Sclpconsole),
        CharTargetType::IsaDebug => Some(CharModel::IsaDebugcon),
        _ => None,
    }
}
