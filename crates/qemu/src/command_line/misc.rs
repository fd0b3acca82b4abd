//! Options that are one or two lines each: name, identity, implied devices, balloon, random numbers.

use super::opt::{List, Object, Opt};
use super::want::{Access, By, Want};
use super::{Context, Error, pci};
use passthru_domain::Board;
use passthru_domain::device::memballoon::MemballoonModel;
use passthru_domain::device::rng::{Rng, RngBackendModel};

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

/// A sound backend that goes nowhere, for what is on the board.
pub(super) fn audio(_: &Context<'_>) -> Result<Vec<Opt>, Error> {
    Ok(vec![Opt::json("-audiodev", Object::default().with("id", "audio1").with("driver", "none"))])
}

/// The watchdog that Q35's chip set has.
pub(super) fn watchdog(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    if context.board() != Board::Q35 {
        return Ok(Vec::new());
    }
    Ok(vec![Opt::plain("-global", "ICH9-LPC.noreboot=off"), Opt::plain("-watchdog-action", "reset")])
}

/// `<memballoon>`.
pub(super) fn memballoon(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let Some(balloon) = &context.domain.devices.memballoon else { return Ok(Vec::new()) };
    if balloon.model == Some(MemballoonModel::None) {
        return Ok(Vec::new());
    }
    let device = Object::driver(pci::virtio(context, "virtio-balloon", &balloon.info)?)
        .with("id", balloon.info.id())
        .maybe("deflate-on-oom", balloon.autodeflate)
        .maybe("free-page-reporting", balloon.free_page_reporting)
        .and(pci::address(context, &balloon.info)?);
    Ok(vec![Opt::device(device)])
}

/// `<rng>`.
pub(super) fn rngs(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let rngs = context.domain.devices.rngs.iter();
    Ok(rngs.map(|rng| self::rng(context, rng)).collect::<Result<Vec<_>, _>>()?.concat())
}

fn rng(context: &Context<'_>, rng: &Rng) -> Result<Vec<Opt>, Error> {
    let id = rng.info.id();
    let object = format!("obj{id}");
    let device = Object::driver(pci::virtio(context, "virtio-rng", &rng.info)?)
        .with("rng", object.as_str())
        .with("id", id)
        .maybe("max-bytes", rng.rate.as_ref().map(|rate| rate.bytes))
        .maybe("period", rng.rate.as_ref().map(|rate| rate.period.unwrap_or(1000)))
        .and(pci::address(context, &rng.info)?);
    Ok(vec![Opt::object(rng_backend(rng, object)), Opt::device(device)])
}

fn rng_backend(rng: &Rng, id: String) -> Object {
    let backend = rng.backend.as_ref();
    if backend.and_then(|backend| backend.model) == Some(RngBackendModel::Builtin) {
        return Object::qom("rng-builtin", id);
    }
    let path = backend.and_then(|backend| backend.path.as_deref()).unwrap_or("/dev/random");
    Object::qom("rng-random", id)
        .with("filename", Want::file(format!("{}-source", rng.info.id()), path, Access::ReadOnly, By::FdSet))
}

/// What QEMU may not do, and time stamps in what it says.
pub(super) fn sandbox(_: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let denied = ["obsolete", "elevateprivileges", "spawn", "resourcecontrol"];
    let sandbox = denied.into_iter().fold(List::new(true), |list, what| list.with(what, "deny"));
    Ok(vec![Opt::list("-sandbox", sandbox), Opt::list("-msg", List::headless().with("timestamp", true))])
}
