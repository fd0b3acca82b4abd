//! Serial ports, consoles and channels, and the backends of all character devices.

use super::check::{Check, duplicates};
use crate::model::device::chardev::{
    CharBackend, CharProtocol, CharSourceType, CharTargetType, Chardev, SocketMode,
};
use crate::model::device::{Address, Devices, Item};
use crate::platform::Board;

/// Most serial ports of a PC.
const PC_PORTS: u32 = 4;

/// Most parallel ports of a PC.
const PC_PARALLELS: usize = 3;

pub(super) fn check(check: &mut Check<'_>) {
    check_backends(check);
    let devices = &check.domain.devices;
    for serial in &devices.serials {
        check_target(check, serial);
    }
    for console in &devices.consoles {
        check_console_target(check, console);
    }
    for channel in &devices.channels {
        check_channel_target(check, channel);
    }
    for parallel in devices.parallels.iter().skip(PC_PARALLELS) {
        check.error(
            &parallel.info.span,
            format!("a PC has only {PC_PARALLELS} parallel ports"),
        );
    }

    check_numbers(check);
    check_ports(check);
}

/// Checks that the numbers of serial ports are unique.
fn check_numbers(check: &mut Check<'_>) {
    let numbers = check.domain.devices.serials.iter().filter_map(|s| {
        let target = s.target.as_ref()?;
        Some(((target.kind, target.port?), s))
    });
    for (_, second) in duplicates(numbers) {
        let port = second
            .target
            .as_ref()
            .and_then(|t| t.port)
            .unwrap_or_default();
        check.error(
            &second.info.span,
            format!("two serial ports have the number {port}"),
        );
    }
}

/// Checks that no two channels or consoles share a port of a virtio-serial controller.
fn check_ports(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let mut taken = Vec::new();
    for chardev in devices.channels.iter().chain(&devices.consoles) {
        if let Some(Address::VirtioSerial(at)) = &chardev.info.address
            && let Some(port) = at.port
        {
            taken.push(((at.controller, port), (port, &chardev.info.span)));
        }
    }

    for (_, (port, span)) in duplicates(taken) {
        check.error(span, format!("the virtio-serial port {port} is used twice"));
    }
}

/// Checks the backends of all character devices on the host.
fn check_backends(check: &mut Check<'_>) {
    for item in check.domain.devices.items() {
        if let Some(backend) = backend_of(&check.domain.devices, item) {
            check_backend(check, item, backend);
        }
    }
}

/// Returns the backend of a character device.
pub(super) fn backend_of(devices: &Devices, item: Item) -> Option<&CharBackend> {
    match item {
        Item::Serial(n) => Some(&devices.serials.get(n)?.backend),
        Item::Parallel(n) => Some(&devices.parallels.get(n)?.backend),
        Item::Console(n) => Some(&devices.consoles.get(n)?.backend),
        Item::Channel(n) => Some(&devices.channels.get(n)?.backend),
        Item::Redirdev(n) => Some(&devices.redirdevs.get(n)?.backend),
        Item::Smartcard(n) => devices.smartcards.get(n)?.backend.as_ref(),
        Item::Rng(n) => devices.rngs.get(n)?.backend.as_ref()?.daemon.as_ref(),
        _ => None,
    }
}

/// Checks the socket, protocol and type of one backend.
fn check_backend(check: &mut Check<'_>, item: Item, backend: &CharBackend) {
    let devices = &check.domain.devices;
    let Some(info) = devices.info(item) else {
        return;
    };
    let Some(kind) = backend.kind else { return };
    let device = devices.describe(item);
    let span = &info.span;
    // The manager chooses the socket of a channel without a path.
    let is_channel = matches!(item, Item::Channel(_));
    if kind == CharSourceType::Unix && backend.path().is_none() && !is_channel {
        let message = format!("{device}: a socket needs its <source path='…'/>");
        check.error(span, message);
    }

    let listens = match kind {
        CharSourceType::Unix if backend.path().is_none() => true,
        CharSourceType::Unix | CharSourceType::Tcp => backend.mode() == SocketMode::Bind,
        _ => false,
    };
    let again = backend
        .source()
        .and_then(|source| source.reconnect.as_ref());
    if again.is_some() && listens {
        check.error(
            span,
            format!("{device}: <reconnect> is for mode='connect' only"),
        );
    }

    if let Some(protocol @ (CharProtocol::Telnets | CharProtocol::Tls)) = backend.protocol {
        let message = format!("{device}: the protocol '{protocol}' is not supported");
        check.error_with_hint(
            span,
            message,
            "use <source tls='yes'/> with the protocol 'raw'",
        );
    }

    let tls = backend.source().and_then(|source| source.tls) == Some(true);
    if tls && backend.protocol == Some(CharProtocol::Telnet) {
        check.error(
            span,
            format!("{device}: the protocol 'telnet' cannot be used with tls"),
        );
    }

    if kind == CharSourceType::Nmdm {
        check.error(
            span,
            format!("{device}: the type 'nmdm' is for FreeBSD only"),
        );
    }
}

/// Checks the type and number of a serial port.
fn check_target(check: &mut Check<'_>, serial: &Chardev) {
    let Some(target) = &serial.target else { return };
    let machine = check.machine;
    let span = &serial.info.span;
    let is_pc = matches!(
        machine.board,
        Board::I440fx | Board::Q35 | Board::Isapc | Board::Microvm | Board::Other
    );
    let fits = match target.kind {
        Some(CharTargetType::IsaSerial | CharTargetType::IsaDebug) => is_pc,
        Some(CharTargetType::SystemSerial) => matches!(machine.board, Board::Virt | Board::Other),
        Some(CharTargetType::SclpSerial) => machine.board == Board::S390Ccw,
        Some(CharTargetType::SpaprVioSerial) => machine.board == Board::Other,
        Some(CharTargetType::PciSerial | CharTargetType::UsbSerial) | None => true,
        Some(_) => false,
    };
    if let Some(kind) = target.kind.filter(|_| !fits) {
        let name = &machine.name;
        check.error(
            span,
            format!("a serial port of type '{kind}' is not for the machine '{name}'"),
        );
    }

    if target.kind == Some(CharTargetType::IsaSerial) && target.port.is_some_and(|p| p >= PC_PORTS)
    {
        check.error(
            span,
            format!("a PC has only {PC_PORTS} serial ports, numbered from 0"),
        );
    }
}

/// Checks the type of a console.
fn check_console_target(check: &mut Check<'_>, console: &Chardev) {
    use CharTargetType::{Sclp, Sclplm, Serial, Virtio};
    let kind = console.target.as_ref().and_then(|t| t.kind);
    let fits = match kind {
        None | Some(Serial | Virtio) => true,
        Some(Sclp | Sclplm) => check.machine.board == Board::S390Ccw,
        Some(_) => false,
    };
    if let Some(kind) = kind.filter(|_| !fits) {
        let name = &check.machine.name;
        let message = format!("a console of type '{kind}' is not for the machine '{name}'");
        check.error(&console.info.span, message);
    }
}

/// Checks the type of a channel.
fn check_channel_target(check: &mut Check<'_>, channel: &Chardev) {
    let span = &channel.info.span;
    match channel.target.as_ref().and_then(|t| t.kind) {
        Some(CharTargetType::Virtio) => {}
        Some(CharTargetType::Guestfwd) => {
            let target = channel.target.as_ref();
            if target.is_none_or(|t| t.address.is_none() || t.port.is_none()) {
                let message =
                    "a channel of type 'guestfwd' needs <target address='…' port='…'/>".to_owned();
                check.error(span, message);
            }
        }
        Some(kind) => check.error(
            span,
            format!("a channel cannot have a target of type '{kind}'"),
        ),
        None => check.error(span, "a channel needs a <target type='…'/>".into()),
    }
}
