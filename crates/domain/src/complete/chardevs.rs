//! Serial ports and consoles: how they pair, and what they are.

use crate::device::chardev::{CharModel, CharTarget, CharTargetType, Chardev};
use crate::device::{Devices, Info};
use crate::{Board, Machine};

/// Pairs the first console with the first serial port, and fills in targets and ports.
pub(super) fn fill(devices: &mut Devices, machine: &Machine) {
    pair(devices);
    serial_ports(&mut devices.serials, machine);
    // A card's serial port is no console unless the user says so.
    let is_console = |s: &Chardev| kind_of(s) != Some(CharTargetType::PciSerial);
    if devices.consoles.first().is_none_or(|c| !shows_serial(c))
        && let Some(serial) = devices.serials.first().filter(|s| is_console(s))
    {
        let console = console_of(serial);
        devices.consoles.insert(0, console);
    }
    for (n, console) in devices.consoles.iter_mut().enumerate() {
        let target = console.target.get_or_insert_default();
        target.kind.get_or_insert(CharTargetType::Serial);
        target.port = u32::try_from(n).ok();
    }
}

/// A console that says nothing of its own is the first serial port: it becomes one where there is none.
fn pair(devices: &mut Devices) {
    let Some(console) = devices.consoles.first().filter(|c| shows_serial(c)) else { return };
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
            let place = console.info.place.clone();
            devices.consoles[0] = Chardev { info: Info { place, ..Info::default() }, ..console_of(serial) };
        }
    }
}

fn console_of(serial: &Chardev) -> Chardev {
    let target = CharTarget { kind: Some(CharTargetType::Serial), ..CharTarget::default() };
    let info = Info { place: serial.info.place.clone(), ..Info::default() };
    Chardev { info, target: Some(target), ..serial.clone() }
}

fn kind_of(chardev: &Chardev) -> Option<CharTargetType> {
    chardev.target.as_ref().and_then(|t| t.kind)
}

fn shows_serial(console: &Chardev) -> bool {
    kind_of(console).is_none_or(|kind| kind == CharTargetType::Serial)
}

/// Gives serial ports their kind, model, and the next number where they have none.
fn serial_ports(serials: &mut [Chardev], machine: &Machine) {
    let mut next = 0;
    for serial in serials {
        let target = serial.target.get_or_insert_default();
        let port = *target.port.get_or_insert(next);
        next = next.max(port.saturating_add(1));
        let kind = target.kind.get_or_insert(machine.serial);
        if machine.board == Board::Virt && *kind == CharTargetType::IsaSerial {
            // An old spelling of the machine's own port.
            *kind = CharTargetType::SystemSerial;
            target.model = target.model.filter(|m| *m != CharModel::IsaSerial);
        }
        if target.model.is_none() {
            target.model = usual_model(*kind);
        }
    }
}

const fn usual_model(kind: CharTargetType) -> Option<CharModel> {
    match kind {
        CharTargetType::IsaSerial => Some(CharModel::IsaSerial),
        CharTargetType::PciSerial => Some(CharModel::PciSerial),
        CharTargetType::SystemSerial => Some(CharModel::Pl011),
        CharTargetType::Serial | CharTargetType::Virtio => None,
    }
}
