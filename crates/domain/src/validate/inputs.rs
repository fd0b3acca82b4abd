//! Input devices: the models that exist.

use super::check::Check;
use crate::model::device::VirtioModel;
use crate::model::device::input::InputBus;

/// Checks the models of virtio input devices, which have the modern interface alone (QEMU's
/// `hw/virtio/virtio-input-pci.c` has no other device).
pub(super) fn check(check: &mut Check<'_>) {
    for input in &check.domain.devices.inputs {
        let Some(model) = input.model else { continue };
        if input.bus == Some(InputBus::Virtio) && model != VirtioModel::Virtio {
            check.error_with_hint(
                &input.info.span,
                format!("there is no virtio <input> of model '{model}'"),
                "set model='virtio', or leave the model out",
            );
        }
    }
}
