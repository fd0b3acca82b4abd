//! Input devices: the bus that each kind can be on, and the models that exist.

use super::check::Check;
use crate::model::device::input::{InputBus, InputType};
use crate::model::device::{Input, VirtioModel};

pub(super) fn check(check: &mut Check<'_>) {
    for input in &check.domain.devices.inputs {
        check_bus(check, input);
        check_model(check, input);
    }
}

/// Checks the bus of an input device (libvirt's `virDomainInputDefValidate`).
fn check_bus(check: &mut Check<'_>, input: &Input) {
    let Some(kind) = input.kind else { return };
    let fits = match (kind, input.bus) {
        (InputType::Evdev, bus) => bus.is_none(),
        (InputType::Passthrough, bus) => bus == Some(InputBus::Virtio),
        (InputType::Tablet, bus) => bus != Some(InputBus::Ps2),
        (InputType::Mouse | InputType::Keyboard, _) => true,
    };
    let span = &input.info.span;
    if let Some(bus) = input.bus.filter(|_| !fits) {
        check.error_with_hint(
            span,
            format!("an <input> of type '{kind}' cannot be on the bus '{bus}'"),
            "leave the bus out",
        );
    }

    let evdev = input.source.as_ref().and_then(|s| s.evdev.as_ref());
    if evdev.is_some() && kind != InputType::Passthrough {
        check.error(
            span,
            format!("<source evdev='…'> is for an <input> of type 'passthrough', not '{kind}'"),
        );
    }
}

/// Checks the model of an input device. A virtio one has the modern interface alone: there is no
/// other device in QEMU's `hw/virtio/virtio-input-pci.c`.
fn check_model(check: &mut Check<'_>, input: &Input) {
    let Some(model) = input.model else { return };
    let span = &input.info.span;
    if input.bus != Some(InputBus::Virtio) {
        check.error_with_hint(
            span,
            format!("an <input> of model '{model}' must be on the bus 'virtio'"),
            "leave the model out",
        );
    } else if model != VirtioModel::Virtio {
        check.error_with_hint(
            span,
            format!("there is no virtio <input> of model '{model}'"),
            "set model='virtio', or leave the model out",
        );
    }
}
