//! Which bus is below which.

use crate::model::device::Devices;
use crate::model::device::controller::{ControllerModel, ControllerType};
use passthru_pci::Address;

impl Devices {
    /// Returns the index of the root bus, or of the expander, that an address of the guest is
    /// below.
    pub(crate) fn root_bus_of(&self, address: Address) -> u32 {
        let mut bus = u32::from(address.bus);
        loop {
            let Some(controller) = self.controller(ControllerType::Pci, bus) else {
                return bus;
            };
            let above = controller
                .info
                .address
                .as_ref()
                .and_then(crate::model::device::Address::pci);
            match (controller.model, above) {
                (Some(ControllerModel::PcieExpanderBus | ControllerModel::PciExpanderBus), _) => {
                    return bus;
                }
                (_, Some(above)) if u32::from(above.bus) < bus => bus = u32::from(above.bus),
                _ => return bus,
            }
        }
    }
}
