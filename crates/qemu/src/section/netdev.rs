//! `-netdev`: the host's end of a network card.

use passthru_domain::device::interface::{Interface, InterfaceType};
use passthru_domain::device::net::{IpFamily, NetIp, NetSource, NetSourceMode};
use passthru_domain::device::net_driver::{NetBackendType, NetDriverName};

use crate::context::{Context, STATE_DIR};
use crate::error::Error;
use crate::line::{List, Object, Opt, Term, Want, WantKind};

/// Largest number of queue pairs of a tap. Validation refuses more.
const MOST_QUEUES: u32 = 256;

/// Milliseconds after which a lost connection to passt is made again.
const PASST_RECONNECT: u32 = 5000;

/// Returns the host's end of a card, with an id.
pub(crate) fn options(
    context: &Context<'_>,
    interface: &Interface,
    id: String,
) -> Result<Vec<Opt>, Error> {
    let kind = interface.kind.unwrap_or(InterfaceType::User);
    let source = interface.source.clone().unwrap_or_default();
    let netdev = match kind {
        InterfaceType::User if is_passt(interface) => passt(context, interface),
        InterfaceType::User => user(interface),
        InterfaceType::Server => socket("listen", &source),
        InterfaceType::Client => socket("connect", &source),
        InterfaceType::Mcast => socket("mcast", &source),
        InterfaceType::Udp => {
            let local = source.local.clone().unwrap_or_default();
            let local = host_port(local.address.as_ref(), local.port);
            socket("udp", &source).with("localaddr", local)
        }
        InterfaceType::Vdpa => vdpa(context, interface, &source),
        InterfaceType::VhostUser => {
            let chardev = Opt::list("-chardev", vhost_user(context, interface, &source));
            let netdev = Object::default()
                .with("type", "vhost-user")
                .with("chardev", format!("char{}", interface.info.id()))
                .maybe("queues", queues(interface))
                .with("id", id);
            return Ok(vec![chardev, Opt::json("-netdev", netdev)]);
        }
        InterfaceType::Ethernet
        | InterfaceType::Bridge
        | InterfaceType::Network
        | InterfaceType::Direct => tap(context, interface, kind)?,
        InterfaceType::Hostdev
        | InterfaceType::Internal
        | InterfaceType::Null
        | InterfaceType::Vds => {
            return Err(Error::unsupported(format!(
                "an <interface> of type '{kind}'"
            )));
        }
    };
    Ok(vec![Opt::json("-netdev", netdev.with("id", id))])
}

/// Returns a socket to another QEMU. `mode` is the property that holds the address.
fn socket(mode: &'static str, source: &NetSource) -> Object {
    Object::default()
        .with("type", "socket")
        .with(mode, host_port(source.address.as_ref(), source.port))
}

/// Returns the number of queue pairs, if there are several.
pub(crate) fn queues(interface: &Interface) -> Option<u32> {
    let shared = matches!(
        interface.kind,
        Some(
            InterfaceType::VhostUser
                | InterfaceType::Vdpa
                | InterfaceType::Ethernet
                | InterfaceType::Bridge
                | InterfaceType::Network
                | InterfaceType::Direct
        )
    );
    let queues = interface.driver.as_ref().and_then(|driver| driver.queues);
    queues
        .filter(|queues| shared && *queues > 1)
        .map(|queues| queues.min(MOST_QUEUES))
}

fn host_port(address: Option<&String>, port: Option<u16>) -> String {
    let address = address.map_or("", String::as_str);
    format!("{address}:{}", port.unwrap_or_default())
}

fn is_passt(interface: &Interface) -> bool {
    interface.backend.as_ref().and_then(|backend| backend.kind) == Some(NetBackendType::Passt)
}

/// Returns a network within the emulator, with the guest's addresses in it.
fn user(interface: &Interface) -> Object {
    let v4 = address_of(interface, IpFamily::Ipv4).map(|ip| {
        let address = ip.address.as_deref().unwrap_or_default();
        match ip.prefix {
            Some(prefix) => format!("{address}/{prefix}"),
            None => address.to_owned(),
        }
    });
    let v6 = address_of(interface, IpFamily::Ipv6);
    Object::default()
        .with("type", "user")
        .maybe("net", v4)
        .maybe("ipv6-prefix", v6.and_then(|ip| ip.address.clone()))
        .maybe("ipv6-prefixlen", v6.and_then(|ip| ip.prefix).map(u32::from))
}

/// Returns the guest's first address of a family. An address without a family is IPv4.
fn address_of(interface: &Interface, family: IpFamily) -> Option<&NetIp> {
    let mut ips = interface.ips.iter();
    ips.find(|ip| ip.family.unwrap_or(IpFamily::Ipv4) == family)
}

fn passt_socket(context: &Context<'_>, interface: &Interface) -> String {
    format!(
        "{STATE_DIR}/passt/{}-{}.socket",
        context.name(),
        interface.info.id()
    )
}

fn passt(context: &Context<'_>, interface: &Interface) -> Object {
    let address = Object::default()
        .with("type", "unix")
        .with("path", passt_socket(context, interface));
    Object::default()
        .with("type", "stream")
        .with("addr", address)
        .with("server", false)
        .with("reconnect-ms", PASST_RECONNECT)
}

/// Returns the socket of a process that moves the packets.
fn vhost_user(context: &Context<'_>, interface: &Interface, source: &NetSource) -> List {
    let list = List::new("socket").with("id", format!("char{}", interface.info.id()));
    if is_passt(interface) {
        let path = passt_socket(context, interface);
        return list
            .with("path", path)
            .with("reconnect-ms", PASST_RECONNECT);
    }

    let list = list.maybe("path", source.path.clone());
    if source.mode == Some(NetSourceMode::Server) {
        return list.with("server", true);
    }
    let again = source
        .reconnect
        .as_ref()
        .map(|reconnect| match reconnect.enabled {
            Some(true) => u64::from(reconnect.timeout.unwrap_or(0)) * 1000,
            _ => 0,
        });
    list.maybe("reconnect-ms", again)
}

fn vdpa(context: &Context<'_>, interface: &Interface, source: &NetSource) -> Object {
    let path = source.dev.clone().unwrap_or_default();
    let name = format!("{}-vdpa", interface.info.id());
    let device = if context.is_standalone() {
        Term::from(path)
    } else {
        Term::from(Want {
            name,
            kind: WantKind::NodeSet { path },
        })
    };
    Object::default()
        .with("type", "vhost-vdpa")
        .with("vhostdev", device)
        .maybe("queues", queues(interface))
}

/// Returns a tap. For a virtio card, the kernel moves the packets (vhost), unless the domain leaves
/// that to QEMU.
fn tap(context: &Context<'_>, interface: &Interface, kind: InterfaceType) -> Result<Object, Error> {
    if context.is_standalone() {
        return standalone_tap(interface, kind);
    }
    let id = interface.info.id();
    let count = queues(interface).unwrap_or(1);
    let ifname = interface
        .target
        .as_ref()
        .and_then(|target| target.dev.clone());
    let tap = |n| Want {
        name: numbered(format!("{id}-tap"), n, count),
        kind: WantKind::Tap {
            ifname: ifname.clone(),
            multiqueue: count > 1,
        },
    };
    let node = interface
        .backend
        .as_ref()
        .and_then(|backend| backend.vhost.clone());
    let vhost = |n| Want {
        name: numbered(format!("{id}-vhost"), n, count),
        kind: WantKind::Vhost {
            path: node.clone().unwrap_or_else(|| "/dev/vhost-net".into()),
        },
    };
    let netdev = Object::default().with("type", "tap");
    let mut netdev = with_queues(netdev, ["fd", "fds"], (0..count).map(tap));
    if is_vhost(context, interface) {
        let keys = ["vhostfd", "vhostfds"];
        netdev = with_queues(netdev.with("vhost", true), keys, (0..count).map(vhost));
    }

    Ok(netdev.maybe("sndbuf", interface.sndbuf))
}

/// Adds the descriptors of queues. `keys` are the property for one queue, and that for several.
fn with_queues(
    netdev: Object,
    [one, several]: [&'static str; 2],
    wants: impl Iterator<Item = Want>,
) -> Object {
    let mut wants: Vec<Term> = wants.map(Term::from).collect();
    match wants.pop() {
        Some(want) if wants.is_empty() => netdev.with(one, want),
        Some(want) => {
            wants.push(want);
            netdev.with(several, Term::Joined(wants))
        }
        None => netdev,
    }
}

/// Returns a name with the number of the queue, if there are several.
fn numbered(name: String, n: u32, count: u32) -> String {
    if count == 1 {
        name
    } else {
        format!("{name}{n}")
    }
}

fn is_vhost(context: &Context<'_>, interface: &Interface) -> bool {
    let model = interface
        .model
        .as_ref()
        .unwrap_or(&context.machine.interface);
    let name = interface.driver.as_ref().and_then(|driver| driver.name);
    model.virtio().is_some() && name != Some(NetDriverName::Qemu)
}

/// Returns a tap that QEMU makes by itself, with its own helper for a bridge.
fn standalone_tap(interface: &Interface, kind: InterfaceType) -> Result<Object, Error> {
    match kind {
        InterfaceType::Bridge => Ok(Object::default().with("type", "bridge").maybe(
            "br",
            interface
                .source
                .as_ref()
                .and_then(|source| source.bridge.clone()),
        )),
        InterfaceType::Ethernet => Ok(Object::default()
            .with("type", "tap")
            .maybe(
                "ifname",
                interface
                    .target
                    .as_ref()
                    .and_then(|target| target.dev.clone()),
            )
            .with("script", script(interface.script.as_deref()))
            .with("downscript", script(interface.downscript.as_deref()))
            .maybe("queues", queues(interface))
            .maybe("sndbuf", interface.sndbuf)),
        _ => Err(Error::unsupported_on(
            format!("an <interface> of type '{kind}'"),
            "a standalone command line",
        )),
    }
}

/// Returns the script of a tap; `no` for none.
fn script(path: Option<&str>) -> &str {
    path.unwrap_or("no")
}
