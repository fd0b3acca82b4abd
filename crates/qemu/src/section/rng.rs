//! `<rng>`: random number generators.

use passthru_domain::device::rng::{Rng, RngBackend, RngBackendModel};

use super::{char_backend, pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Access, FilePassing, Object, Opt, Want};

/// Returns the source of a random number generator, and its device.
pub(crate) fn device(context: &Context<'_>, rng: &Rng) -> Result<Vec<Opt>, Error> {
    let id = rng.info.id();
    let object = format!("obj{id}");
    let device = virtio::device("virtio-rng", rng.model, rng.driver, &rng.info)?
        .with("rng", object.as_str())
        .with("id", id)
        .maybe("max-bytes", rng.rate.as_ref().map(|rate| rate.bytes))
        .maybe(
            "period",
            rng.rate.as_ref().map(|rate| rate.period.unwrap_or(1000)),
        )
        .and(pci::address(context, &rng.info)?);
    let mut options = source(context, rng.backend.as_ref(), id, object);
    options.push(Opt::device(device));
    Ok(options)
}

fn source(
    context: &Context<'_>,
    source: Option<&RngBackend>,
    id: &str,
    object: String,
) -> Vec<Opt> {
    let daemon = source.and_then(|source| source.daemon.as_ref());
    match (source.and_then(|source| source.model), daemon) {
        (Some(RngBackendModel::Builtin), _) => {
            vec![Opt::object(Object::qom("rng-builtin", object))]
        }
        (Some(RngBackendModel::Egd), Some(daemon)) => {
            let mut options = char_backend::serial(context, daemon, id);
            options.push(Opt::object(
                Object::qom("rng-egd", object).with("chardev", format!("char{id}")),
            ));
            options
        }
        _ => {
            let path = source
                .and_then(|source| source.path.as_deref())
                .unwrap_or("/dev/random");
            let file = Want::file(
                format!("{id}-source"),
                path,
                Access::ReadOnly,
                FilePassing::FdSet,
            );
            vec![Opt::object(
                Object::qom("rng-random", object).with("filename", file),
            )]
        }
    }
}
