//! `<redirdev>`, `<hub>`, `<smartcard>`: what comes from a client or goes between.

use passthru_domain::device::address::Address;
use passthru_domain::device::controller::ControllerType;
use passthru_domain::device::redirdev::{AnyOr, RedirfilterUsbdev, SmartcardMode};
use passthru_domain::device::{Redirdev, Smartcard};

use super::{char_backend, pci};
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

/// `<redirdev>`.
pub(crate) fn redirdevs(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let redirdevs = context.domain.devices.redirdevs.iter();
    Ok(redirdevs
        .map(|redirdev| self::redirdev(context, redirdev))
        .collect::<Result<Vec<_>, _>>()?
        .concat())
}

fn redirdev(context: &Context<'_>, redirdev: &Redirdev) -> Result<Vec<Opt>, Error> {
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

/// A rule: class, vendor, product, version, and whether it may be redirected.
fn rule(rule: &RedirfilterUsbdev) -> String {
    fn number<const WIDTH: usize>(number: Option<AnyOr<WIDTH>>) -> String {
        number
            .and_then(|n| n.0)
            .map_or_else(|| "-1".into(), |n| format!("0x{n:0WIDTH$X}"))
    }
    let version = number::<4>(Some(AnyOr(rule.bcd_version())));
    let (class, vendor, product) = (
        number(rule.class),
        number(rule.vendor),
        number(rule.product),
    );
    format!(
        "{class}:{vendor}:{product}:{version}:{}",
        u8::from(rule.allow == Some(true))
    )
}

/// `<smartcard>`.
pub(crate) fn smartcards(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    Ok(context
        .domain
        .devices
        .smartcards
        .iter()
        .flat_map(|card| smartcard(context, card))
        .collect())
}

fn smartcard(context: &Context<'_>, card: &Smartcard) -> Vec<Opt> {
    let id = card.info.id();
    let place = |device: Object| device.with("id", id).and(reader(context, card));
    match card.mode {
        Some(SmartcardMode::Passthrough) => {
            let backend = card.backend.clone().unwrap_or_default();
            let mut options = char_backend::smartcard(context, &backend, id);
            let device = Object::driver("ccid-card-passthru").with("chardev", format!("char{id}"));
            options.push(Opt::device(place(device)));
            options
        }
        Some(SmartcardMode::HostCertificates) => {
            let keys = ["cert1", "cert2", "cert3"];
            let device = Object::driver("ccid-card-emulated").with("backend", "certificates");
            let certificates = keys.into_iter().zip(&card.certificates);
            let device = certificates.fold(device, |device, (key, name)| {
                device.with(key, name.as_str())
            });
            let database = card
                .database
                .clone()
                .unwrap_or_else(|| "/etc/pki/nssdb".into());
            vec![Opt::device(place(device.with("db", database)))]
        }
        Some(SmartcardMode::Host) | None => {
            vec![Opt::device(place(
                Object::driver("ccid-card-emulated").with("backend", "nss-emulated"),
            ))]
        }
    }
}

/// The bus of the reader that a card is in.
fn reader(context: &Context<'_>, card: &Smartcard) -> Object {
    let index = match &card.info.address {
        Some(Address::Ccid(ccid)) => ccid.controller.unwrap_or(0),
        _ => 0,
    };
    let reader = context
        .domain
        .devices
        .controller(ControllerType::Ccid, index);
    Object::default().maybe(
        "bus",
        reader.map(|reader| format!("{}.0", reader.info.id())),
    )
}
