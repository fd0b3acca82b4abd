//! Devices of the virtio family that have a `<driver>` with the options of all of them.

use passthru_domain::device::info::Info;
use passthru_domain::device::{VirtioModel, VirtioOptions};

use super::pci;
use crate::error::Error;
use crate::line::Object;

/// Returns a virtio device of that stem (`virtio-rng`), with the options that all have.
pub(crate) fn device(
    stem: &str,
    model: Option<VirtioModel>,
    driver: Option<VirtioOptions>,
    info: &Info,
) -> Result<Object, Error> {
    let options = pci::virtio_options(&driver.unwrap_or_default());
    Ok(Object::driver(pci::virtio_of(stem, model, info)?).and(options))
}
