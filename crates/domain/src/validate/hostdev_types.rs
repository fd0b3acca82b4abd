//! What each type of hostdev can be said to be: models, screens, boot, raw commands, backends.

use std::collections::HashSet;

use super::Check;
use crate::model::device::graphics::GraphicsType;
use crate::model::device::hostdev::{HostdevModel as Model, HostdevSource, HostdevType};
use crate::model::device::teaming::TeamingType;
use crate::model::device::{Devices, Hostdev, Interface, Sgio};
use crate::platform::Board;

pub(super) fn check(check: &mut Check<'_>) {
    let hostdevs: Vec<&Hostdev> = check.domain.devices.assigned().collect();
    let partners = partners(&check.domain.devices);
    let is_shown = check.domain.devices.graphics.iter().any(|g| shows(g.kind));
    for hostdev in &hostdevs {
        model(check, hostdev);
        screen(check, hostdev, is_shown);
        boot(check, hostdev);
        scsi(check, hostdev);
        backend(check, hostdev);
        teaming(check, hostdev, &partners);
    }
    for interface in check
        .domain
        .devices
        .interfaces
        .iter()
        .filter(|i| i.hostdev.is_none())
    {
        card_teaming(check, interface);
    }
    let screens = hostdevs.iter().filter(|h| h.ramfb == Some(true));
    for second in screens.skip(1) {
        check.error(
            &second.info.span,
            "only one host device can have ramfb='on'".into(),
        );
    }
    for second in hostdevs
        .iter()
        .filter(|h| h.model == Some(Model::VfioAp))
        .skip(1)
    {
        check.error(
            &second.info.span,
            "only one hostdev can be of model 'vfio-ap'".into(),
        );
    }
}

/// Which models a type has, and on which machines.
fn model(check: &mut Check<'_>, hostdev: &Hostdev) {
    let (Some(model), span) = (hostdev.model, &hostdev.info.span) else {
        return;
    };
    let fits = match hostdev.source {
        HostdevSource::Mdev(_) => matches!(model, Model::VfioPci | Model::VfioCcw | Model::VfioAp),
        HostdevSource::ScsiHost(_) => {
            matches!(
                model,
                Model::VirtioTransitional | Model::VirtioNonTransitional
            )
        }
        _ => false,
    };
    if !fits {
        let kind = kind_of(hostdev);
        check.error(
            span,
            format!("'{model}' is not a model of a hostdev of type '{kind}'"),
        );
    } else if matches!(model, Model::VfioCcw | Model::VfioAp)
        && check.machine.board != Board::S390Ccw
    {
        let name = &check.machine.name;
        check.error(
            span,
            format!("a hostdev of model '{model}' is for s390x only, not for '{name}'"),
        );
    }
}

fn kind_of(hostdev: &Hostdev) -> HostdevType {
    match hostdev.source {
        HostdevSource::Pci(_) => HostdevType::Pci,
        HostdevSource::Usb(_) => HostdevType::Usb,
        HostdevSource::Scsi(_) => HostdevType::Scsi,
        HostdevSource::ScsiHost(_) => HostdevType::ScsiHost,
        HostdevSource::Mdev(_) => HostdevType::Mdev,
    }
}

/// What a device draws is shown by the guest's console.
fn screen(check: &mut Check<'_>, hostdev: &Hostdev, is_shown: bool) {
    let span = &hostdev.info.span;
    let draws = matches!(hostdev.source, HostdevSource::Pci(_))
        || (hostdev.mdev().is_some() && hostdev.model == Some(Model::VfioPci));
    if (hostdev.display.is_some() || hostdev.ramfb.is_some()) && !draws {
        check.error(
            span,
            "'display' and 'ramfb' are for devices of model 'vfio-pci' only".into(),
        );
        return;
    }
    if hostdev.ramfb == Some(true) && hostdev.display != Some(true) {
        check.error(span, "ramfb='on' of a hostdev needs display='on'".into());
    }
    if hostdev.display == Some(true) && !is_shown {
        let message = "display='on' of a hostdev needs a <graphics> to show it".to_owned();
        check.error_with_hint(
            span,
            message,
            "add <graphics type='vnc'/> or another <graphics>",
        );
    }
}

/// Whether a kind of screen shows what a device draws.
const fn shows(kind: Option<GraphicsType>) -> bool {
    matches!(
        kind,
        Some(GraphicsType::Vnc | GraphicsType::Spice | GraphicsType::Dbus | GraphicsType::Sdl)
    )
}

fn boot(check: &mut Check<'_>, hostdev: &Hostdev) {
    if hostdev.info.boot.is_none() {
        return;
    }
    let what = match hostdev.source {
        HostdevSource::ScsiHost(_) => "a SCSI target of the kernel (vhost)",
        HostdevSource::Mdev(_) if hostdev.model == Some(Model::VfioAp) => {
            "a device of model 'vfio-ap'"
        }
        _ => return,
    };
    check.error(
        &hostdev.info.span,
        format!("the guest cannot boot from {what}"),
    );
}

/// What only SCSI devices have.
fn scsi(check: &mut Check<'_>, hostdev: &Hostdev) {
    let span = &hostdev.info.span;
    if hostdev.sgio == Some(Sgio::Unfiltered) {
        check.error(
            span,
            "sgio='unfiltered' is not supported: current kernels always filter".into(),
        );
    }
    if matches!(hostdev.source, HostdevSource::Scsi(_)) {
        return;
    }
    let said = [
        ("rawio", hostdev.rawio.is_some()),
        ("sgio", hostdev.sgio.is_some()),
        ("readonly", hostdev.readonly),
        ("shareable", hostdev.shareable),
    ];
    for (name, _) in said.into_iter().filter(|(_, said)| *said) {
        let kind = kind_of(hostdev);
        check.error(
            span,
            format!("{name} is for SCSI devices only, not for a hostdev of type '{kind}'"),
        );
    }
}

/// Only VFIO has a backend to choose.
fn backend(check: &mut Check<'_>, hostdev: &Hostdev) {
    if hostdev.is_vfio() {
        return;
    }
    let (span, kind) = (&hostdev.info.span, kind_of(hostdev));
    if hostdev.iommufd() == Some(true) {
        let message = format!(
            "iommufd='yes' is for VFIO devices (pci, mdev), not for a hostdev of type '{kind}'"
        );
        check.error_with_hint(span, message, "leave it out");
    } else if hostdev.driver.is_some() {
        check.error(
            span,
            format!("<driver> is for VFIO devices (pci, mdev), not for a hostdev of type '{kind}'"),
        );
    }
}

/// Returns the aliases of the cards that stay when a device of the host goes.
fn partners(devices: &Devices) -> HashSet<&str> {
    let stays = |i: &&Interface| {
        i.teaming()
            .is_some_and(|t| t.kind == Some(TeamingType::Persistent))
    };
    devices
        .interfaces
        .iter()
        .filter(stays)
        .map(|i| i.info().id())
        .collect()
}

fn teaming(check: &mut Check<'_>, hostdev: &Hostdev, partners: &HashSet<&str>) {
    let Some(teaming) = &hostdev.teaming else {
        return;
    };
    let span = &hostdev.info.span;
    if teaming.kind == Some(TeamingType::Persistent) {
        check.error(
            span,
            "<teaming type='persistent'> is for a virtio card, not for a host device".into(),
        );
    }
    if hostdev.pci().is_none() {
        check.error(span, "<teaming> is for network devices on PCI only".into());
    }
    let Some(partner) = &teaming.persistent else {
        return;
    };
    if !partners.contains(partner.as_str()) {
        let message = format!(
            "<teaming> names '{partner}', but no interface with that alias has <teaming type='persistent'/>"
        );
        check.error(span, message);
    }
}

/// Of a pair, the card that stays is a virtio card, and the one that goes is a device of the host.
fn card_teaming(check: &mut Check<'_>, interface: &Interface) {
    let Some(teaming) = interface.teaming() else {
        return;
    };
    let span = &interface.info().span;
    if teaming.kind == Some(TeamingType::Transient) {
        let message = "<teaming type='transient'> is for a host device only".to_owned();
        check.error_with_hint(
            span,
            message,
            "name the device: <interface type='hostdev'> or <hostdev>",
        );
    } else if interface
        .model
        .as_ref()
        .is_some_and(|model| model.virtio().is_none())
    {
        check.error(
            span,
            "<teaming type='persistent'> is for a card of model 'virtio' only".into(),
        );
    }
}
