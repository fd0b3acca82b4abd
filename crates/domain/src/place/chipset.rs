//! The board's own devices: their addresses, and the slots that they take.

use passthru_pci::Address as FunctionAddress;

use super::buses::Buses;
use super::pci_address;
use super::plug::{Need, Plug};
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::sound::SoundModel;
use crate::model::device::{Devices, Item};
use crate::platform::Board;

/// Slot of an ICH9's sound card.
const ICH9_SOUND: u8 = 0x1b;

/// Returns the address that the board gives a controller; `None` if the board does not have it.
///
/// An i440fx (PIIX3) has the first IDE and USB controller, a q35 (ICH9) the first SATA controller.
pub(crate) fn controller_address(board: Board, controller: &Controller) -> Option<FunctionAddress> {
    let uhci = matches!(controller.model, None | Some(ControllerModel::Piix3Uhci));
    match (board, controller.kind?, controller.index?) {
        (Board::I440fx, ControllerType::Ide, 0) => FunctionAddress::new(0, 0, 0x01, 1),
        (Board::I440fx, ControllerType::Usb, 0) if uhci => FunctionAddress::new(0, 0, 0x01, 2),
        (Board::Q35, ControllerType::Sata, 0) => FunctionAddress::new(0, 0, 0x1f, 2),
        _ => None,
    }
}

/// Returns the board's devices that no domain describes, with their addresses.
pub(crate) fn hidden_devices(board: Board) -> Vec<(&'static str, FunctionAddress)> {
    let devices: &[_] = match board {
        Board::I440fx => &[
            ("the board's ISA bridge", 0x01, 0),
            ("the board's power management", 0x01, 3),
        ],
        Board::Q35 => &[
            ("the board's ISA bridge", 0x1f, 0),
            ("the board's SMBus", 0x1f, 3),
        ],
        _ => &[],
    };
    devices
        .iter()
        .filter_map(|&(name, slot, function)| {
            Some((name, FunctionAddress::new(0, 0, slot, function)?))
        })
        .collect()
}

/// Gives the board's own controllers their addresses.
pub(super) fn place_controllers(board: Board, devices: &mut Devices) {
    for controller in &mut devices.controllers {
        if pci_address::is_missing(&controller.info)
            && let Some(at) = controller_address(board, controller)
        {
            controller.info.address = Some(pci_address::new(at, None));
        }
    }
}

/// Reserves the addresses of the board's devices, and places the primary graphics card.
///
/// On a q35, the sound card, USB controllers and DMI bridge get the addresses of a real ICH9 if
/// those are free.
pub(super) fn place_devices(board: Board, buses: &mut Buses, devices: &mut Devices) {
    for (_, at) in hidden_devices(board) {
        let _ = buses.reserve(at, Need::plain(Plug::Pci));
    }
    place_primary_video(board, buses, devices);
    if board != Board::Q35 {
        return;
    }
    let card = devices
        .sounds
        .iter_mut()
        .find(|s| s.model == Some(SoundModel::Ich9));
    if let Some(card) = card.filter(|card| pci_address::is_missing(&card.info))
        && let Some(at) = FunctionAddress::new(0, 0, ICH9_SOUND, 0)
            .filter(|_| !buses.root_slot_in_use(ICH9_SOUND))
    {
        let _ = buses.reserve(at, Need::plain(Plug::Pci));
        card.info.address = Some(pci_address::new(at, None));
    }

    for controller in devices
        .controllers
        .iter_mut()
        .filter(|c| c.info.address.is_none())
    {
        let (slots, multifunction, plug): (&[u8], _, _) = match controller.model {
            Some(ControllerModel::Ich9Uhci1) => (&[0x1d, 0x1a], Some(true), Plug::Pcie),
            Some(ControllerModel::DmiToPciBridge) => (&[0x1e], None, Plug::DmiToPciBridge),
            _ => continue,
        };
        let free = slots
            .iter()
            .copied()
            .find(|slot| !buses.root_slot_in_use(*slot));
        if let Some(at) = free.and_then(|slot| FunctionAddress::new(0, 0, slot, 0)) {
            let _ = buses.reserve(at, Need::plain(plug));
            controller.info.address = Some(pci_address::new(at, multifunction));
        }
    }
}

/// Gives the primary graphics card of a PC its usual slot on the root bus. If that is taken,
/// the card gets the next free address.
fn place_primary_video(board: Board, buses: &mut Buses, devices: &mut Devices) {
    let slot = match board {
        Board::I440fx => 2,
        Board::Q35 => 1,
        _ => return,
    };
    let is_pci = Need::for_device(devices, Item::Video(0), board == Board::Q35).is_some();
    let Some(video) = devices
        .videos
        .first_mut()
        .filter(|v| is_pci && pci_address::is_missing(&v.info))
    else {
        return;
    };
    let need = Need::plain(Plug::Pci);
    let at = FunctionAddress::new(0, 0, slot, 0).filter(|_| !buses.root_slot_in_use(slot));
    let found = match at {
        Some(at) => {
            let _ = buses.reserve(at, need);
            Some(at)
        }
        None => buses.next(need, 0).ok(),
    };
    video.info.address = found.map(|at| pci_address::new(at, None));
}
