//! `<rng>`: random number generators.

use super::opt::{Object, Opt};
use super::want::{Access, By, Want};
use super::{Context, Error, pci};
use passthru_domain::device::rng::{Rng, RngBackendModel};

pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let rngs = context.domain.devices.rngs.iter();
    Ok(rngs.map(|rng| device(context, rng)).collect::<Result<Vec<_>, _>>()?.concat())
}

fn device(context: &Context<'_>, rng: &Rng) -> Result<Vec<Opt>, Error> {
    let id = rng.info.id();
    let object = format!("obj{id}");
    let device = Object::driver(pci::virtio("virtio-rng", &rng.info)?)
        .with("rng", object.as_str())
        .with("id", id)
        .maybe("max-bytes", rng.rate.as_ref().map(|rate| rate.bytes))
        .maybe("period", rng.rate.as_ref().map(|rate| rate.period.unwrap_or(1000)))
        .and(pci::address(context, &rng.info)?);
    Ok(vec![Opt::object(backend(rng, object)), Opt::device(device)])
}

fn backend(rng: &Rng, id: String) -> Object {
    let backend = rng.backend.as_ref();
    if backend.and_then(|backend| backend.model) == Some(RngBackendModel::Builtin) {
        return Object::qom("rng-builtin", id);
    }
    let path = backend.and_then(|backend| backend.path.as_deref()).unwrap_or("/dev/random");
    Object::qom("rng-random", id)
        .with("filename", Want::file(format!("{}-source", rng.info.id()), path, Access::ReadOnly, By::FdSet))
}
