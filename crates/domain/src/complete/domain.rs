//! The completion of a whole domain, section by section.

use super::{
    aliases, chardevs, controllers, cpu, defaults, disks, firmware, hostdevs, identity, iommus,
    iothreads, memory, peripherals, virtio_ports,
};
use crate::bounded::Bounded;
use crate::error::{Error, Errors};
use crate::model::domain::Domain;
use crate::platform::{Machine, Platform};
use crate::{place, validate};

impl Domain {
    /// Fills in everything that the user left out:
    ///
    /// - architecture, machine, firmware, CPU and other defaults of the platform;
    /// - the controllers that the machine has or the devices need;
    /// - the alias and the address of each device.
    ///
    /// Values that the user gave stay. Completing a completed domain changes nothing. Values that
    /// cannot work are left to [`Domain::validate`].
    ///
    /// # Errors
    /// If the platform does not have the machine or a firmware that fits, or a device has no
    /// possible address.
    pub fn complete(self, platform: &dyn Platform) -> Result<Self, Errors> {
        let (domain, unplaced) = self.fill(platform)?;
        if unplaced.is_empty() {
            return Ok(domain);
        }
        // Errors of the buses come first: they explain why a device has no address.
        let machine = Machine::for_domain(&domain, platform)?;
        let causes = validate::check(&domain, &machine);
        Err(Errors::from_causes(causes, unplaced))
    }

    /// Fills in everything that the user left out, as far as possible. Returns also an error for
    /// each device that has no possible address, and for a firmware that the platform lacks.
    ///
    /// # Errors
    /// If the platform does not have the machine, then that error.
    pub(crate) fn fill(mut self, platform: &dyn Platform) -> Result<(Self, Bounded<Error>), Error> {
        let arch = *self.os.kind.arch.get_or_insert(platform.arch());
        let machine = Machine::for_domain(&self, platform)?;
        self.os
            .kind
            .machine
            .get_or_insert_with(|| machine.name.clone());
        let emulator = self
            .devices
            .emulator
            .get_or_insert_with(|| platform.emulator(arch));
        let default_cpu = platform.cpu(&machine, emulator);
        // A choice that fails for contradictory wishes only repeats their errors.
        let unchosen = firmware::fill(&mut self, &machine, platform)
            .err()
            .filter(|_| validate::has_sound_firmware(&self, &machine));
        defaults::fill(&mut self, &machine);
        cpu::fill(&mut self, &machine, default_cpu);
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

        let mut unplaced = place::assign(&mut self.devices, &machine);
        unplaced.extend(unchosen);
        aliases::fill(&mut self.devices, machine.board);
        Ok((self, unplaced))
    }
}
