//! What a PCI controller says of itself once its address is known: chassis, port, bus numbers.

use crate::model::device::Devices;
use crate::model::device::controller::{Controller, ControllerModel, ControllerType, PciModelName};

/// First bus number that is too high.
const BUS_NUMBERS: u16 = 256;

/// Fills in what PCI controllers leave out: the emulated device, chassis and port, an expander's
/// first bus number (two below the lowest so far, from the top).
pub(super) fn fill(devices: &mut Devices) {
    let bus_nr = |c: &Controller| c.target.as_ref().and_then(|t| t.bus_nr).map(u16::from);
    let mut lowest = devices
        .controllers
        .iter()
        .filter_map(bus_nr)
        .min()
        .unwrap_or(BUS_NUMBERS);
    for controller in devices
        .controllers
        .iter_mut()
        .filter(|c| c.kind == Some(ControllerType::Pci))
    {
        let (Some(model), Some(index)) = (controller.model, controller.index) else {
            continue;
        };
        controller.model_name = controller.model_name.or(usual_name(model));
        let number = u8::try_from(index).ok();
        let at = controller
            .info
            .address
            .as_ref()
            .and_then(crate::model::device::Address::pci)
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

fn usual_name(model: ControllerModel) -> Option<PciModelName> {
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
