//! `<smartcard>`: smart cards in a reader.

use passthru_domain::device::Smartcard;
use passthru_domain::device::address::Address;
use passthru_domain::device::controller::ControllerType;
use passthru_domain::device::redirdev::SmartcardMode;

use super::char_backend;
use crate::context::Context;
use crate::line::{Object, Opt};

/// Returns the options of a smart card.
pub(crate) fn device(context: &Context<'_>, card: &Smartcard) -> Vec<Opt> {
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

/// Returns the bus of the reader that a card is in.
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
