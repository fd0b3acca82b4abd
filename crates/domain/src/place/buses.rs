//! All PCI buses of a guest.

use passthru_pci::Address;

use super::bus::Bus;
use super::plug::{Need, Plug};
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};

/// Error if no bus can be added.
const NO_NUMBER: &str = "no PCI bus number is free: a guest has at most 256 buses";

/// The PCI buses of a guest. The number of a bus is the index of its controller, at most 255.
#[derive(Clone, Debug)]
pub(crate) struct Buses {
    buses: Vec<Bus>,
    express: bool,
    /// Whether a bus is added if a device finds no free slot.
    grows: bool,
}

impl Buses {
    /// Creates the buses of these controllers. A bus below the highest index that has no controller
    /// gets the machine's default model.
    pub(crate) fn new(controllers: &[Controller], express: bool, grows: bool) -> Self {
        let pci = controllers
            .iter()
            .filter(|c| c.kind == Some(ControllerType::Pci));
        let numbered: Vec<_> = pci
            .filter_map(|c| Some((u8::try_from(c.index?).ok()?, c.model?)))
            .collect();
        let count = numbered
            .iter()
            .map(|(index, _)| usize::from(*index) + 1)
            .max()
            .unwrap_or(0);
        let default = if express {
            ControllerModel::PcieRootPort
        } else {
            ControllerModel::PciBridge
        };
        let mut buses = vec![Bus::new(default); count];
        for (index, model) in numbered {
            buses[usize::from(index)] = Bus::new(model);
        }
        Self {
            buses,
            express,
            grows,
        }
    }

    /// Returns the number of buses.
    pub(crate) fn len(&self) -> usize {
        self.buses.len()
    }

    /// Returns the model of a bus's controller.
    pub(crate) fn model(&self, bus: usize) -> Option<ControllerModel> {
        self.buses.get(bus).map(|b| b.model)
    }

    /// Returns whether every slot of every bus is in use.
    pub(crate) fn all_full(&self) -> bool {
        self.buses.iter().all(Bus::is_full)
    }

    /// Returns whether a slot of a bus is in use.
    pub(crate) fn in_use(&self, bus: u8, slot: u8) -> bool {
        let bus = self.buses.get(usize::from(bus));
        bus.is_some_and(|bus| bus.in_use(slot))
    }

    /// Returns the first slot of a bus that no device uses, if a device with this connection may be
    /// there.
    pub(crate) fn empty_slot(&self, bus: u8, plug: Plug) -> Option<u8> {
        let bus = self.buses.get(usize::from(bus))?;
        let (first, last) = bus.slots();
        let mut slots = first..=last;
        slots.find(|slot| bus.accepts_by_hand(plug) && !bus.in_use(*slot))
    }

    /// Returns whether a slot of the root bus is in use.
    pub(crate) fn root_slot_in_use(&self, slot: u8) -> bool {
        self.buses.first().is_some_and(|bus| bus.in_use(slot))
    }

    /// Reserves an address that the user gave a device.
    ///
    /// # Errors
    /// If the device cannot have the address, the error is the reason. The address counts as used
    /// nevertheless.
    pub(crate) fn reserve(&mut self, at: Address, need: Need) -> Result<(), String> {
        if at.domain != 0 {
            return Err(format!(
                "the PCI address {at} is in domain {:#06x}; a guest has only domain 0",
                at.domain
            ));
        }

        if usize::from(at.bus) >= self.len() && self.grows {
            self.grow(usize::from(at.bus), need)?;
        }
        let last = self.len().saturating_sub(1);
        let Some(bus) = self.buses.get_mut(usize::from(at.bus)) else {
            return Err(format!(
                "the PCI address {at} is on a bus that does not exist; the last bus is {last}"
            ));
        };
        let free = bus.take(at.slot, at.function, need.shares_slot);
        check(bus, at, need)?;
        if free {
            Ok(())
        } else {
            Err(format!("the PCI address {at} is used twice"))
        }
    }

    /// Reserves the first address that fits. `function` is the one to take in an empty slot.
    ///
    /// # Errors
    /// If no address fits and no bus can be added, the error is the reason.
    pub(crate) fn next(&mut self, need: Need, function: u8) -> Result<Address, String> {
        let searched = if need.integrated { 1 } else { self.len() };
        let mut candidates = self.buses.iter().take(searched).enumerate();
        let found = candidates.find_map(|(number, bus)| {
            let (slot, function) = bus.find(need, function)?;
            Some((number, slot, function))
        });
        let (bus, slot, function) = match found {
            Some(found) => found,
            None if self.grows && !need.integrated => {
                let bus = self.grow(self.len(), need)?;
                (bus, self.buses[bus].slots().0, function)
            }
            None => {
                return Err(format!(
                    "no slot is free that accepts a {}",
                    need.plug.name()
                ));
            }
        };
        self.buses[bus].take(slot, function, need.shares_slot);
        let number = u8::try_from(bus).ok();
        number
            .and_then(|bus| Address::new(0, bus, slot, function))
            .ok_or_else(|| NO_NUMBER.into())
    }

    /// Adds buses up to `bus`, of a model that accepts the device. Returns the device's bus.
    ///
    /// The device's bus is a later one if a bridge to conventional PCI had to be added first.
    fn grow(&mut self, bus: usize, need: Need) -> Result<usize, String> {
        let (model, bus) = match need.plug {
            Plug::Pci if self.buses.iter().any(|b| b.accepts(Plug::PciBridge)) => {
                (ControllerModel::PciBridge, bus)
            }
            Plug::Pci => {
                let bus = bus.max(self.len() + 1);
                self.buses.push(Bus::port_for_bridge());
                self.buses.push(Bus::new(ControllerModel::PcieToPciBridge));
                (ControllerModel::PciBridge, bus)
            }
            Plug::Pcie | Plug::UpstreamPort | Plug::PcieToPciBridge if self.express => {
                (ControllerModel::PcieRootPort, bus)
            }
            // Bridges get their addresses first, so that they need only one slot more.
            Plug::PciBridge if self.buses.iter().any(|b| b.accepts(Plug::PciBridge)) => {
                (ControllerModel::PciBridge, bus)
            }
            plug => {
                let name = plug.name();
                return Err(format!(
                    "no slot is free that accepts a {name}, and none can be added"
                ));
            }
        };
        if bus > usize::from(u8::MAX) {
            return Err(NO_NUMBER.into());
        }
        while self.len() <= bus {
            self.buses.push(Bus::new(model));
        }
        Ok(bus)
    }
}

/// Checks that a device may have an address on this bus.
fn check(bus: &Bus, at: Address, need: Need) -> Result<(), String> {
    let (first, last) = bus.slots();
    if need.integrated {
        if at.bus == 0 {
            return Ok(());
        }
        return Err(format!(
            "the device at PCI address {at} must be on the root bus (bus 0)"
        ));
    }

    if !bus.accepts_by_hand(need.plug) {
        let index = at.bus;
        let model = bus.model;
        let name = need.plug.name();
        return Err(format!(
            "the device at PCI address {at} cannot be plugged into the PCI controller with index \
             {index} ({model}); it needs a controller that accepts a {name}"
        ));
    }

    if at.slot < first || at.slot > last {
        let slots = if first == last {
            format!("only slot {first:#x}")
        } else {
            format!("{first:#x} to {last:#x}")
        };
        let model = bus.model;
        return Err(format!(
            "the slot of PCI address {at} is out of range: a {model} has {slots}"
        ));
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controllers(models: &[ControllerModel]) -> Vec<Controller> {
        let numbered = (0..).zip(models);
        numbered
            .map(|(n, model)| Controller::new(ControllerType::Pci, n, Some(*model)))
            .collect()
    }

    fn next(buses: &mut Buses, plug: Plug) -> String {
        buses
            .next(Need::plain(plug), 0)
            .map_or_else(|e| e, |at| at.to_string())
    }

    #[test]
    fn endpoints_get_ports_and_ports_share_a_slot() {
        let mut buses = Buses::new(&controllers(&[ControllerModel::PcieRoot]), true, true);
        assert_eq!(next(&mut buses, Plug::Pcie), "0000:01:00.0");
        assert_eq!(next(&mut buses, Plug::Pcie), "0000:02:00.0");

        let port = Need {
            shares_slot: true,
            ..Need::plain(Plug::RootPort)
        };
        let ports: Vec<_> = (0..9)
            .map(|_| buses.next(port, 0).unwrap().to_string())
            .collect();
        assert_eq!(
            (ports[0].as_str(), ports[7].as_str()),
            ("0000:00:01.0", "0000:00:01.7")
        );
        assert_eq!(ports[8], "0000:00:02.0");
    }

    #[test]
    fn first_conventional_device_on_express_machine_adds_a_bridge() {
        let mut buses = Buses::new(&controllers(&[ControllerModel::PcieRoot]), true, true);
        assert_eq!(next(&mut buses, Plug::Pci), "0000:02:01.0");
        assert_eq!(buses.model(1), Some(ControllerModel::PcieRootPort));
        assert_eq!(buses.model(2), Some(ControllerModel::PcieToPciBridge));
        assert_eq!(
            next(&mut buses, Plug::Pcie),
            "0000:03:00.0",
            "the bridge's port accepts only the bridge"
        );
    }

    #[test]
    fn bridge_to_conventional_pci_gets_a_port_after_it() {
        let models = [ControllerModel::PcieRoot, ControllerModel::PcieToPciBridge];
        let mut buses = Buses::new(&controllers(&models), true, true);
        assert_eq!(next(&mut buses, Plug::PcieToPciBridge), "0000:02:00.0");
        assert_eq!(buses.model(2), Some(ControllerModel::PcieRootPort));

        let mut pc = Buses::new(&controllers(&[ControllerModel::PciRoot]), false, true);
        assert!(next(&mut pc, Plug::PcieToPciBridge).contains("none can be added"));
    }

    #[test]
    fn full_conventional_bus_adds_a_bridge() {
        let mut buses = Buses::new(&controllers(&[ControllerModel::PciRoot]), false, true);
        let last = (1..=32)
            .map(|_| next(&mut buses, Plug::Pci))
            .last()
            .unwrap();
        assert_eq!(last, "0000:01:01.0");
        assert_eq!(buses.model(1), Some(ControllerModel::PciBridge));
    }

    #[test]
    fn device_without_a_free_slot_is_refused() {
        let root = controllers(&[ControllerModel::PcieRoot]);
        let mut buses = Buses::new(&root, true, true);
        assert!(next(&mut buses, Plug::DownstreamPort).contains("none can be added"));
        assert!(next(&mut Buses::new(&root, true, false), Plug::Pcie).contains("no slot is free"));
    }

    #[test]
    fn more_than_256_buses_are_refused() {
        let mut buses = Buses::new(&controllers(&[ControllerModel::PcieRoot]), true, true);
        let last = (0..256)
            .map(|_| next(&mut buses, Plug::Pcie))
            .last()
            .unwrap();
        assert!(last.contains("at most 256 buses"), "{last}");
    }

    #[test]
    fn given_address_may_mix_conventional_and_express_endpoints() {
        let mut buses = Buses::new(&controllers(&[ControllerModel::PcieRoot]), true, false);
        let at = Address::new(0, 0, 5, 0).unwrap();
        assert_eq!(buses.reserve(at, Need::plain(Plug::Pci)), Ok(()));
        assert!(
            buses
                .reserve(at, Need::plain(Plug::Pcie))
                .unwrap_err()
                .contains("used twice")
        );

        let port = Address::new(0, 0, 6, 0).unwrap();
        assert!(
            buses
                .reserve(port, Need::plain(Plug::UpstreamPort))
                .unwrap_err()
                .contains("cannot be plugged")
        );
    }
}
