//! `<interface>`: network cards. What is at the host's end is in `netdev`.

use passthru_domain::Board;
use passthru_domain::device::interface::Interface;
use passthru_domain::device::net_driver::{NetDriver, Offloads, TxMode};
use passthru_domain::device::teaming::{Teaming, TeamingType};

use super::{netdev, pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    // What is a device of the host stands with the other hostdevs.
    let interfaces = context
        .domain
        .devices
        .interfaces
        .iter()
        .filter(|interface| interface.hostdev.is_none());
    Ok(interfaces
        .map(|interface| card(context, interface))
        .collect::<Result<Vec<_>, _>>()?
        .concat())
}

fn card(context: &Context<'_>, interface: &Interface) -> Result<Vec<Opt>, Error> {
    let id = interface.info.id();
    let netdev = format!("host{id}");
    let persistent = |teaming: &&Teaming| teaming.kind == Some(TeamingType::Persistent);
    let device = driver(context, interface)?
        .maybe(
            "failover",
            interface.teaming().filter(persistent).map(|_| true),
        )
        .maybe("host_mtu", interface.mtu)
        .with("netdev", netdev.as_str())
        .with("id", id)
        .maybe("mac", interface.mac.map(|mac| mac.to_string()))
        .maybe("bootindex", context.boot.of_interface(interface))
        .and(pci::address(context, &interface.info)?)
        .and(pci::rom(&interface.info));
    let mut options = netdev::options(context, interface, netdev)?;
    options.push(Opt::device(device));
    Ok(options)
}

/// The model, and what is said of a virtio card.
fn driver(context: &Context<'_>, interface: &Interface) -> Result<Object, Error> {
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
    let (host, guest) = (
        driver.host.unwrap_or_default(),
        driver.guest.unwrap_or_default(),
    );
    let Offloads {
        csum,
        gso,
        tso4,
        tso6,
        ecn,
        ufo,
        mrg_rxbuf,
    } = host;
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

/// Each pair of queues has an interrupt of its own for each queue; two more are the card's.
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
