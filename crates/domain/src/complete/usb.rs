//! USB 2 groups of an ICH9: a controller and its companions, which share an index.

use std::collections::HashSet;

use crate::model::device::controller::{Controller, ControllerModel, UsbMaster};

/// Fills in the first port of a companion. Each companion serves two ports, in order.
pub(super) fn fill_master(controller: &mut Controller) {
    let startport = match controller.model {
        Some(ControllerModel::Ich9Uhci1) => 0,
        Some(ControllerModel::Ich9Uhci2) => 2,
        Some(ControllerModel::Ich9Uhci3) => 4,
        _ => return,
    };
    controller.master.get_or_insert(UsbMaster { startport });
}

/// Returns a controller's key in a group: the group's index and the model.
pub(super) fn member(controller: &Controller) -> Option<(u32, ControllerModel)> {
    Some((controller.index?, controller.model?))
}

/// Returns the index of the group that a controller without an index belongs to, if any.
///
/// The group is that of the controller before it. It must not have a controller of this model yet.
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
