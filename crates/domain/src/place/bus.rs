//! One PCI bus: its slots, and what it accepts.

use super::plug::{Need, Plug};
use crate::model::device::controller::ControllerModel;
use passthru_pci::Address;

/// A bus, which is what a PCI controller provides.
#[derive(Clone, Debug)]
pub(crate) struct Bus {
    /// The controller's model.
    pub(crate) model: ControllerModel,
    accepts: &'static [Plug],
    /// Whether endpoints are put here when nobody says where they go: where a port of this kind can
    /// be hotplugged, whether or not this one is.
    takes_unasked: bool,
    first: u8,
    last: u8,
    slots: [Slot; Address::MAX_SLOT as usize + 1],
    /// Slots between `first` and `last` with no function in use.
    free: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// A bit for each function in use.
    functions: u8,
    /// Whether the first device there shares the slot with its like.
    shared: bool,
}

impl Bus {
    /// Makes the empty bus of a controller.
    pub(crate) fn new(model: ControllerModel) -> Self {
        use ControllerModel as Model;
        use Plug::{
            DmiToPciBridge, DownstreamPort, Pci, PciBridge, PciExpander, Pcie, PcieExpander,
        };
        use Plug::{PcieToPciBridge, RootPort, UpstreamPort};
        const ALL: (u8, u8) = (0, Address::MAX_SLOT);
        // Slot 0 is the host bridge's, or the hotplug controller's of a bridge.
        const NOT_FIRST: (u8, u8) = (1, Address::MAX_SLOT);
        let (accepts, (first, last), takes_unasked): (&'static [Plug], _, _) = match model {
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
            takes_unasked,
            first,
            last,
            slots: [Slot::default(); Address::MAX_SLOT as usize + 1],
            free: last - first + 1,
        }
    }

    /// Makes a root port that only a bridge to conventional PCI goes into.
    pub(crate) fn port_for_bridge() -> Self {
        Self {
            accepts: &[Plug::PcieToPciBridge],
            ..Self::new(ControllerModel::PcieRootPort)
        }
    }

    pub(crate) fn accepts(&self, plug: Plug) -> bool {
        self.accepts.contains(&plug)
    }

    /// Whether a device that the user put here may stay: conventional and Express endpoints go into
    /// each other's slots, and a bridge goes where an endpoint does.
    pub(crate) fn accepts_by_hand(&self, plug: Plug) -> bool {
        let endpoints = self.accepts(Plug::Pci) || self.accepts(Plug::Pcie);
        self.accepts(plug) || (endpoints && (plug.is_endpoint() || plug == Plug::PciBridge))
    }

    /// Lowest and highest slot.
    pub(crate) const fn slots(&self) -> (u8, u8) {
        (self.first, self.last)
    }

    /// Returns a free slot and function for a device that is put here unasked. Only a device that
    /// shares slots gets a function of a slot in use.
    pub(crate) fn find(&self, need: Need, function: u8) -> Option<(u8, u8)> {
        let fits = self.accepts(need.plug)
            && (self.takes_unasked || !need.plug.is_endpoint() || need.integrated);
        if !fits || (self.free == 0 && !need.shares_slot) {
            return None;
        }
        (self.first..=self.last).find_map(|at| {
            let slot = self.slots[usize::from(at)];
            match slot.functions {
                0 => Some((at, function)),
                used if need.shares_slot && slot.shared => (0..=Address::MAX_FUNCTION)
                    .find(|f| used & (1 << f) == 0)
                    .map(|f| (at, f)),
                _ => None,
            }
        })
    }

    /// Marks a function as used. Returns whether it was free.
    pub(crate) fn take(&mut self, slot: u8, function: u8, shares_slot: bool) -> bool {
        let counts = (self.first..=self.last).contains(&slot);
        let Some(slot) = self.slots.get_mut(usize::from(slot)) else {
            return false;
        };
        if counts && slot.functions == 0 {
            self.free -= 1;
        }
        let free = slot.functions & (1 << function) == 0;
        slot.shared |= slot.functions == 0 && shares_slot;
        slot.functions |= 1 << function;
        free
    }

    pub(crate) fn in_use(&self, slot: u8) -> bool {
        self.slots[usize::from(slot & Address::MAX_SLOT)].functions != 0
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.free == 0
    }
}
