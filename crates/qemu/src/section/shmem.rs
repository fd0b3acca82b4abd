//! `<shmem>`: memory that guests share.

use passthru_domain::device::Shmem;
use passthru_domain::device::shmem::{ShmemModel, ShmemRole};

use super::pci;
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Object, Opt, on_off};

/// Returns the shared memory, or the socket of its server, and the device.
pub(crate) fn device(context: &Context<'_>, shmem: &Shmem) -> Result<Vec<Opt>, Error> {
    let id = shmem.info.id();
    let name = shmem.name.clone().unwrap_or_default();
    let model = shmem.model.unwrap_or(ShmemModel::Plain);
    let device = Object::driver(model.as_str()).with("id", id);
    // `master` also takes `auto` (OnOffAuto), so it is a word and not a bool.
    let master = shmem.role.map(|role| on_off(role == ShmemRole::Master));
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
