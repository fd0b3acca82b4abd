//! One PCI bus: its slots, and the devices that it accepts.

use passthru_pci::Address;

use super::plug::{Need, Plug};
use crate::model::device::controller::ControllerModel;

/// The PCI bus of a PCI controller.
#[derive(Clone, Debug)]
pub(crate) struct Bus {
    /// Model of the controller.
    pub(crate) model: ControllerModel,
    accepts: &'static [Plug],
    /// Whether an endpoint without an address may come here. True for models whose slots can be
    /// hotplugged, even if `hotplug='off'` here.
    takes_endpoints: bool,
    first: u8,
    last: u8,
    slots: [Slot; Address::MAX_SLOT as usize + 1],
    /// Slots between `first` and `last` with no function in use.
    free: u8,
}

/// The use of one slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Functions in use, a bit each.
    functions: u8,
    /// Whether the first device in the slot shares it with devices of its kind.
    shared: bool,
}

impl Slot {
    /// Returns the lowest function that is not in use.
    fn free_function(self) -> Option<u8> {
        (0..=Address::MAX_FUNCTION).find(|function| self.functions & (1 << function) == 0)
    }
}

impl Bus {
    /// Creates the empty bus of a controller.
    pub(crate) fn new(model: ControllerModel) -> Self {
        use ControllerModel as Model;
        use Plug::{
            DmiToPciBridge, DownstreamPort, Pci, PciBridge, PciExpander, Pcie, PcieExpander,
        };
        use Plug::{PcieToPciBridge, RootPort, UpstreamPort};
        const ALL: (u8, u8) = (0, Address::MAX_SLOT);
        // Slot 0 belongs to the host bridge, or to a bridge's hotplug controller.
        const NOT_FIRST: (u8, u8) = (1, Address::MAX_SLOT);
        let (accepts, (first, last), takes_endpoints): (&'static [Plug], _, _) = match model {
            Model::PcieRoot => (
                &[Pcie, RootPort, DmiToPciBridge, PcieExpander],
                NOT_FIRST,
                false,
            ),
            Model::PcieRootPort | Model::PcieSwitchDownstreamPort => {
                (&[Pcie, UpstreamPort, PcieToPciBridge], (0, 0), true)
            }
            Model::PcieSwitchUpstreamPort => (&[DownstreamPort], ALL, false),
            Model::PcieExpanderBus => (&[RootPort, DmiToPciBridge], ALL, false),
            Model::DmiToPciBridge => (&[Pci, PciBridge], ALL, false),
            Model::PciExpanderBus => (&[Pci, PciBridge], ALL, true),
            Model::PciBridge | Model::PcieToPciBridge => (&[Pci, PciBridge], NOT_FIRST, true),
            _ => (&[Pci, PciBridge, PciExpander], NOT_FIRST, true),
        };
        Self {
            model,
            accepts,
            takes_endpoints,
            first,
            last,
            slots: [Slot::default(); Address::MAX_SLOT as usize + 1],
            free: last - first + 1,
        }
    }

    /// Creates the bus of a root port that accepts only a bridge to conventional PCI.
    pub(crate) fn port_for_bridge() -> Self {
        Self {
            accepts: &[Plug::PcieToPciBridge],
            ..Self::new(ControllerModel::PcieRootPort)
        }
    }

    /// Returns whether a device with this connection may come here without an address.
    pub(crate) fn accepts(&self, plug: Plug) -> bool {
        self.accepts.contains(&plug)
    }

    /// Returns whether a device may have an address on this bus that the user gave.
    ///
    /// Conventional and Express endpoints fit into each other's slots, and a bridge fits where an
    /// endpoint does.
    pub(crate) fn accepts_by_hand(&self, plug: Plug) -> bool {
        let endpoints = self.accepts(Plug::Pci) || self.accepts(Plug::Pcie);
        self.accepts(plug) || (endpoints && (plug.is_endpoint() || plug == Plug::PciBridge))
    }

    /// Returns the lowest and the highest slot.
    pub(crate) const fn slots(&self) -> (u8, u8) {
        (self.first, self.last)
    }

    /// Returns a free slot and function for a device without an address.
    ///
    /// `function` is the one to take in an empty slot. Only a device that shares slots gets a
    /// function of a slot in use.
    pub(crate) fn find(&self, need: Need, function: u8) -> Option<(u8, u8)> {
        let fits = self.accepts(need.plug)
            && (self.takes_endpoints || !need.plug.is_endpoint() || need.integrated);
        if !fits || (self.free == 0 && !need.shares_slot) {
            return None;
        }
        for at in self.first..=self.last {
            let slot = self.slots[usize::from(at)];
            if slot.functions == 0 {
                return Some((at, function));
            }
            if need.shares_slot
                && slot.shared
                && let Some(free) = slot.free_function()
            {
                return Some((at, free));
            }
        }

        None
    }

    /// Marks a function as used. Returns whether the function was free.
    pub(crate) fn take(&mut self, slot: u8, function: u8, shares_slot: bool) -> bool {
        let is_in_range = (self.first..=self.last).contains(&slot);
        let Some(slot) = self.slots.get_mut(usize::from(slot)) else {
            return false;
        };
        if is_in_range && slot.functions == 0 {
            self.free -= 1;
        }
        let free = slot.functions & (1 << function) == 0;
        slot.shared |= slot.functions == 0 && shares_slot;
        slot.functions |= 1 << function;
        free
    }

    /// Returns whether a function of the slot is in use.
    pub(crate) fn in_use(&self, slot: u8) -> bool {
        self.slots[usize::from(slot & Address::MAX_SLOT)].functions != 0
    }

    /// Returns whether every slot is in use.
    pub(crate) const fn is_full(&self) -> bool {
        self.free == 0
    }
}
