//! `<hub>`: USB hubs.

use passthru_domain::device::Hub;

use super::pci;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// `<hub>`.
pub(crate) fn hubs(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let hub = |hub: &passthru_domain::device::Hub| {
        let device = Object::driver("usb-hub").with("id", hub.info.id());
        Ok(Opt::device(device.and(pci::address(context, &hub.info)?)))
    };
    context.domain.devices.hubs.iter().map(hub).collect()
}
