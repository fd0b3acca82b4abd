//! USB 2 of an ICH9: a controller and its companions, which share an index.

use std::collections::HashSet;

use crate::model::device::controller::{Controller, ControllerModel, UsbMaster};

/// A companion serves two ports each, in the order of its number.
pub(super) fn fill_master(controller: &mut Controller) {
    let startport = match controller.model {
        Some(ControllerModel::Ich9Uhci1) => 0,
        Some(ControllerModel::Ich9Uhci2) => 2,
        Some(ControllerModel::Ich9Uhci3) => 4,
        _ => return,
    };
    controller.master.get_or_insert(UsbMaster { startport });
}

/// Returns a controller's place in a group: the group's index, and the model.
pub(super) fn member(controller: &Controller) -> Option<(u32, ControllerModel)> {
    Some((controller.index?, controller.model?))
}

/// Returns the index of the group that a controller without an index belongs to: the one of the
/// controller just before it, when that one is of such a group too and the group has none of this
/// model yet.
pub(super) fn index_of_group(
    controllers: &[Controller],
    n: usize,
    members: &HashSet<(u32, ControllerModel)>,
) -> Option<u32> {
    let model = controllers[n].model.filter(|m| is_usb2(*m))?;
    let before = controllers[..n]
        .last()
        .filter(|c| c.model.is_some_and(is_usb2))?;
    before
        .index
        .filter(|index| !members.contains(&(*index, model)))
}

const fn is_usb2(model: ControllerModel) -> bool {
    matches!(
        model,
        ControllerModel::Ich9Ehci1
            | ControllerModel::Ich9Uhci1
            | ControllerModel::Ich9Uhci2
            | ControllerModel::Ich9Uhci3
    )
}
