//! `<redirdev>`: USB devices that a client redirects.

use passthru_domain::device::Redirdev;
use passthru_domain::device::redirdev::{FilterNumber, RedirfilterUsbdev};

use super::{char_backend, pci};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// Returns the host's end of a redirected device, and the device.
pub(crate) fn device(context: &Context<'_>, redirdev: &Redirdev) -> Result<Vec<Opt>, Error> {
    let id = redirdev.info.id();
    let filter = context.domain.devices.redirfilter.as_ref().map(|filter| {
        let rules: Vec<_> = filter.usbdevs.iter().map(rule).collect();
        rules.join("|")
    });
    let device = Object::driver("usb-redir")
        .with("chardev", format!("char{id}"))
        .with("id", id)
        .maybe("filter", filter)
        .maybe("bootindex", redirdev.info.boot_order())
        .and(pci::address(context, &redirdev.info)?);
    let mut options = char_backend::usb(context, &redirdev.backend, id);
    options.push(Opt::device(device));
    Ok(options)
}

/// Returns a rule: class, vendor, product, version, and whether it may be redirected.
fn rule(rule: &RedirfilterUsbdev) -> String {
    fn number<const WIDTH: usize>(number: Option<FilterNumber<WIDTH>>) -> String {
        number
            .and_then(|n| n.0)
            .map_or_else(|| "-1".into(), |n| format!("0x{n:0WIDTH$X}"))
    }
    let version = number::<4>(Some(FilterNumber(rule.bcd_version())));
    let class = number(rule.class);
    let vendor = number(rule.vendor);
    let product = number(rule.product);
    format!(
        "{class}:{vendor}:{product}:{version}:{}",
        u8::from(rule.allow == Some(true))
    )
}
