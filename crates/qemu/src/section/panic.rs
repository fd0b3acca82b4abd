//! `<panic>`: devices by which the guest's kernel reports a crash.

use passthru_domain::device::Panic;
use passthru_domain::device::address::Address;
use passthru_domain::device::panic::PanicModel;

use super::pci;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// Returns the options of a panic device; none for those of the firmware or the CPU.
pub(crate) fn device(context: &Context<'_>, panic: &Panic) -> Result<Vec<Opt>, Error> {
    let device = match panic.model {
        Some(PanicModel::Isa) => {
            let port = match &panic.info.address {
                Some(Address::Isa(isa)) => isa.iobase,
                _ => None,
            };
            Object::driver("pvpanic").maybe("ioport", port)
        }
        Some(PanicModel::Pvpanic) => {
            Object::driver("pvpanic-pci").and(pci::address(context, &panic.info)?)
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![Opt::device(device)])
}
