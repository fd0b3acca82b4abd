//! Serial ports, parallel ports, consoles and channels: pairs, targets, ports and backends.

use crate::model::device::chardev::{
    CharBackend, CharModel, CharProtocol, CharSourceType, CharTarget, CharTargetType, Chardev,
    SocketMode,
};
use crate::model::device::{Address, CcidAddress, Devices, Info};
use crate::platform::{Board, Machine};

/// Folders in which libvirt chooses the sockets of channels that name none.
const CHANNEL_DIRS: &[&str] = &[
    "/var/lib/libvirt/qemu/channel/target/",
    "/run/libvirt/qemu/channel/",
];

/// Pairs the first console with the first serial port, and fills in targets and ports.
pub(super) fn fill(devices: &mut Devices, machine: &Machine) {
    pair_first_console(devices);
    fill_serial_ports(&mut devices.serials, machine);
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

    for channel in &mut devices.channels {
        fill_channel(channel);
    }
    fill_smartcards(devices);
    for backend in backends(devices) {
        fill_backend(backend);
    }
}

/// Returns whether a serial port is also a console by default. A port on a card is not.
fn is_console(serial: &Chardev) -> bool {
    !matches!(
        kind_of(serial),
        Some(CharTargetType::PciSerial | CharTargetType::UsbSerial | CharTargetType::IsaDebug)
    )
}

/// Iterates over all backends of character devices on the host.
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

/// Fills in protocol and socket mode, and removes sources that are chosen at each start.
///
/// TCP defaults to the protocol `raw`. The name of a running guest's terminal is not part of the
/// domain.
fn fill_backend(backend: &mut CharBackend) {
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
            // `validate` refuses <reconnect> here.
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

/// Removes the state of a channel: the socket that a manager chose, and whether the guest has
/// opened the channel.
fn fill_channel(channel: &mut Chardev) {
    let Some(target) = &mut channel.target else {
        return;
    };
    target.state = None;
    let name = target.name.clone().unwrap_or_default();
    let backend = &mut channel.backend;
    if backend.kind == Some(CharSourceType::Unix)
        && backend.path().is_some_and(|path| is_chosen(path, &name))
    {
        for source in &mut backend.sources {
            source.path = None;
        }
    }
}

/// Returns whether libvirt chose the path of a channel's socket.
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

/// Gives each smart card a slot of the first reader.
fn fill_smartcards(devices: &mut Devices) {
    for (slot, card) in (0..).zip(&mut devices.smartcards) {
        let default = CcidAddress {
            controller: Some(0),
            slot: Some(slot),
        };
        card.info.address.get_or_insert(Address::Ccid(default));
    }
}

/// Pairs the first console with the first serial port, unless the console is a device of its own.
///
/// If the guest has no serial port, the console becomes one.
fn pair_first_console(devices: &mut Devices) {
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

/// Returns the console that shows a serial port.
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

/// Returns whether a console shows a serial port.
fn shows_serial(console: &Chardev) -> bool {
    kind_of(console).is_none_or(|kind| kind == CharTargetType::Serial)
}

/// Fills in the kind, the model and the number of serial ports.
fn fill_serial_ports(serials: &mut [Chardev], machine: &Machine) {
    // The numbers continue after the highest that the user gave.
    let given = serials.iter().filter_map(|s| s.target.as_ref()?.port).max();
    let mut next = given.map_or(0, |port| port.saturating_add(1));
    for serial in serials {
        let target = serial.target.get_or_insert_default();
        if target.port.is_none() {
            target.port = Some(next);
            next = next.saturating_add(1);
        }
        let kind = target.kind.get_or_insert(machine.serial);
        if *kind == CharTargetType::IsaSerial && !is_x86(machine) {
            // `isa-serial` is an old spelling of the machine's own port.
            *kind = machine.serial;
            target.model = target.model.filter(|m| *m != CharModel::IsaSerial);
        }
        if target.model.is_none() {
            target.model = default_model(*kind);
        }
    }
}

/// Returns whether the machine is a PC.
const fn is_x86(machine: &Machine) -> bool {
    !matches!(machine.board, Board::Virt | Board::S390Ccw)
}

/// Returns the default model of a kind of serial port.
const fn default_model(kind: CharTargetType) -> Option<CharModel> {
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
