//! Serial ports and consoles.

use super::{Check, duplicates};
use crate::Board;
use crate::device::chardev::{CharSourceType, CharTargetType, Chardev, SocketMode};

/// Serial ports that a PC has room for.
const PC_PORTS: u32 = 4;

pub(super) fn check(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    for chardev in devices.serials.iter().chain(&devices.consoles) {
        source(check, chardev);
    }
    for serial in &devices.serials {
        target(check, serial);
    }
    let ports = devices.serials.iter().filter_map(|s| {
        let target = s.target.as_ref()?;
        Some(((target.kind, target.port?), s))
    });
    for (_, second) in duplicates(ports) {
        let port = second.target.as_ref().and_then(|t| t.port).unwrap_or_default();
        check.error(&second.info.place, format!("two serial ports have the number {port}"));
    }
}

fn source(check: &mut Check<'_>, chardev: &Chardev) {
    let source = chardev.source.as_ref();
    let path = source.and_then(|s| s.path.as_ref());
    let connects = source.and_then(|s| s.mode) == Some(SocketMode::Connect);
    if chardev.kind == Some(CharSourceType::Unix) && connects && path.is_none() {
        let message = "a character device that connects to a socket needs its <source path='…'/>".to_owned();
        check.error(&chardev.info.place, message);
    }
}

fn target(check: &mut Check<'_>, serial: &Chardev) {
    let Some(target) = &serial.target else { return };
    let (machine, place) = (check.machine, &serial.info.place);
    let fits = match target.kind {
        Some(CharTargetType::IsaSerial) => {
            matches!(machine.board, Board::I440fx | Board::Q35 | Board::Isapc | Board::Microvm | Board::Other)
        }
        Some(CharTargetType::SystemSerial) => matches!(machine.board, Board::Virt | Board::Other),
        Some(CharTargetType::Serial | CharTargetType::Virtio) => false,
        Some(CharTargetType::PciSerial) | None => true,
    };
    if let Some(kind) = target.kind.filter(|_| !fits) {
        let name = &machine.name;
        check.error(place, format!("a serial port of type '{kind}' is not for the machine '{name}'"));
    }
    if target.kind == Some(CharTargetType::IsaSerial) && target.port.is_some_and(|p| p >= PC_PORTS) {
        check.error(place, format!("a PC has {PC_PORTS} serial ports, numbered from 0"));
    }
}
