//! Serial ports, consoles, channels, and the host's ends of those and of others.

use super::{Check, duplicates};
use crate::model::device::chardev::{
    CharBackend, CharProtocol, CharSourceType, CharTargetType, Chardev, SocketMode,
};
use crate::model::device::{Address, Item};
use crate::platform::Board;
use crate::xml::span::SourceSpan;

/// Serial ports that a PC has room for.
const PC_PORTS: u32 = 4;

/// Parallel ports that a PC has room for.
const PC_PARALLELS: usize = 3;

pub(super) fn check(check: &mut Check<'_>) {
    backends(check);
    let devices = &check.domain.devices;
    for serial in &devices.serials {
        target(check, serial);
    }
    for console in &devices.consoles {
        console_target(check, console);
    }
    devices
        .channels
        .iter()
        .for_each(|channel| channel_target(check, channel));
    for parallel in devices.parallels.iter().skip(PC_PARALLELS) {
        check.error(
            &parallel.info.span,
            format!("a PC has only {PC_PARALLELS} parallel ports"),
        );
    }
    numbers(check);
    ports(check);
}

/// No two serial ports have one number.
fn numbers(check: &mut Check<'_>) {
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

/// No two channels or consoles are on one port of a virtio-serial controller.
fn ports(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let taken = devices
        .channels
        .iter()
        .chain(&devices.consoles)
        .filter_map(|c| match &c.info.address {
            Some(Address::VirtioSerial(at)) => Some(((at.controller, at.port?), c)),
            _ => None,
        });
    for ((_, port), second) in duplicates(taken.map(|(key, c)| (key, (key, c))))
        .into_iter()
        .map(|(_, b)| b)
    {
        check.error(
            &second.info.span,
            format!("the virtio-serial port {port} is used twice"),
        );
    }
}

/// Looks at every host's end that there is.
fn backends(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let of = |item: Item| match item {
        Item::Serial(n) => devices.serials.get(n).map(|c| &c.backend),
        Item::Parallel(n) => devices.parallels.get(n).map(|c| &c.backend),
        Item::Console(n) => devices.consoles.get(n).map(|c| &c.backend),
        Item::Channel(n) => devices.channels.get(n).map(|c| &c.backend),
        Item::Redirdev(n) => devices.redirdevs.get(n).map(|c| &c.backend),
        Item::Smartcard(n) => devices.smartcards.get(n).and_then(|c| c.backend.as_ref()),
        Item::Rng(n) => devices
            .rngs
            .get(n)
            .and_then(|r| r.backend.as_ref()?.daemon.as_ref()),
        _ => None,
    };
    for item in devices.items() {
        if let Some((backend, info)) = of(item).zip(devices.info(item)) {
            let listens_unasked = matches!(item, Item::Channel(_));
            self::backend(
                check,
                backend,
                &devices.describe(item),
                &info.span,
                listens_unasked,
            );
        }
    }
}

fn backend(
    check: &mut Check<'_>,
    backend: &CharBackend,
    what: &str,
    span: &SourceSpan,
    listens_unasked: bool,
) {
    let Some(kind) = backend.kind else { return };
    if kind == CharSourceType::Unix && backend.path().is_none() && !listens_unasked {
        let message = format!("{what}: a socket needs its <source path='…'/>");
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
            format!("{what}: <reconnect> is for mode='connect' only"),
        );
    }
    if let Some(protocol @ (CharProtocol::Telnets | CharProtocol::Tls)) = backend.protocol {
        let message = format!("{what}: the protocol '{protocol}' is not supported");
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
            format!("{what}: the protocol 'telnet' cannot be used with tls"),
        );
    }
    if kind == CharSourceType::Nmdm {
        check.error(span, format!("{what}: the type 'nmdm' is for FreeBSD only"));
    }
}

fn target(check: &mut Check<'_>, serial: &Chardev) {
    let Some(target) = &serial.target else { return };
    let (machine, span) = (check.machine, &serial.info.span);
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

fn console_target(check: &mut Check<'_>, console: &Chardev) {
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

fn channel_target(check: &mut Check<'_>, channel: &Chardev) {
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
