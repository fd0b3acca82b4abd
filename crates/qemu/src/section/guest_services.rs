//! `<panic>`, `<shmem>`, `<vsock>`, `<crypto>`: small devices between guest and host.

use passthru_domain::device::address::Address;
use passthru_domain::device::crypto::CryptoBackendModel;
use passthru_domain::device::panic::PanicModel;
use passthru_domain::device::shmem::{ShmemModel, ShmemRole};
use passthru_domain::device::vsock::Cid;
use passthru_domain::device::{Crypto, Panic, Shmem};

use super::{pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Object, Opt, Want, What};

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

/// `<shmem>`.
pub(crate) fn shmems(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let shmems = context.domain.devices.shmems.iter();
    Ok(shmems
        .map(|shmem| self::shmem(context, shmem))
        .collect::<Result<Vec<_>, _>>()?
        .concat())
}

fn shmem(context: &Context<'_>, shmem: &Shmem) -> Result<Vec<Opt>, Error> {
    let id = shmem.info.id();
    let name = shmem.name.clone().unwrap_or_default();
    let model = shmem.model.unwrap_or(ShmemModel::Plain);
    let device = Object::driver(model.as_str()).with("id", id);
    let master = shmem.role.map(|role| role == ShmemRole::Master);
    let address = pci::address(context, &shmem.info)?;
    if model == ShmemModel::Plain {
        let memory = format!("shmmem-{id}");
        let object = Object::qom("memory-backend-file", memory.as_str())
            .with("mem-path", format!("/dev/shm/{name}"))
            .maybe("size", shmem.size.map(|size| size.0.bytes()))
            .with("share", true);
        let device = device
            .with("memdev", memory)
            .maybe("master", master)
            .and(address);
        return Ok(vec![Opt::object(object), Opt::device(device)]);
    }
    let said = shmem.server.as_ref().and_then(|server| server.path.clone());
    let path = said.unwrap_or_else(|| format!("/var/lib/libvirt/shmem-{name}-sock"));
    let socket = List::new("socket")
        .with("id", format!("char{id}"))
        .with("path", path);
    let msi = shmem.msi.unwrap_or_default();
    let device = device
        .with("chardev", format!("char{id}"))
        .maybe("vectors", msi.vectors)
        .maybe("ioeventfd", msi.ioeventfd)
        .maybe("master", master)
        .and(address);
    Ok(vec![Opt::list("-chardev", socket), Opt::device(device)])
}

/// `<vsock>`.
pub(crate) fn vsock(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let Some(vsock) = &context.domain.devices.vsock else {
        return Ok(Vec::new());
    };
    let id = vsock.info.id();
    let vhost = Want {
        name: format!("{id}-vhost"),
        what: What::Vhost {
            path: "/dev/vhost-vsock".into(),
        },
    };
    let device = virtio::device("vhost-vsock", vsock.model, vsock.driver, &vsock.info)?
        .with("id", id)
        .with("guest-cid", cid(context, vsock.cid))
        .maybe("vhostfd", (!context.is_standalone()).then_some(vhost))
        .and(pci::address(context, &vsock.info)?);
    Ok(vec![Opt::device(device)])
}

/// The guest's address. One that is chosen comes from the guest's identity, so that it keeps it.
fn cid(context: &Context<'_>, cid: Option<Cid>) -> u32 {
    let said = cid
        .filter(|cid| cid.auto != Some(true))
        .and_then(|cid| cid.address);
    said.unwrap_or_else(|| {
        let uuid = context.domain.uuid.unwrap_or_default().0;
        let words = uuid
            .chunks_exact(4)
            .map(|w| w.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)));
        // The highest bit is left out: no address is -1, the one of anybody.
        (words.fold(0, |n, word| n ^ word) & 0x7fff_ffff).max(Cid::FIRST)
    })
}

/// `<crypto>`.
pub(crate) fn cryptos(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let cryptos = context.domain.devices.cryptos.iter();
    Ok(cryptos
        .map(|crypto| self::crypto(context, crypto))
        .collect::<Result<Vec<_>, _>>()?
        .concat())
}

fn crypto(context: &Context<'_>, crypto: &Crypto) -> Result<Vec<Opt>, Error> {
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
