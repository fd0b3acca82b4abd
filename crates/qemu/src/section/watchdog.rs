//! `<watchdog>`: a timer that acts if the guest does not reset it.

use passthru_domain::device::Watchdog;
use passthru_domain::device::watchdog::{WatchdogAction, WatchdogModel};

use super::pci;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// Returns `-watchdog-action`: one action for all watchdogs.
pub(crate) fn action(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let first = context.domain.devices.watchdogs.first();
    let action = first.and_then(|watchdog| watchdog.action);
    let option = action.map(|action| Opt::plain("-watchdog-action", word(action)));
    Ok(option.into_iter().collect())
}

/// Returns the options of a watchdog.
pub(crate) fn device(context: &Context<'_>, watchdog: &Watchdog) -> Result<Vec<Opt>, Error> {
    let id = watchdog.info.id();
    let device = match watchdog.model {
        // The chip set has this one; by default it does not reset the machine.
        Some(WatchdogModel::Itco) => {
            return Ok(vec![Opt::plain("-global", "ICH9-LPC.noreboot=off")]);
        }
        Some(WatchdogModel::I6300esb) => Object::driver("i6300esb")
            .with("id", id)
            .and(pci::address(context, &watchdog.info)?),
        Some(model) => Object::driver(model.as_str()).with("id", id),
        None => return Err(Error::unsupported("a watchdog without a model")),
    };
    Ok(vec![Opt::device(device)])
}

/// Returns QEMU's word for an action. For `dump` the guest is paused: a manager would write its
/// memory to a file.
const fn word(action: WatchdogAction) -> &'static str {
    match action {
        WatchdogAction::Dump => "pause",
        other => other.as_str(),
    }
}
