//! `<watchdog>`: a timer that acts when the guest does not wind it.

use passthru_domain::device::Watchdog;
use passthru_domain::device::watchdog::{WatchdogAction, WatchdogModel};

use super::pci;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// The watchdogs, and what they do: one action for all of them.
pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let watchdogs = &context.domain.devices.watchdogs;
    let mut options = watchdogs
        .iter()
        .map(|w| option(context, w))
        .collect::<Result<Vec<_>, _>>()?;
    let action = watchdogs.first().and_then(|watchdog| watchdog.action);
    options.extend(action.map(|action| Opt::plain("-watchdog-action", word(action))));
    Ok(options)
}

fn option(context: &Context<'_>, watchdog: &Watchdog) -> Result<Opt, Error> {
    let device = |driver| Object::driver(driver).with("id", watchdog.info.id());
    Ok(match watchdog.model {
        // The chip set's own only has to be let loose.
        Some(WatchdogModel::Itco) => Opt::plain("-global", "ICH9-LPC.noreboot=off"),
        Some(WatchdogModel::I6300esb) => {
            Opt::device(device("i6300esb").and(pci::address(context, &watchdog.info)?))
        }
        Some(model) => Opt::device(device(model.as_str())),
        None => return Err(Error::unsupported("a watchdog without a model")),
    })
}

/// QEMU's word. To write the guest's memory to a file is a manager's work: the guest only stops.
const fn word(action: WatchdogAction) -> &'static str {
    match action {
        WatchdogAction::Dump => "pause",
        other => other.as_str(),
    }
}
