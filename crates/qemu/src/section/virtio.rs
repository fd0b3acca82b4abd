//! Virtio devices, which share the options of `<driver>`.

use passthru_domain::device::info::Info;
use passthru_domain::device::{VirtioModel, VirtioOptions};

use super::pci;
use crate::error::Error;
use crate::line::Object;

/// Returns a virtio device with the options that all virtio devices have. `stem` is the name
/// without bus and generation, such as `virtio-rng`.
pub(crate) fn device(
    stem: &str,
    model: Option<VirtioModel>,
    driver: Option<VirtioOptions>,
    info: &Info,
) -> Result<Object, Error> {
    let options = pci::virtio_options(&driver.unwrap_or_default());
    Ok(Object::driver(pci::virtio_of(stem, model, info)?).and(options))
}
