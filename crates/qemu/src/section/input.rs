//! `<input>`: mice, tablets and keyboards.

use passthru_domain::device::input::{Input, InputBus, InputGrab, InputType};

use super::{pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// Returns the options of an input device; none for the PC's own mouse and keyboard.
pub(crate) fn device(context: &Context<'_>, input: &Input) -> Result<Vec<Opt>, Error> {
    if input.kind == Some(InputType::Evdev) {
        return Ok(vec![Opt::object(evdev(input))]);
    }
    let device = match input.bus {
        Some(InputBus::Ps2) | None => return Ok(Vec::new()),
        Some(InputBus::Usb) => on_usb(context, input)?,
        Some(InputBus::Virtio) => on_virtio(context, input)?,
    };
    Ok(vec![Opt::device(device)])
}

/// Returns the object of an input device of the host, which QEMU reads by itself.
fn evdev(input: &Input) -> Object {
    let source = input.source.clone().unwrap_or_default();
    Object::qom("input-linux", input.info.id())
        .maybe("evdev", source.dev)
        .maybe("repeat", source.repeat)
        .maybe(
            "grab_all",
            (source.grab == Some(InputGrab::All)).then_some(true),
        )
        .maybe("grab-toggle", source.grab_toggle.map(|keys| keys.as_str()))
}

fn on_usb(context: &Context<'_>, input: &Input) -> Result<Object, Error> {
    let driver = match input.kind {
        Some(InputType::Mouse) => "usb-mouse",
        Some(InputType::Tablet) => "usb-tablet",
        _ => "usb-kbd",
    };
    Ok(Object::driver(driver)
        .with("id", input.info.id())
        .and(pci::address(context, &input.info)?))
}

fn on_virtio(context: &Context<'_>, input: &Input) -> Result<Object, Error> {
    let stem = match input.kind {
        Some(InputType::Mouse) => "virtio-mouse",
        Some(InputType::Tablet) => "virtio-tablet",
        Some(InputType::Passthrough) => "virtio-input-host",
        _ => "virtio-keyboard",
    };
    let evdev = input
        .source
        .as_ref()
        .and_then(|source| source.evdev.clone());
    Ok(
        virtio::device(stem, input.model, input.driver, &input.info)?
            .with("id", input.info.id())
            .maybe("evdev", evdev)
            .and(pci::address(context, &input.info)?),
    )
}
