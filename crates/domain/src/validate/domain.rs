//! The validation of a whole domain, section by section.

use super::check::Check;
use super::{
    addresses, boot, chardevs, clock, controllers, cpu, disks, features, hostdev_types, hostdevs,
    ids, inputs, interfaces, iommus, iothreads, memory, memory_addresses, numa, nvme_disks, pci,
    peripherals, security, shared_memory, spice, sysinfo,
};
use crate::bounded::Bounded;
use crate::error::{Error, Errors};
use crate::model::domain::Domain;
use crate::platform::{Machine, Platform};

impl Domain {
    /// Checks that a completed domain can work.
    ///
    /// # Errors
    /// All errors in the order of the source, or the error that the platform does not have the
    /// machine.
    pub fn validate(&self, platform: &dyn Platform) -> Result<(), Errors> {
        let machine = Machine::for_domain(self, platform)?;
        Errors::check(check(self, &machine))
    }
}

/// Returns all errors of a domain on this machine.
pub(crate) fn check(domain: &Domain, machine: &Machine) -> Bounded<Error> {
    let mut check = Check::new(domain, machine);
    memory::check(&mut check);
    memory_addresses::check(&mut check);
    numa::check(&mut check);
    cpu::check(&mut check);
    boot::check(&mut check);
    features::check(&mut check);
    clock::check(&mut check);
    iothreads::check(&mut check);
    security::check(&mut check);
    sysinfo::check(&mut check);
    controllers::check(&mut check);
    addresses::check(&mut check);
    pci::check(&mut check);
    disks::check(&mut check);
    chardevs::check(&mut check);
    spice::check(&mut check);
    inputs::check(&mut check);
    peripherals::check(&mut check);
    shared_memory::check(&mut check);
    hostdevs::check(&mut check);
    hostdev_types::check(&mut check);
    nvme_disks::check(&mut check);
    iommus::check(&mut check);
    interfaces::check(&mut check);
    ids::check(&mut check);
    // The sort is stable. Errors without a position come first, in the order of the checks.
    check.errors.sort();
    check.errors
}
