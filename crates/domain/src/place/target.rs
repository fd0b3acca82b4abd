//! `<model name>` and `<target>` of PCI controllers: emulated device, chassis, port, bus number.

use crate::model::device::controller::{ControllerModel, ControllerType, PciModelName};
use crate::model::device::{Address, Devices};

/// Number of PCI bus numbers.
const BUS_NUMBERS: u16 = 256;

/// Fills in the emulated device, the chassis and the port of PCI controllers that have an address.
///
/// An expander without a first bus number gets one from the top: two below the lowest so far.
pub(super) fn fill(devices: &mut Devices) {
    let targets = devices.controllers.iter().filter_map(|c| c.target.as_ref());
    let given = targets.filter_map(|target| target.bus_nr).map(u16::from);
    let mut lowest = given.min().unwrap_or(BUS_NUMBERS);
    for controller in &mut devices.controllers {
        if controller.kind != Some(ControllerType::Pci) {
            continue;
        }
        let Some(model) = controller.model else {
            continue;
        };
        let Some(index) = controller.index else {
            continue;
        };
        controller.model_name = controller.model_name.or(default_name(model));
        let number = u8::try_from(index).ok();
        let at = controller
            .info
            .address
            .as_ref()
            .and_then(Address::pci)
            .unwrap_or_default();
        match model {
            ControllerModel::PciBridge => {
                let target = controller.target.get_or_insert_default();
                target.chassis_nr = target.chassis_nr.or(number);
            }
            ControllerModel::PcieRootPort => {
                let target = controller.target.get_or_insert_default();
                target.chassis = target.chassis.or(number);
                target.port = target.port.or(Some((at.slot << 3) | at.function));
            }
            ControllerModel::PcieSwitchDownstreamPort => {
                let target = controller.target.get_or_insert_default();
                target.chassis = target.chassis.or(number);
                target.port = target.port.or(Some(at.slot));
            }
            ControllerModel::PciExpanderBus | ControllerModel::PcieExpanderBus => {
                let target = controller.target.get_or_insert_default();
                if target.bus_nr.is_none() && lowest > 2 {
                    lowest -= 2;
                    target.bus_nr = u8::try_from(lowest).ok();
                }
            }
            _ => {}
        }
    }
}

/// Returns the device that QEMU emulates for a model by default.
fn default_name(model: ControllerModel) -> Option<PciModelName> {
    Some(match model {
        ControllerModel::PciBridge => PciModelName::PciBridge,
        ControllerModel::DmiToPciBridge => PciModelName::I82801b11Bridge,
        ControllerModel::PcieToPciBridge => PciModelName::PciePciBridge,
        ControllerModel::PcieRootPort => PciModelName::PcieRootPort,
        ControllerModel::PcieSwitchUpstreamPort => PciModelName::X3130Upstream,
        ControllerModel::PcieSwitchDownstreamPort => PciModelName::Xio3130Downstream,
        ControllerModel::PciExpanderBus => PciModelName::Pxb,
        ControllerModel::PcieExpanderBus => PciModelName::PxbPcie,
        _ => return None,
    })
}
