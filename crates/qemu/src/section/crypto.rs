//! `<crypto>`: virtual cryptographic devices.

use passthru_domain::device::Crypto;
use passthru_domain::device::crypto::CryptoBackendModel;

use super::{pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// Returns the backend of a crypto device, and the device.
pub(crate) fn device(context: &Context<'_>, crypto: &Crypto) -> Result<Vec<Opt>, Error> {
    let id = crypto.info.id();
    let object = format!("obj{id}");
    let backend = crypto.backend.unwrap_or_default();
    let kind = match backend.model {
        Some(CryptoBackendModel::Lkcf) => "cryptodev-backend-lkcf",
        Some(CryptoBackendModel::Builtin) | None => "cryptodev-backend-builtin",
    };
    let device = virtio::device("virtio-crypto", None, crypto.driver, &crypto.info)?
        .with("cryptodev", object.as_str())
        .with("id", id)
        .and(pci::address(context, &crypto.info)?);
    Ok(vec![
        Opt::object(Object::qom(kind, object).maybe("queues", backend.queues)),
        Opt::device(device),
    ])
}
