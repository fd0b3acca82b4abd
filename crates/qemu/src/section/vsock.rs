//! `<vsock>`: sockets between guest and host.

use passthru_domain::device::Vsock;
use passthru_domain::device::vsock::Cid;

use super::{pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Opt, Want, WantKind};

/// Returns the options of the device.
pub(crate) fn device(context: &Context<'_>, vsock: &Vsock) -> Result<Vec<Opt>, Error> {
    let id = vsock.info.id();
    let vhost = Want {
        name: format!("{id}-vhost"),
        kind: WantKind::Vhost {
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

/// Returns the guest's address. An address that the domain leaves open is computed from the guest's
/// UUID, so that it is the same at each start.
fn cid(context: &Context<'_>, cid: Option<Cid>) -> u32 {
    let said = cid
        .filter(|cid| cid.auto != Some(true))
        .and_then(|cid| cid.address);
    said.unwrap_or_else(|| {
        let uuid = context.domain.uuid.unwrap_or_default().0;
        let words = uuid
            .chunks_exact(4)
            .map(|w| w.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)));
        // Without the highest bit, no address is -1 (VMADDR_CID_ANY).
        (words.fold(0, |n, word| n ^ word) & 0x7fff_ffff).max(Cid::FIRST)
    })
}
