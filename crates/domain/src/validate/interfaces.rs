//! Network cards: what their kinds and models refuse.

use super::Check;
use crate::model::device::Interface;
use crate::model::device::interface::InterfaceType;
use crate::model::device::net_driver::{NetBackendType, NetDriver};

/// Pairs of queues that a tap can have.
const MOST_QUEUES: u32 = 256;

/// Lengths that a virtio queue can have.
const QUEUE_SIZES: std::ops::RangeInclusive<u32> = 256..=1024;

pub(super) fn check(check: &mut Check<'_>) {
    for interface in &check.domain.devices.interfaces {
        kind(check, interface);
        backend(check, interface);
        driver(check, interface);
        host(check, interface);
    }
}

/// Names an interface for a message.
fn name(interface: &Interface) -> String {
    interface
        .mac
        .map_or_else(|| "an interface".into(), |mac| format!("interface {mac}"))
}

fn kind(check: &mut Check<'_>, interface: &Interface) {
    let (span, what) = (&interface.info().span, name(interface));
    let source = interface.source.clone().unwrap_or_default();
    let Some(kind) = interface.kind else { return };
    let is_passt = is_passt(interface);
    let lacks = match kind {
        InterfaceType::VhostUser if source.path.is_none() && !is_passt => {
            Some("type='unix' path='…' mode='…'")
        }
        InterfaceType::Server
        | InterfaceType::Client
        | InterfaceType::Mcast
        | InterfaceType::Udp
            if source.port.is_none() =>
        {
            Some("address='…' port='…'")
        }
        InterfaceType::Client | InterfaceType::Mcast | InterfaceType::Udp
            if source.address.is_none() =>
        {
            Some("address='…'")
        }
        InterfaceType::Udp if source.local.is_none() => {
            Some("…> with a <local address='…' port='…'")
        }
        InterfaceType::Bridge if source.bridge.is_none() => Some("bridge='…'"),
        InterfaceType::Network if source.network.is_none() => Some("network='…'"),
        InterfaceType::Direct | InterfaceType::Vdpa if source.dev.is_none() => Some("dev='…'"),
        _ => None,
    };
    if let Some(lacks) = lacks {
        check.error(
            span,
            format!("{what} of type '{kind}' needs a <source {lacks}/>"),
        );
    }
    if matches!(
        kind,
        InterfaceType::Internal | InterfaceType::Null | InterfaceType::Vds
    ) {
        check.error(
            span,
            format!("{what}: an interface of type '{kind}' is for another hypervisor"),
        );
    }
    let is_virtio = interface
        .model
        .as_ref()
        .is_some_and(|m| m.virtio().is_some());
    if matches!(kind, InterfaceType::VhostUser | InterfaceType::Vdpa) && !is_virtio {
        check.error(
            span,
            format!("{what}: an interface of type '{kind}' must have the model 'virtio'"),
        );
    }
}

fn is_passt(interface: &Interface) -> bool {
    interface.backend.as_ref().and_then(|b| b.kind) == Some(NetBackendType::Passt)
}

fn backend(check: &mut Check<'_>, interface: &Interface) {
    let (span, what) = (&interface.info().span, name(interface));
    let kind = interface.kind.unwrap_or(InterfaceType::User);
    if is_passt(interface) && !matches!(kind, InterfaceType::User | InterfaceType::VhostUser) {
        check.error(
            span,
            format!("{what}: <backend type='passt'/> is for the types 'user' and 'vhostuser' only"),
        );
    }
    if !interface.port_forwards.is_empty() && !is_passt(interface) {
        let message = format!("{what}: <portForward> needs <backend type='passt'/>");
        check.error(span, message);
    }
    let backend = interface.backend.clone().unwrap_or_default();
    if (backend.log_file.is_some() || backend.hostname.is_some() || backend.fqdn.is_some())
        && !is_passt(interface)
    {
        check.error(
            span,
            format!("{what}: logFile, hostname and fqdn of <backend> are for type='passt' only"),
        );
    }
    if backend.tap.is_some() && !is_tap(kind) {
        check.error(
            span,
            format!("{what}: a tap of <backend> cannot be used by an interface of type '{kind}'"),
        );
    }
    if backend.vhost.is_some() && !is_tap(kind) {
        check.error(
            span,
            format!("{what}: vhost of <backend> cannot be used by an interface of type '{kind}'"),
        );
    }
}

const fn is_tap(kind: InterfaceType) -> bool {
    use InterfaceType::{Bridge, Direct, Ethernet, Network};
    matches!(kind, Bridge | Direct | Ethernet | Network)
}

fn driver(check: &mut Check<'_>, interface: &Interface) {
    let Some(driver) = &interface.driver else {
        return;
    };
    let (span, what) = (&interface.info.span, name(interface));
    let is_virtio = interface
        .model
        .as_ref()
        .is_some_and(|m| m.virtio().is_some());
    if !is_virtio && *driver != NetDriver::default() {
        let message = format!("{what}: <driver> is for the model 'virtio' only");
        check.error(span, message);
    }
    for (attribute, size) in [
        ("rx_queue_size", driver.rx_queue_size),
        ("tx_queue_size", driver.tx_queue_size),
    ] {
        let Some(size) = size else { continue };
        if !size.is_power_of_two() {
            check.error(
                span,
                format!("{what}: {attribute} is {size}, expected a power of two"),
            );
        } else if !QUEUE_SIZES.contains(&size) {
            check.error(
                span,
                format!("{what}: {attribute} is {size}, expected 256, 512 or 1024"),
            );
        }
    }
    if driver
        .queues
        .is_some_and(|queues| queues == 0 || queues > MOST_QUEUES)
    {
        check.error(
            span,
            format!("{what}: the number of queues must be from 1 to {MOST_QUEUES}"),
        );
    }
}

/// What is done on the host is done at a tap.
fn host(check: &mut Check<'_>, interface: &Interface) {
    let (span, what) = (&interface.info().span, name(interface));
    let kind = interface.kind.unwrap_or(InterfaceType::User);
    let has_port = is_tap(kind) || kind == InterfaceType::Hostdev;
    let misplaced = [
        (
            "<filterref>",
            interface.filterref.is_some() && !is_tap(kind),
        ),
        ("<coalesce>", interface.coalesce.is_some() && !is_tap(kind)),
        ("<tune>", interface.sndbuf.is_some() && !is_tap(kind)),
        (
            "<port>",
            interface.isolated.is_some()
                && !matches!(kind, InterfaceType::Bridge | InterfaceType::Network),
        ),
        ("<vlan>", interface.vlan.is_some() && !has_port),
        (
            "<virtualport>",
            interface.virtualport.is_some() && !has_port,
        ),
        ("<script>", interface.script.is_some() && !is_tap(kind)),
        (
            "<downscript>",
            interface.downscript.is_some() && kind != InterfaceType::Ethernet,
        ),
    ];
    for (element, _) in misplaced.into_iter().filter(|(_, misplaced)| *misplaced) {
        check.error(
            span,
            format!("{what}: {element} cannot be used by an interface of type '{kind}'"),
        );
    }
    let is_virtio = interface
        .model
        .as_ref()
        .is_some_and(|m| m.virtio().is_some());
    if interface.mtu.is_some() && !is_virtio {
        check.error(
            span,
            format!("{what}: <mtu> is for the model 'virtio' only"),
        );
    }
}
