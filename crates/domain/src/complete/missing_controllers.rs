//! Controllers that are added because the machine has them or a device needs them.

use std::collections::{BTreeSet, HashSet};

use crate::model::device::Devices;
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::controller_list::{insert, sort};
use crate::xml::span::SourceSpan;

/// Adds a controller unless there is one of that kind and index.
pub(super) fn add(
    devices: &mut Devices,
    kind: ControllerType,
    index: u32,
    model: Option<ControllerModel>,
) {
    add_for(devices, kind, index, model, &SourceSpan::default());
}

/// Adds a controller for a device, unless there is one of that kind and index. The controller gets
/// the source position of the device.
pub(super) fn add_for(
    devices: &mut Devices,
    kind: ControllerType,
    index: u32,
    model: Option<ControllerModel>,
    span: &SourceSpan,
) {
    if devices.controller(kind, index).is_none() {
        let mut controller = Controller::new(kind, index, model);
        controller.info.span = span.clone();
        insert(&mut devices.controllers, controller);
    }
}

/// Adds the missing controllers of a kind, each without a model, in linear time.
pub(super) fn add_all(devices: &mut Devices, kind: ControllerType, mut indexes: BTreeSet<u32>) {
    let existing: HashSet<u32> = devices
        .controllers_of(kind)
        .filter_map(|c| c.index)
        .collect();
    indexes.retain(|index| !existing.contains(index));
    if indexes.is_empty() {
        return;
    }
    for index in indexes {
        devices.controllers.push(Controller::new(kind, index, None));
    }
    sort(&mut devices.controllers);
}
