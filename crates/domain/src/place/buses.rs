//! All PCI buses of a guest, by the index of their controllers.

use super::bus::Bus;
use super::plug::{Need, Plug};
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use passthru_pci::Address;

/// Why no bus can be added.
const NO_NUMBER: &str = "no PCI bus number is free: a guest has at most 256 buses";

/// The PCI buses of a guest. Bus numbers are the controllers' indexes, at most 255.
#[derive(Clone, Debug)]
pub(crate) struct Buses {
    buses: Vec<Bus>,
    express: bool,
    /// Whether buses are added where a device needs one.
    grows: bool,
}

impl Buses {
    /// Makes the buses of these controllers. An index that no controller has gets a bus of the
    /// machine's usual kind.
    pub(crate) fn of(controllers: &[Controller], express: bool, grows: bool) -> Self {
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
        let usual = if express {
            ControllerModel::PcieRootPort
        } else {
            ControllerModel::PciBridge
        };
        let mut buses = vec![Bus::new(usual); count];
        for (index, model) in numbered {
            buses[usize::from(index)] = Bus::new(model);
        }
        Self {
            buses,
            express,
            grows,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.buses.len()
    }

    pub(crate) fn model(&self, bus: usize) -> Option<ControllerModel> {
        self.buses.get(bus).map(|b| b.model)
    }

    pub(crate) fn all_full(&self) -> bool {
        self.buses.iter().all(Bus::is_full)
    }

    /// Whether a slot of the root bus is in use.
    pub(crate) fn root_slot_in_use(&self, slot: u8) -> bool {
        self.buses.first().is_some_and(|bus| bus.in_use(slot))
    }

    /// Reserves the address that a device was given by hand.
    ///
    /// # Errors
    /// Why the device cannot be there. The address then counts as used all the same.
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

    /// Reserves the first address that fits. `function` is the one in a slot that is empty.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn next(&mut self, need: Need, function: u8) -> Result<Address, String> {
        let searched = if need.integrated { 1 } else { self.len() };
        let mut found = self.buses.iter().take(searched).enumerate();
        let found =
            found.find_map(|(bus, b)| b.find(need, function).map(|(slot, f)| (bus, slot, f)));
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

    /// Adds buses up to `bus`, of the kind that accepts the device. Returns the bus that it goes
    /// on, which is one more where the way to conventional PCI had to be made first.
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
            Plug::Pcie | Plug::UpstreamPort if self.express => (ControllerModel::PcieRootPort, bus),
            // Bridges are placed before all else, so that it only takes one more slot than they
            // need.
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

fn check(bus: &Bus, at: Address, need: Need) -> Result<(), String> {
    let (first, last) = bus.slots();
    if need.integrated {
        return match at.bus {
            0 => Ok(()),
            _ => Err(format!(
                "the device at PCI address {at} must be on the root bus (bus 0)"
            )),
        };
    }
    if !bus.accepts_by_hand(need.plug) {
        let (model, name) = (bus.model, need.plug.name());
        return Err(format!(
            "the device at PCI address {at} cannot be plugged into the PCI controller with index {} \
             ({model}); it needs a controller that accepts a {name}",
            at.bus
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
    fn endpoints_go_behind_ports_and_ports_share_a_slot() {
        let mut buses = Buses::of(&controllers(&[ControllerModel::PcieRoot]), true, true);
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
    fn the_first_conventional_device_of_an_express_machine_brings_its_bridge() {
        let mut buses = Buses::of(&controllers(&[ControllerModel::PcieRoot]), true, true);
        assert_eq!(next(&mut buses, Plug::Pci), "0000:02:01.0");
        assert_eq!(buses.model(1), Some(ControllerModel::PcieRootPort));
        assert_eq!(buses.model(2), Some(ControllerModel::PcieToPciBridge));
        assert_eq!(
            next(&mut buses, Plug::Pcie),
            "0000:03:00.0",
            "the bridge's port is kept for it"
        );
    }

    #[test]
    fn a_conventional_machine_grows_by_bridges() {
        let mut buses = Buses::of(&controllers(&[ControllerModel::PciRoot]), false, true);
        let last = (1..=32)
            .map(|_| next(&mut buses, Plug::Pci))
            .last()
            .unwrap();
        assert_eq!(last, "0000:01:01.0");
        assert_eq!(buses.model(1), Some(ControllerModel::PciBridge));
    }

    #[test]
    fn what_has_no_place_is_refused_where_nothing_can_be_added() {
        let root = controllers(&[ControllerModel::PcieRoot]);
        let mut buses = Buses::of(&root, true, true);
        assert!(next(&mut buses, Plug::DownstreamPort).contains("none can be added"));
        assert!(next(&mut Buses::of(&root, true, false), Plug::Pcie).contains("no slot is free"));
    }

    #[test]
    fn more_than_256_buses_are_refused() {
        let mut buses = Buses::of(&controllers(&[ControllerModel::PcieRoot]), true, true);
        let last = (0..256)
            .map(|_| next(&mut buses, Plug::Pcie))
            .last()
            .unwrap();
        assert!(last.contains("at most 256 buses"), "{last}");
    }

    #[test]
    fn by_hand_endpoints_of_both_kinds_go_into_each_others_slots() {
        let mut buses = Buses::of(&controllers(&[ControllerModel::PcieRoot]), true, false);
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
