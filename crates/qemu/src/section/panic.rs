//! `<panic>`: devices by which the guest's kernel reports a crash.

use passthru_domain::device::Panic;
use passthru_domain::device::address::Address;
use passthru_domain::device::panic::PanicModel;

use super::pci;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// `<panic>`: those that are devices. The others are the firmware's or the CPU's.
pub(crate) fn panics(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let panics = context.domain.devices.panics.iter();
    panics
        .filter_map(|panic| self::panic(context, panic).transpose())
        .collect()
}

fn panic(context: &Context<'_>, panic: &Panic) -> Result<Option<Opt>, Error> {
    Ok(match panic.model {
        Some(PanicModel::Isa) => {
            let port = match &panic.info.address {
                Some(Address::Isa(isa)) => isa.iobase,
                _ => None,
            };
            Some(Opt::device(Object::driver("pvpanic").maybe("ioport", port)))
        }
        Some(PanicModel::Pvpanic) => Some(Opt::device(
            Object::driver("pvpanic-pci").and(pci::address(context, &panic.info)?),
        )),
        _ => None,
    })
}
