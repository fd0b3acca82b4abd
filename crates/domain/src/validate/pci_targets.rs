//! `<model name>` and `<target>` of PCI controllers: each model has its own.

use super::check::Check;
use crate::model::device::Controller;
use crate::model::device::controller::{
    ControllerModel as Model, ControllerTarget, PciModelName as Name,
};
use crate::platform::Board;

/// First bus numbers that an expander can have.
const BUS_NUMBERS: std::ops::RangeInclusive<u8> = 1..=254;

/// Largest number of KiB whose bytes are a 64-bit number.
const MOST_KIB: u64 = u64::MAX / 1024;

pub(super) fn check(check: &mut Check<'_>, controller: &Controller) {
    let Some(model) = controller.model else {
        return;
    };
    check_name(check, controller, model);
    let target = controller.target.clone().unwrap_or_default();
    check_options(check, controller, model, &target);
    check_chassis_number(check, controller, &target);
    check_window(check, controller, &target);
    if matches!(model, Model::PciExpanderBus | Model::PcieExpanderBus) {
        check_expander(check, controller, &target);
    }
    if let Some(hole) = &controller.pcihole64 {
        check_room(check, controller, hole.size.bytes());
    }
}

/// Checks that the machine can reserve room for devices above 4 GiB.
fn check_room(check: &mut Check<'_>, controller: &Controller, bytes: u64) {
    let span = &controller.info.span;
    let name = &check.machine.name;
    match check.machine.board {
        Board::I440fx | Board::Q35 => {}
        Board::Virt if bytes.is_power_of_two() => {}
        Board::Virt => {
            let message = format!("<pcihole64> of the machine '{name}' must be a power of two");
            check.error(span, message);
        }
        _ => {
            let message = format!("the machine '{name}' does not support <pcihole64>");
            check.error(span, message);
        }
    }
}

/// Checks that the emulated device fits the model of its controller.
fn check_name(check: &mut Check<'_>, controller: &Controller, model: Model) {
    let Some(name) = controller.model_name else {
        return;
    };
    if !names_of(model).contains(&name) {
        let message =
            format!("<model name='{name}'> is not a device for a controller of model '{model}'");
        check.error(&controller.info.span, message);
    }
}

/// Returns the emulated devices of a model.
const fn names_of(model: Model) -> &'static [Name] {
    match model {
        Model::PciBridge => &[Name::PciBridge],
        Model::DmiToPciBridge => &[Name::I82801b11Bridge],
        Model::PcieToPciBridge => &[Name::PciePciBridge],
        Model::PcieRootPort => &[Name::PcieRootPort, Name::Ioh3420],
        Model::PcieSwitchUpstreamPort => &[Name::X3130Upstream],
        Model::PcieSwitchDownstreamPort => &[Name::Xio3130Downstream],
        Model::PciExpanderBus => &[Name::Pxb],
        Model::PcieExpanderBus => &[Name::PxbPcie],
        Model::PciRoot => &[Name::SpaprPciHostBridge],
        _ => &[],
    }
}

/// Checks that the chassis number of a bridge is not zero.
fn check_chassis_number(check: &mut Check<'_>, controller: &Controller, target: &ControllerTarget) {
    if target.chassis_nr == Some(0) {
        let index = controller.index.unwrap_or_default();
        let message = format!(
            "chassisNr='0' of the PCI controller {index} is out of range: expected 1 to 255"
        );
        check.error(&controller.info.span, message);
    }
}

/// Checks that a window above 4 GiB has fewer than 2^64 bytes.
fn check_window(check: &mut Check<'_>, controller: &Controller, target: &ControllerTarget) {
    let Some(kib) = target.pref64_reserve.filter(|kib| *kib > MOST_KIB) else {
        return;
    };
    let index = controller.index.unwrap_or_default();
    let message = format!(
        "pref64Reserve='{kib}' of the PCI controller {index} is above {MOST_KIB}: the unit is KiB"
    );
    check.error(&controller.info.span, message);
}

/// Checks that a `<target>` has only the options of its model.
fn check_options(
    check: &mut Check<'_>,
    controller: &Controller,
    model: Model,
    target: &ControllerTarget,
) {
    let port = matches!(model, Model::PcieRootPort | Model::PcieSwitchDownstreamPort);
    let expander = matches!(model, Model::PciExpanderBus | Model::PcieExpanderBus);
    let plain_port =
        model == Model::PcieRootPort && controller.model_name == Some(Name::PcieRootPort);
    let hotplug = port || (model == Model::PciRoot && check.machine.board == Board::I440fx);
    let options = [
        (
            "chassisNr",
            target.chassis_nr.is_some(),
            model == Model::PciBridge,
        ),
        ("chassis", target.chassis.is_some(), port),
        ("port", target.port.is_some(), port),
        ("busNr", target.bus_nr.is_some(), expander),
        ("hotplug", target.hotplug.is_some(), hotplug),
        (
            "memReserve",
            target.mem_reserve.is_some(),
            plain_port || model == Model::PciBridge,
        ),
        ("pref64Reserve", target.pref64_reserve.is_some(), plain_port),
        // Only Power's host bridges have an index.
        ("index", target.index.is_some(), false),
        ("node", target.node.is_some(), expander),
    ];
    for (option, is_set, fits) in options {
        if !is_set || fits {
            continue;
        }
        let name = controller.model_name.map_or(model.as_str(), Name::as_str);
        let index = controller.index.unwrap_or_default();
        let message = format!("<target> of the PCI controller {index}: a {name} has no '{option}'");
        check.error(&controller.info.span, message);
    }
}

/// Checks that the machine has the bus of an expander, and its first bus number and NUMA node.
fn check_expander(check: &mut Check<'_>, controller: &Controller, target: &ControllerTarget) {
    let span = &controller.info.span;
    let express = controller.model == Some(Model::PcieExpanderBus);
    if express != check.machine.is_express() {
        let model = controller.model.map_or("", Model::as_str);
        let name = &check.machine.name;
        let kind = if express {
            "PCI Express"
        } else {
            "a conventional PCI bus"
        };
        check.error(
            span,
            format!("a {model} is for machines with {kind}, which '{name}' does not have"),
        );
    }

    match target.bus_nr {
        None => {
            let message = "no bus number is left for the expander".to_owned();
            check.error_with_hint(span, message, "give each expander a <target busNr='…'/>");
        }
        Some(number) if !BUS_NUMBERS.contains(&number) => {
            check.error(
                span,
                format!("busNr='{number}' of the expander is out of range: expected 1 to 254"),
            );
        }
        Some(_) => {}
    }

    if let Some(node) = target.node.filter(|node| !check.has_node(*node)) {
        let index = controller.index.unwrap_or_default();
        let message =
            format!("the expander {index} is of NUMA node {node}, which the guest does not have");
        check.error_with_hint(span, message, "name a <cell> of <cpu><numa>");
    }
}
