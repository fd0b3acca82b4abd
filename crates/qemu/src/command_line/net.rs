//! `<interface>`: network cards.

use super::opt::{Object, Opt};
use super::{Context, Error, pci};
use passthru_domain::device::interface::{Interface, InterfaceModel};
use passthru_domain::device::teaming::{Teaming, TeamingType};

pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    // What is a device of the host stands with the other hostdevs.
    let interfaces = context.domain.devices.interfaces.iter().filter(|interface| interface.hostdev.is_none());
    Ok(interfaces.map(|interface| card(context, interface)).collect::<Result<Vec<_>, _>>()?.concat())
}

fn card(context: &Context<'_>, interface: &Interface) -> Result<Vec<Opt>, Error> {
    let id = interface.info.id();
    let netdev = format!("host{id}");
    let persistent = |teaming: &&Teaming| teaming.kind == Some(TeamingType::Persistent);
    let device = Object::driver(driver(context, interface)?)
        .maybe("failover", interface.teaming().filter(persistent).map(|_| true))
        .with("netdev", netdev.as_str())
        .with("id", id)
        .maybe("mac", interface.mac.map(|mac| mac.to_string()))
        .maybe("bootindex", context.boot.of_interface(interface))
        .and(pci::address(context, &interface.info)?)
        .and(pci::rom(&interface.info));
    let user = Object::default().with("type", "user").with("id", netdev);
    Ok(vec![Opt::json("-netdev", user), Opt::device(device)])
}

fn driver(context: &Context<'_>, interface: &Interface) -> Result<String, Error> {
    Ok(match interface.model.unwrap_or(context.machine.interface) {
        InterfaceModel::Virtio => pci::virtio("virtio-net", &interface.info)?,
        model => model.as_str().into(),
    })
}
