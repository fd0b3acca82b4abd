//! The emulator's process: name, identity, start and end, and sandbox.

use passthru_domain::lifecycle::LifecycleAction;

use super::graphics;
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Opt};

/// Returns `-name`, and `-S` for a managed guest: the manager starts the guest once all is set up.
pub(crate) fn name(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let name = List::headless()
        .with("guest", context.name())
        .with("debug-threads", true);
    let mut options = vec![Opt::list("-name", name)];
    if !context.is_standalone() {
        options.push(Opt::flag("-S"));
    }
    Ok(options)
}

/// Returns `-uuid`, and the options that keep QEMU from adding devices and reading files by itself.
pub(crate) fn identity(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let uuid = context
        .domain
        .uuid
        .map(|uuid| Opt::plain("-uuid", uuid.to_string()));
    let rest = [Opt::flag("-no-user-config"), Opt::flag("-nodefaults")];
    Ok(uuid
        .into_iter()
        .chain(graphics::headless(context))
        .chain(rest)
        .collect())
}

/// Returns the options for the end of the guest.
///
/// - `-no-reboot`: a reboot ends the guest as a power-off does.
/// - `-no-shutdown`: QEMU stays after the end, and the manager decides what follows.
pub(crate) fn lifecycle(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    use LifecycleAction::{Destroy, Preserve, RenameRestart, Restart};
    let on_poweroff = context.domain.on_poweroff;
    let on_reboot = context.domain.on_reboot;
    let ends = matches!(on_reboot, Some(Destroy | Preserve));
    // To start the guest again is a reset, which would end the guest.
    if ends && let Some(again @ (Restart | RenameRestart)) = on_poweroff {
        let reboot = on_reboot.unwrap_or(Destroy);
        return Err(Error::unsupported(format!(
            "<on_poweroff> '{again}' together with <on_reboot> '{reboot}'"
        )));
    }

    let no_reboot = ends.then(|| Opt::flag("-no-reboot"));
    let no_shutdown = (!context.is_standalone()).then(|| Opt::flag("-no-shutdown"));
    Ok(no_reboot.into_iter().chain(no_shutdown).collect())
}

/// Returns `-sandbox`, which denies groups of system calls, and `-msg`, which adds times to
/// messages.
pub(crate) fn sandbox(_: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let denied = ["obsolete", "elevateprivileges", "spawn", "resourcecontrol"];
    let sandbox = denied
        .into_iter()
        .fold(List::new(true), |list, group| list.with(group, "deny"));
    Ok(vec![
        Opt::list("-sandbox", sandbox),
        Opt::list("-msg", List::headless().with("timestamp", true)),
    ])
}
