//! Host devices by type: models, displays, boot, SCSI options, backends and teaming.

use std::collections::HashSet;

use super::check::Check;
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
        check_model(check, hostdev);
        check_screen(check, hostdev, is_shown);
        check_boot(check, hostdev);
        check_scsi(check, hostdev);
        check_backend(check, hostdev);
        check_teaming(check, hostdev, &partners);
    }

    for interface in check
        .domain
        .devices
        .interfaces
        .iter()
        .filter(|i| i.hostdev.is_none())
    {
        check_card_teaming(check, interface);
    }

    let with_ramfb = hostdevs.iter().filter(|h| h.ramfb == Some(true));
    for second in with_ramfb.skip(1) {
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

/// Checks that a device's model is one of its type, and that the machine supports the model.
fn check_model(check: &mut Check<'_>, hostdev: &Hostdev) {
    let Some(model) = hostdev.model else { return };
    let span = &hostdev.info.span;
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

/// Returns the type of a host device.
fn kind_of(hostdev: &Hostdev) -> HostdevType {
    match hostdev.source {
        HostdevSource::Pci(_) => HostdevType::Pci,
        HostdevSource::Usb(_) => HostdevType::Usb,
        HostdevSource::Scsi(_) => HostdevType::Scsi,
        HostdevSource::ScsiHost(_) => HostdevType::ScsiHost,
        HostdevSource::Mdev(_) => HostdevType::Mdev,
    }
}

/// Checks that a device with a display can draw, and that a `<graphics>` shows the display.
fn check_screen(check: &mut Check<'_>, hostdev: &Hostdev, is_shown: bool) {
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

/// Returns whether a type of `<graphics>` can show the display of a device.
const fn shows(kind: Option<GraphicsType>) -> bool {
    matches!(
        kind,
        Some(GraphicsType::Vnc | GraphicsType::Spice | GraphicsType::Dbus | GraphicsType::Sdl)
    )
}

/// Checks that the guest can boot from the device.
fn check_boot(check: &mut Check<'_>, hostdev: &Hostdev) {
    if hostdev.info.boot.is_none() {
        return;
    }
    let device = match hostdev.source {
        HostdevSource::ScsiHost(_) => "a SCSI target of the kernel (vhost)",
        HostdevSource::Mdev(_) if hostdev.model == Some(Model::VfioAp) => {
            "a device of model 'vfio-ap'"
        }
        _ => return,
    };
    check.error(
        &hostdev.info.span,
        format!("the guest cannot boot from {device}"),
    );
}

/// Checks the attributes that only SCSI devices have.
fn check_scsi(check: &mut Check<'_>, hostdev: &Hostdev) {
    let span = &hostdev.info.span;
    if hostdev.sgio == Some(Sgio::Unfiltered) {
        check.error(
            span,
            "sgio='unfiltered' is no longer supported: current kernels always filter".into(),
        );
    }

    if matches!(hostdev.source, HostdevSource::Scsi(_)) {
        return;
    }
    let attributes = [
        ("rawio", hostdev.rawio.is_some()),
        ("sgio", hostdev.sgio.is_some()),
        ("readonly", hostdev.readonly),
        ("shareable", hostdev.shareable),
    ];
    for (name, _) in attributes.into_iter().filter(|(_, is_set)| *is_set) {
        let kind = kind_of(hostdev);
        check.error(
            span,
            format!("{name} is for SCSI devices only, not for a hostdev of type '{kind}'"),
        );
    }
}

/// Checks that only VFIO devices choose a backend.
fn check_backend(check: &mut Check<'_>, hostdev: &Hostdev) {
    if hostdev.is_vfio() {
        return;
    }
    let span = &hostdev.info.span;
    let kind = kind_of(hostdev);
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

/// Returns the aliases of the persistent cards of teaming pairs.
fn partners(devices: &Devices) -> HashSet<&str> {
    let mut partners = HashSet::new();
    for interface in &devices.interfaces {
        let kind = interface.teaming().and_then(|teaming| teaming.kind);
        if kind == Some(TeamingType::Persistent) {
            partners.insert(interface.info().id());
        }
    }

    partners
}

/// Checks the teaming of a host device: a PCI device, whose persistent partner exists.
fn check_teaming(check: &mut Check<'_>, hostdev: &Hostdev, partners: &HashSet<&str>) {
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
            "<teaming> names '{partner}', but no interface with that alias has \
             <teaming type='persistent'/>"
        );
        check.error(span, message);
    }
}

/// Checks the teaming of an emulated card, which must be the persistent virtio card of the pair.
fn check_card_teaming(check: &mut Check<'_>, interface: &Interface) {
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
