//! The emulator's process: its name and identity, who lets the guest go, what it may not do.

use super::opt::{List, Opt};
use super::{Context, Error};

/// `-name`, and `-S`: a manager lets the guest go when all is set up.
pub(super) fn name(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let name = List::headless().with("guest", context.name()).with("debug-threads", true);
    let mut options = vec![Opt::list("-name", name)];
    if !context.is_standalone() {
        options.push(Opt::flag("-S"));
    }
    Ok(options)
}

/// `-uuid`, and nothing that QEMU would add of its own.
pub(super) fn identity(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let uuid = context.domain.uuid.map(|uuid| Opt::plain("-uuid", uuid.to_string()));
    let rest = [Opt::plain("-display", "none"), Opt::flag("-no-user-config"), Opt::flag("-nodefaults")];
    Ok(uuid.into_iter().chain(rest).collect())
}

/// `-no-shutdown`: the manager decides what follows the guest's power-off. Without a manager QEMU ends.
pub(super) fn no_shutdown(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    Ok(if context.is_standalone() { Vec::new() } else { vec![Opt::flag("-no-shutdown")] })
}

/// What QEMU may not do, and time stamps in what it says.
pub(super) fn sandbox(_: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let denied = ["obsolete", "elevateprivileges", "spawn", "resourcecontrol"];
    let sandbox = denied.into_iter().fold(List::new(true), |list, what| list.with(what, "deny"));
    Ok(vec![Opt::list("-sandbox", sandbox), Opt::list("-msg", List::headless().with("timestamp", true))])
}
