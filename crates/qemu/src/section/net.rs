//! `<interface>`: network cards. The module `netdev` makes the host's end.

use passthru_domain::Board;
use passthru_domain::device::Item;
use passthru_domain::device::interface::Interface;
use passthru_domain::device::net_driver::{NetDriver, Offloads, TxMode};
use passthru_domain::device::teaming::TeamingType;

use super::{netdev, pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// Names the emulated cards. Interfaces that are devices of the host stand with the hostdevs.
pub(crate) fn items(context: &Context<'_>) -> Vec<Item> {
    let interfaces = context.domain.devices.interfaces.iter().enumerate();
    interfaces
        .filter(|(_, interface)| interface.hostdev.is_none())
        .map(|(number, _)| Item::Interface(number))
        .collect()
}

/// Returns the host's end of an emulated card, and the card.
pub(crate) fn device(context: &Context<'_>, interface: &Interface) -> Result<Vec<Opt>, Error> {
    let id = interface.info.id();
    let netdev = format!("host{id}");
    let teaming = interface.teaming().and_then(|teaming| teaming.kind);
    let has_partner = teaming == Some(TeamingType::Persistent);
    let card = card(context, interface)?
        .maybe("failover", has_partner.then_some(true))
        .maybe("host_mtu", interface.mtu)
        .with("netdev", netdev.as_str())
        .with("id", id)
        .maybe("mac", interface.mac.map(|mac| mac.to_string()))
        .maybe("bootindex", context.boot.of_interface(interface))
        .and(pci::address(context, &interface.info)?)
        .and(pci::rom(&interface.info));
    let mut options = netdev::options(context, interface, netdev)?;
    options.push(Opt::device(card));
    Ok(options)
}

/// Returns the model of a card, with the properties of a virtio card.
fn card(context: &Context<'_>, interface: &Interface) -> Result<Object, Error> {
    let model = interface
        .model
        .as_ref()
        .unwrap_or(&context.machine.interface);
    if model.virtio().is_none() {
        return Ok(Object::driver(model.as_str()));
    }
    let driver = interface.driver.clone().unwrap_or_default();
    let device = virtio::device(
        "virtio-net",
        model.virtio(),
        Some(driver.virtio),
        &interface.info,
    )?;
    Ok(device
        .and(offloads(&driver))
        .and(queues(context, interface, &driver)))
}

fn offloads(driver: &NetDriver) -> Object {
    let guest = driver.guest.unwrap_or_default();
    let Offloads {
        csum,
        gso,
        tso4,
        tso6,
        ecn,
        ufo,
        mrg_rxbuf,
    } = driver.host.unwrap_or_default();
    let tx = driver.txmode.map(|mode| {
        if mode == TxMode::Iothread {
            "bh"
        } else {
            "timer"
        }
    });
    Object::default()
        .maybe("tx", tx)
        .maybe("ioeventfd", driver.ioeventfd)
        .maybe("event_idx", driver.event_idx)
        .maybe("csum", csum)
        .maybe("gso", gso)
        .maybe("host_tso4", tso4)
        .maybe("host_tso6", tso6)
        .maybe("host_ecn", ecn)
        .maybe("host_ufo", ufo)
        .maybe("mrg_rxbuf", mrg_rxbuf)
        .maybe("guest_csum", guest.csum)
        .maybe("guest_tso4", guest.tso4)
        .maybe("guest_tso6", guest.tso6)
        .maybe("guest_ecn", guest.ecn)
        .maybe("guest_ufo", guest.ufo)
}

/// Returns the properties of queues. A card has one interrupt for each queue, and two more.
fn queues(context: &Context<'_>, interface: &Interface, driver: &NetDriver) -> Object {
    let queues = netdev::queues(interface);
    let vectors = queues
        .filter(|_| context.board() != Board::S390Ccw)
        .map(|queues| 2 * queues + 2);
    Object::default()
        .maybe("mq", queues.map(|_| true))
        .maybe("vectors", vectors)
        .maybe("rx_queue_size", driver.rx_queue_size)
        .maybe("tx_queue_size", driver.tx_queue_size)
        .maybe("rss", driver.rss)
        .maybe("hash", driver.rss_hash_report)
}
