//! Network interfaces: types, backends, drivers and host settings.

use super::check::Check;
use crate::model::device::Interface;
use crate::model::device::interface::InterfaceType;
use crate::model::device::net_driver::{NetBackendType, NetDriver};

/// Most pairs of queues of a tap.
const MAX_QUEUES: u32 = 256;

/// Lengths that a virtio queue can have, in descriptors.
const QUEUE_SIZES: std::ops::RangeInclusive<u32> = 256..=1024;

pub(super) fn check(check: &mut Check<'_>) {
    for interface in &check.domain.devices.interfaces {
        check_kind(check, interface);
        check_backend(check, interface);
        check_driver(check, interface);
        check_host(check, interface);
    }
}

/// Returns the name of an interface for a message.
fn describe(interface: &Interface) -> String {
    interface
        .mac
        .map_or_else(|| "an interface".into(), |mac| format!("interface {mac}"))
}

/// Checks that an interface has the source and the model that its type needs.
fn check_kind(check: &mut Check<'_>, interface: &Interface) {
    let span = &interface.info().span;
    let card = describe(interface);
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
            format!("{card} of type '{kind}' needs a <source {lacks}/>"),
        );
    }

    if matches!(
        kind,
        InterfaceType::Internal | InterfaceType::Null | InterfaceType::Vds
    ) {
        check.error(
            span,
            format!("{card}: an interface of type '{kind}' is for another hypervisor"),
        );
    }

    if matches!(kind, InterfaceType::VhostUser | InterfaceType::Vdpa) && !is_virtio(interface) {
        check.error(
            span,
            format!("{card}: an interface of type '{kind}' must have the model 'virtio'"),
        );
    }
}

/// Returns whether the card's model is virtio.
fn is_virtio(interface: &Interface) -> bool {
    let model = interface.model.as_ref();
    model.is_some_and(|model| model.virtio().is_some())
}

/// Returns whether passt is the backend.
fn is_passt(interface: &Interface) -> bool {
    interface.backend.as_ref().and_then(|b| b.kind) == Some(NetBackendType::Passt)
}

/// Checks `<backend>` and `<portForward>`.
fn check_backend(check: &mut Check<'_>, interface: &Interface) {
    let span = &interface.info().span;
    let card = describe(interface);
    let kind = interface.kind.unwrap_or(InterfaceType::User);
    if is_passt(interface) && !matches!(kind, InterfaceType::User | InterfaceType::VhostUser) {
        check.error(
            span,
            format!("{card}: <backend type='passt'/> is for the types 'user' and 'vhostuser' only"),
        );
    }

    if !interface.port_forwards.is_empty() && !is_passt(interface) {
        let message = format!("{card}: <portForward> needs <backend type='passt'/>");
        check.error(span, message);
    }

    let backend = interface.backend.clone().unwrap_or_default();
    if (backend.log_file.is_some() || backend.hostname.is_some() || backend.fqdn.is_some())
        && !is_passt(interface)
    {
        check.error(
            span,
            format!("{card}: logFile, hostname and fqdn of <backend> are for type='passt' only"),
        );
    }

    if backend.tap.is_some() && !is_tap(kind) {
        check.error(
            span,
            format!("{card}: a tap of <backend> cannot be used by an interface of type '{kind}'"),
        );
    }

    if backend.vhost.is_some() && !is_tap(kind) {
        check.error(
            span,
            format!("{card}: vhost of <backend> cannot be used by an interface of type '{kind}'"),
        );
    }
}

/// Returns whether an interface of this type has a tap on the host.
const fn is_tap(kind: InterfaceType) -> bool {
    use InterfaceType::{Bridge, Direct, Ethernet, Network};
    matches!(kind, Bridge | Direct | Ethernet | Network)
}

/// Checks `<driver>`, which only virtio cards have.
fn check_driver(check: &mut Check<'_>, interface: &Interface) {
    let Some(driver) = &interface.driver else {
        return;
    };
    let span = &interface.info.span;
    let card = describe(interface);
    if !is_virtio(interface) && *driver != NetDriver::default() {
        let message = format!("{card}: <driver> is for the model 'virtio' only");
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
                format!("{card}: {attribute} is {size}, expected a power of two"),
            );
        } else if !QUEUE_SIZES.contains(&size) {
            check.error(
                span,
                format!("{card}: {attribute} is {size}, expected 256, 512 or 1024"),
            );
        }
    }

    if driver
        .queues
        .is_some_and(|queues| queues == 0 || queues > MAX_QUEUES)
    {
        check.error(
            span,
            format!("{card}: the number of queues must be from 1 to {MAX_QUEUES}"),
        );
    }
}

/// Checks the host settings, most of which only a tap can have.
fn check_host(check: &mut Check<'_>, interface: &Interface) {
    let span = &interface.info().span;
    let card = describe(interface);
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
            format!("{card}: {element} cannot be used by an interface of type '{kind}'"),
        );
    }

    if interface.mtu.is_some() && !is_virtio(interface) {
        check.error(
            span,
            format!("{card}: <mtu> is for the model 'virtio' only"),
        );
    }
}
