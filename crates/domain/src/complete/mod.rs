//! Fills in what a domain leaves out, as libvirt does: the same input gives the same domain.
//!
//! Nothing is drawn by lot. A UUID that is missing is derived from the name, a network card's
//! hardware address from the UUID and the card's number, so that a guest keeps them from one start
//! to the next.

mod aliases;
mod chardevs;
mod controllers;
mod cpu;
mod defaults;
mod disks;
mod hostdevs;
mod identity;
mod iommus;
mod iothreads;
mod memory;
mod peripherals;
mod usb;
mod virtio_ports;

use crate::error::Errors;
use crate::model::domain::Domain;
use crate::platform::{Machine, Platform};
use crate::{place, validate};

impl Domain {
    /// Fills in what was left out: architecture, machine, CPU and the like by the platform's
    /// defaults; the controllers that the machine has or the devices need; for each device its
    /// alias and its address.
    ///
    /// What the user said stays. A completed domain completes to itself. What cannot work is not
    /// looked for here but by [`Domain::validate`].
    ///
    /// # Errors
    /// Where there is no such machine, or no place for a device.
    pub fn complete(mut self, platform: &dyn Platform) -> Result<Self, Errors> {
        let arch = *self.os.kind.arch.get_or_insert(platform.arch());
        let machine = Machine::for_domain(&self, platform)?;
        self.os
            .kind
            .machine
            .get_or_insert_with(|| machine.name.clone());
        self.devices
            .emulator
            .get_or_insert_with(|| platform.emulator(arch));
        defaults::fill(&mut self, &machine);
        cpu::fill(&mut self, &machine);
        memory::fill(&mut self);
        iothreads::fill(&mut self);
        identity::fill(&mut self, &machine);
        iommus::fill(&mut self, &machine);
        disks::fill(&mut self.devices);
        hostdevs::fill(&mut self.devices);
        chardevs::fill(&mut self.devices, &machine);
        peripherals::fill(&mut self.devices, &machine);
        controllers::fill(&mut self.devices, &machine);
        virtio_ports::assign(&mut self.devices);

        let homeless = place::assign(&mut self.devices, &machine);
        if !homeless.is_empty() {
            // What is wrong with the buses explains why there is no place on them.
            return Err(Errors::from_causes(
                validate::check(&self, &machine),
                homeless,
            ));
        }
        aliases::fill(&mut self.devices, machine.board);
        Ok(self)
    }
}
