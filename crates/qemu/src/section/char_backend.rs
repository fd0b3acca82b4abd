//! Character backends (`-chardev`): the host's ends of serial ports, consoles and channels.

use passthru_domain::device::chardev::{
    AgentMouse, CharBackend, CharProtocol, CharSource, CharSourceType, CharTargetType, Chardev,
    SocketMode,
};
use passthru_domain::toggle::YesNo;

use crate::context::Context;
use crate::line::{List, Object, Opt, Want, WantKind};

/// Folder of the certificates for character devices.
const CERTIFICATES: &str = "/etc/pki/libvirt-chardev";

/// Name of the channel of SPICE's agent in the guest.
const SPICE_CHANNEL: &str = "com.redhat.spice.0";

/// Returns the backend of a serial port.
pub(crate) fn serial(context: &Context<'_>, backend: &CharBackend, id: &str) -> Vec<Opt> {
    options(
        context,
        backend,
        id,
        &Purpose {
            device: "serial",
            spice: "vdagent",
            path: None,
        },
    )
}

/// Returns the backend of a parallel port.
pub(crate) fn parallel(context: &Context<'_>, backend: &CharBackend, id: &str) -> Vec<Opt> {
    options(
        context,
        backend,
        id,
        &Purpose {
            device: "parallel",
            spice: "vdagent",
            path: None,
        },
    )
}

/// Returns the backend of a redirected USB device.
pub(crate) fn usb(context: &Context<'_>, backend: &CharBackend, id: &str) -> Vec<Opt> {
    options(
        context,
        backend,
        id,
        &Purpose {
            device: "serial",
            spice: "usbredir",
            path: None,
        },
    )
}

/// Returns the backend of a smart card.
pub(crate) fn smartcard(context: &Context<'_>, backend: &CharBackend, id: &str) -> Vec<Opt> {
    options(
        context,
        backend,
        id,
        &Purpose {
            device: "serial",
            spice: "smartcard",
            path: None,
        },
    )
}

/// Returns the backend of a channel. A socket without a path is in the guest's folder.
pub(crate) fn channel(context: &Context<'_>, channel: &Chardev) -> Vec<Opt> {
    let id = channel.info.id();
    let name = channel
        .target
        .as_ref()
        .and_then(|target| target.name.clone());
    let path = context.state_path(&format!(
        "{}.sock",
        name.unwrap_or_else(|| id.to_owned()).replace('/', "_")
    ));
    options(
        context,
        &channel.backend,
        id,
        &Purpose {
            device: "serial",
            spice: "vdagent",
            path: Some(path),
        },
    )
}

/// Returns the name by which the guest finds a channel.
pub(crate) fn channel_name(channel: &Chardev) -> Option<String> {
    let target = channel
        .target
        .as_ref()
        .filter(|t| t.kind == Some(CharTargetType::Virtio));
    let agent = matches!(
        channel.backend.kind,
        Some(CharSourceType::Spicevmc | CharSourceType::QemuVdagent)
    );
    target
        .and_then(|target| target.name.clone())
        .or(agent.then(|| SPICE_CHANNEL.to_owned()))
}

/// Words and defaults of a backend, by the kind of device.
struct Purpose {
    /// Name of QEMU's backend for a device node of the host.
    device: &'static str,
    /// Name of the SPICE channel.
    spice: &'static str,
    /// Path of a listening socket whose domain names none.
    path: Option<String>,
}

fn options(context: &Context<'_>, backend: &CharBackend, id: &str, purpose: &Purpose) -> Vec<Opt> {
    let kind = backend.kind.unwrap_or(CharSourceType::Pty);
    let source = backend.source().cloned().unwrap_or_default();
    let list = |name: &str| List::new(name).with("id", format!("char{id}"));
    let end = match kind {
        CharSourceType::Pty | CharSourceType::Null | CharSourceType::Stdio | CharSourceType::Vc => {
            list(kind.as_str())
        }
        CharSourceType::File => file(context, list("file"), &source, id),
        CharSourceType::Dev => list(purpose.device).maybe("path", source.path),
        CharSourceType::Pipe => list("pipe").maybe("path", source.path),
        CharSourceType::Unix => unix(context, list("socket"), backend, id, purpose),
        CharSourceType::Tcp => tcp(list("socket"), backend, id),
        CharSourceType::Udp => udp(list("udp"), backend),
        CharSourceType::Spicevmc => list("spicevmc").with("name", purpose.spice),
        CharSourceType::Spiceport => list("spiceport").maybe("name", source.channel),
        CharSourceType::Dbus => list("dbus").maybe("name", source.channel),
        CharSourceType::QemuVdagent => list("qemu-vdagent")
            .with("name", "vdagent")
            .maybe(
                "clipboard",
                source.clipboard.map(|clipboard| clipboard == YesNo::Yes),
            )
            .maybe(
                "mouse",
                source.mouse.map(|mouse| mouse == AgentMouse::Client),
            ),
        // Refused by validation.
        CharSourceType::Nmdm => list("null"),
    };
    let mut options = Vec::from_iter(credentials(backend, id));
    options.push(Opt::list("-chardev", log(context, end, backend, id)));
    options
}

/// Returns the backend of a file. A managed line names an fd set: the manager has opened the file,
/// and truncated it if wanted, so QEMU must only append.
fn file(context: &Context<'_>, list: List, source: &CharSource, id: &str) -> List {
    let path = source.path.clone().unwrap_or_default();
    if context.is_standalone() {
        return list.with("path", path).maybe("append", source.append);
    }
    let kind = WantKind::Output {
        path,
        append: source.append == Some(true),
    };
    list.with(
        "path",
        Want {
            name: format!("{id}-source"),
            kind,
        },
    )
    .with("append", true)
}

/// Adds the file that all output is also written to.
fn log(context: &Context<'_>, list: List, backend: &CharBackend, id: &str) -> List {
    let Some(log) = &backend.log else { return list };
    let path = log.file.clone().unwrap_or_default();
    if context.is_standalone() {
        return list.with("logfile", path).maybe("logappend", log.append);
    }
    let kind = WantKind::Output {
        path,
        append: log.append != Some(false),
    };
    list.with(
        "logfile",
        Want {
            name: format!("{id}-log"),
            kind,
        },
    )
    .with("logappend", true)
}

fn unix(
    context: &Context<'_>,
    list: List,
    backend: &CharBackend,
    id: &str,
    purpose: &Purpose,
) -> List {
    let said = backend.path().map(str::to_owned);
    if said.is_some() && backend.mode() == SocketMode::Connect {
        return reconnecting(list.maybe("path", said), backend);
    }
    let path = said.or_else(|| purpose.path.clone()).unwrap_or_default();
    if context.is_standalone() {
        return listening(list.with("path", path));
    }
    listening(list.with(
        "fd",
        Want {
            name: format!("{id}-source"),
            kind: WantKind::Listener { path },
        },
    ))
}

fn tcp(list: List, backend: &CharBackend, id: &str) -> List {
    let source = backend.source().cloned().unwrap_or_default();
    let list = list
        .with("host", source.host.unwrap_or_default())
        .maybe("port", source.service)
        .maybe(
            "telnet",
            (backend.protocol == Some(CharProtocol::Telnet)).then_some(true),
        )
        .maybe(
            "tls-creds",
            (source.tls == Some(true)).then(|| credentials_id(id)),
        );
    match backend.mode() {
        SocketMode::Bind => listening(list),
        SocketMode::Connect => reconnecting(list, backend),
    }
}

fn credentials_id(id: &str) -> String {
    format!("objchar{id}_tls0")
}

/// Returns the object of the certificates, for an encrypted connection.
fn credentials(backend: &CharBackend, id: &str) -> Option<Opt> {
    backend.source().filter(|source| source.tls == Some(true))?;
    let listens = backend.mode() == SocketMode::Bind;
    let object = Object::qom("tls-creds-x509", credentials_id(id))
        .with("dir", CERTIFICATES)
        .with("endpoint", if listens { "server" } else { "client" })
        .with("verify-peer", !listens);
    Some(Opt::object(object))
}

fn udp(list: List, backend: &CharBackend) -> List {
    let to = backend
        .udp(SocketMode::Connect)
        .cloned()
        .unwrap_or_default();
    let list = list
        .with("host", to.host.unwrap_or_default())
        .maybe("port", to.service);
    match backend.udp(SocketMode::Bind).cloned() {
        None => list.with("localaddr", "").with("localport", "0"),
        Some(from) => list
            .with("localaddr", from.host.unwrap_or_default())
            .with("localport", from.service.unwrap_or_else(|| "0".into())),
    }
}

/// Adds the time in milliseconds after which a lost connection is made again; 0 for never.
fn reconnecting(list: List, backend: &CharBackend) -> List {
    let reconnect = backend
        .source()
        .and_then(|source| source.reconnect.as_ref());
    let milliseconds = reconnect.map(|reconnect| match reconnect.enabled {
        Some(true) => u64::from(reconnect.timeout.unwrap_or(0)) * 1000,
        _ => 0,
    });
    list.maybe("reconnect-ms", milliseconds)
}

pub(crate) fn listening(list: List) -> List {
    list.with("server", true).with("wait", false)
}
