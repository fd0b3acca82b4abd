//! Devices that are soldered on: where they are, and the slots that they take.

use super::Buses;
use super::plug::{Need, Plug};
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::sound::SoundModel;
use crate::model::device::{Address, Devices, Item, PciAddress};
use crate::platform::Board;
use passthru_pci::Address as At;

/// Slot of an ICH9's sound.
const ICH9_SOUND: u8 = 0x1b;

/// Where the board has the controller, when it is one of the board's own: the first IDE and USB
/// controller of an i440fx (PIIX3), the first SATA controller of a q35 (ICH9).
pub(crate) fn place_of(board: Board, controller: &Controller) -> Option<At> {
    let uhci = matches!(controller.model, None | Some(ControllerModel::Piix3Uhci));
    match (board, controller.kind?, controller.index?) {
        (Board::I440fx, ControllerType::Ide, 0) => At::new(0, 0, 0x01, 1),
        (Board::I440fx, ControllerType::Usb, 0) if uhci => At::new(0, 0, 0x01, 2),
        (Board::Q35, ControllerType::Sata, 0) => At::new(0, 0, 0x1f, 2),
        _ => None,
    }
}

/// The board's own devices that no domain describes, with their addresses.
pub(crate) fn hidden(board: Board) -> Vec<(&'static str, At)> {
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
        .filter_map(|&(what, slot, f)| Some((what, At::new(0, 0, slot, f)?)))
        .collect()
}

/// Gives the board's own controllers their addresses.
pub(super) fn pin(board: Board, devices: &mut Devices) {
    for controller in &mut devices.controllers {
        if super::is_wanted(&controller.info)
            && let Some(at) = place_of(board, controller)
        {
            controller.info.address = Some(pci(at, None));
        }
    }
}

/// Reserves what the board has, and puts devices of an ICH9 where the real board has them if that
/// is free.
pub(super) fn settle(board: Board, buses: &mut Buses, devices: &mut Devices) {
    for (_, at) in hidden(board) {
        let _ = buses.reserve(at, Need::plain(Plug::Pci));
    }
    primary_video(board, buses, devices);
    if board != Board::Q35 {
        return;
    }
    let card = devices
        .sounds
        .iter_mut()
        .find(|s| s.model == Some(SoundModel::Ich9));
    if let Some(card) = card.filter(|card| super::is_wanted(&card.info))
        && let Some(at) =
            At::new(0, 0, ICH9_SOUND, 0).filter(|_| !buses.root_slot_in_use(ICH9_SOUND))
    {
        let _ = buses.reserve(at, Need::plain(Plug::Pci));
        card.info.address = Some(pci(at, None));
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
        if let Some(at) = free.and_then(|slot| At::new(0, 0, slot, 0)) {
            let _ = buses.reserve(at, Need::plain(plug));
            controller.info.address = Some(pci(at, multifunction));
        }
    }
}

/// A PC looks for the primary graphics card in a slot of the root bus; if that is taken, in the
/// next.
fn primary_video(board: Board, buses: &mut Buses, devices: &mut Devices) {
    let slot = match board {
        Board::I440fx => 2,
        Board::Q35 => 1,
        _ => return,
    };
    let is_pci = Need::of(devices, Item::Video(0), board == Board::Q35).is_some();
    let Some(video) = devices
        .videos
        .first_mut()
        .filter(|v| is_pci && super::is_wanted(&v.info))
    else {
        return;
    };
    let need = Need::plain(Plug::Pci);
    let at = At::new(0, 0, slot, 0).filter(|_| !buses.root_slot_in_use(slot));
    let found = match at {
        Some(at) => {
            let _ = buses.reserve(at, need);
            Some(at)
        }
        None => buses.next(need, 0).ok(),
    };
    video.info.address = found.map(|at| pci(at, None));
}

pub(super) fn pci(at: At, multifunction: Option<bool>) -> Address {
    Address::Pci(PciAddress {
        address: Some(at),
        multifunction,
        zpci: None,
    })
}
