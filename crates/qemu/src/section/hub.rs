//! `<hub>`: USB hubs.

use passthru_domain::device::Hub;

use super::pci;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// Returns the options of a hub.
pub(crate) fn device(context: &Context<'_>, hub: &Hub) -> Result<Vec<Opt>, Error> {
    let device = Object::driver("usb-hub")
        .with("id", hub.info.id())
        .and(pci::address(context, &hub.info)?);
    Ok(vec![Opt::device(device)])
}
