//! `<memballoon>`: the memory balloon.

use passthru_domain::device::Memballoon;

use super::{pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::Opt;

/// Returns the options of the balloon; none for one of model `none`.
pub(crate) fn device(context: &Context<'_>, balloon: &Memballoon) -> Result<Vec<Opt>, Error> {
    let Some(model) = balloon.virtio() else {
        return Ok(Vec::new());
    };
    let device = virtio::device("virtio-balloon", Some(model), balloon.driver, &balloon.info)?
        .with("id", balloon.info.id())
        .maybe("deflate-on-oom", balloon.autodeflate)
        .maybe("free-page-reporting", balloon.free_page_reporting)
        .and(pci::address(context, &balloon.info)?);
    Ok(vec![Opt::device(device)])
}
