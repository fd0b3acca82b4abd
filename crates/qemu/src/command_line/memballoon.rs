//! `<memballoon>`: the memory balloon.

use super::opt::{Object, Opt};
use super::{Context, Error, pci};
use passthru_domain::device::memballoon::MemballoonModel;

pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let Some(balloon) = &context.domain.devices.memballoon else { return Ok(Vec::new()) };
    if balloon.model == Some(MemballoonModel::None) {
        return Ok(Vec::new());
    }
    let device = Object::driver(pci::virtio("virtio-balloon", &balloon.info)?)
        .with("id", balloon.info.id())
        .maybe("deflate-on-oom", balloon.autodeflate)
        .maybe("free-page-reporting", balloon.free_page_reporting)
        .and(pci::address(context, &balloon.info)?);
    Ok(vec![Opt::device(device)])
}
