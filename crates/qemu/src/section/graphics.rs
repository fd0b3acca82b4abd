//! `<graphics>`: outputs of the guest's screen (`-vnc`, `-spice`, `-display`).

use std::collections::BTreeSet;

use passthru_domain::Domain;
use passthru_domain::device::Graphics;
use passthru_domain::device::graphics::{
    GraphicsPort, GraphicsType, Listen, ListenType, SpiceMode, SpiceMouse,
};
use passthru_domain::toggle::{OnOff, YesNo};

use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Opt};

/// Folder of SPICE's certificates.
const SPICE_CERTIFICATES: &str = "/etc/pki/libvirt-spice";

/// Address at which a screen is served if the domain names none.
const LOCAL: &str = "127.0.0.1";

/// First port of VNC. Display N has the port `VNC_PORTS + N`.
const VNC_PORTS: u16 = 5900;

/// First port of VNC for web browsers (WebSocket).
const WEBSOCKET_PORTS: u16 = 5700;

pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let mut ports = Ports::new(&context.domain.devices.graphics);
    let mut options = Vec::new();
    for graphics in &context.domain.devices.graphics {
        options.extend(match graphics.kind {
            Some(GraphicsType::Vnc) => vnc(context, graphics, &mut ports),
            Some(GraphicsType::Spice) => spice(context, graphics, &mut ports),
            Some(GraphicsType::Sdl) => vec![Opt::list("-display", sdl(graphics))],
            Some(GraphicsType::EglHeadless) => vec![Opt::list("-display", egl_headless(graphics))],
            Some(GraphicsType::Dbus) => vec![Opt::list("-display", dbus(context, graphics))],
            None => Vec::new(),
        });
    }

    Ok(options)
}

/// Ports of all screens of the guest. A chosen port is the first one that is free.
struct Ports(BTreeSet<u16>);

impl Ports {
    fn new(graphics: &[Graphics]) -> Self {
        let said = graphics
            .iter()
            .flat_map(|g| [g.port, g.tls_port, g.websocket]);
        Self(said.filter_map(|port| port?.0).collect())
    }

    fn next(&mut self, from: u16) -> u16 {
        let free = (from..=u16::MAX).find(|port| self.0.insert(*port));
        free.unwrap_or(from)
    }

    fn said_or_next(&mut self, port: Option<GraphicsPort>, from: u16) -> u16 {
        port.and_then(|port| port.0)
            .unwrap_or_else(|| self.next(from))
    }
}

fn listen(graphics: &Graphics) -> Listen {
    graphics.listens.first().cloned().unwrap_or_default()
}

fn vnc(context: &Context<'_>, graphics: &Graphics, ports: &mut Ports) -> Vec<Opt> {
    let listen = listen(graphics);
    let list = match listen.kind {
        Some(ListenType::Socket) => {
            let path = listen
                .socket
                .unwrap_or_else(|| context.state_path("vnc.sock"));
            List::headless().with("vnc", format!("unix:{path}"))
        }
        Some(ListenType::None) => List::new("none"),
        _ => {
            let display = ports
                .said_or_next(graphics.port, VNC_PORTS)
                .wrapping_sub(VNC_PORTS);
            let address = listen.address.unwrap_or_else(|| LOCAL.into());
            let list = List::new(format!("{}:{display}", bracketed(&address)));
            let websocket = graphics
                .websocket
                .map(|port| ports.said_or_next(Some(port), WEBSOCKET_PORTS));
            list.maybe("websocket", websocket.map(u32::from))
        }
    };
    let list = list
        .maybe("share", graphics.share_policy.map(|policy| policy.as_str()))
        .maybe("password", graphics.passwd.as_ref().map(|_| true))
        .maybe("power-control", graphics.power_control)
        .with(
            "audiodev",
            format!(
                "audio{}",
                graphics
                    .audio
                    .unwrap_or_else(|| super::audio::first(context))
            ),
        );
    with_keymap(Opt::list("-vnc", list), graphics)
}

/// Adds `-k`, the keyboard layout of a screen that is served to clients.
fn with_keymap(server: Opt, graphics: &Graphics) -> Vec<Opt> {
    let layout = graphics.keymap.as_deref();
    let keymap = layout.map(|layout| Opt::plain("-k", layout));
    [server].into_iter().chain(keymap).collect()
}

/// Returns an address, in brackets if it is an IPv6 address.
fn bracketed(address: &str) -> String {
    if address.contains(':') {
        format!("[{address}]")
    } else {
        address.into()
    }
}

/// Returns `-spice`, with its settings in libvirt's order
/// (`qemuBuildGraphicsSPICECommandLine`), and `-k`.
fn spice(context: &Context<'_>, graphics: &Graphics, ports: &mut Ports) -> Vec<Opt> {
    let listen = listen(graphics);
    let has_tls = has_tls_port(graphics, &listen);
    let list = match listen.kind {
        Some(ListenType::Socket) => {
            let path = listen
                .socket
                .unwrap_or_else(|| context.state_path("spice.sock"));
            List::headless().with("unix", true).with("addr", path)
        }
        Some(ListenType::None) => List::headless().with("port", 0u32),
        _ => spice_ports(graphics, listen, ports),
    };
    let list = list
        .maybe(
            "agent-mouse",
            graphics.mouse.map(|mouse| mouse == SpiceMouse::Client),
        )
        // Without this, QEMU refuses every client until a password is set. A password never
        // stands on the line: the guest's manager sets it by QMP.
        .maybe(
            "disable-ticketing",
            graphics.passwd.is_none().then_some(true),
        )
        .maybe("x509-dir", has_tls.then_some(SPICE_CERTIFICATES));
    let list = spice_channels(graphics, list);
    let list = spice_media(graphics, list)
        .maybe(
            "disable-copy-paste",
            (graphics.clipboard == Some(YesNo::No)).then_some(true),
        )
        .maybe(
            "disable-agent-file-xfer",
            (graphics.filetransfer == Some(YesNo::No)).then_some(true),
        )
        .maybe("gl", is_gl(graphics).then_some(true))
        .maybe("rendernode", rendernode_of_gl(graphics))
        .with("seamless-migration", true);
    with_keymap(Opt::list("-spice", list), graphics)
}

/// Returns whether SPICE has a port for encrypted connections, and so needs certificates.
fn has_tls_port(graphics: &Graphics, listen: &Listen) -> bool {
    let is_tcp = !matches!(listen.kind, Some(ListenType::Socket | ListenType::None));
    is_tcp && graphics.tls_port.is_some_and(|port| port.0.is_some())
}

fn spice_ports(graphics: &Graphics, listen: Listen, ports: &mut Ports) -> List {
    let is_chosen = graphics.autoport == Some(true);
    let chosen = is_chosen.then(|| ports.next(VNC_PORTS + 1));
    let port = graphics.port.and_then(|port| port.0).or(chosen);
    let tls = graphics.tls_port.and_then(|port| port.0);
    List::headless()
        .maybe("port", port.map(u32::from))
        .maybe("tls-port", tls.map(u32::from))
        .with("addr", listen.address.unwrap_or_else(|| LOCAL.into()))
}

fn spice_channels(graphics: &Graphics, list: List) -> List {
    let usual = graphics
        .default_mode
        .and_then(channel_key)
        .map(|key| (key, "default"));
    let said = graphics
        .channels
        .iter()
        .filter_map(|c| Some((channel_key(c.mode?)?, c.name?.as_str())));
    usual
        .into_iter()
        .chain(said)
        .fold(list, |list, (key, channel)| list.with(key, channel))
}

/// Returns the option that names a channel of a mode; `None` for a mode that needs no option.
const fn channel_key(mode: SpiceMode) -> Option<&'static str> {
    match mode {
        SpiceMode::Secure => Some("tls-channel"),
        SpiceMode::Insecure => Some("plaintext-channel"),
        SpiceMode::Any => None,
    }
}

fn spice_media(graphics: &Graphics, list: List) -> List {
    list.maybe("image-compression", graphics.image.map(|i| i.as_str()))
        .maybe("jpeg-wan-compression", graphics.jpeg.map(|j| j.as_str()))
        .maybe(
            "zlib-glz-wan-compression",
            graphics.zlib.map(|z| z.as_str()),
        )
        .maybe(
            "playback-compression",
            graphics.playback.map(|p| p == OnOff::On),
        )
        .maybe("streaming-video", graphics.streaming.map(|s| s.as_str()))
}

fn is_gl(graphics: &Graphics) -> bool {
    graphics.gl.as_ref().and_then(|gl| gl.enable) == Some(true)
}

fn rendernode(graphics: &Graphics) -> Option<String> {
    graphics.gl.as_ref().and_then(|gl| gl.rendernode.clone())
}

/// Returns the render node of a screen that uses OpenGL: `<gl enable='no'/>` has none.
fn rendernode_of_gl(graphics: &Graphics) -> Option<String> {
    is_gl(graphics).then(|| rendernode(graphics)).flatten()
}

/// Returns the variables by which SDL finds the X server of a window: `DISPLAY`, `XAUTHORITY`.
pub(crate) fn environment(domain: &Domain) -> Vec<(String, String)> {
    let mut windows = domain.devices.graphics.iter();
    let Some(window) = windows.find(|screen| screen.kind == Some(GraphicsType::Sdl)) else {
        return Vec::new();
    };
    let authority = window.xauth.clone();
    let display = window.display.clone();
    let authority = authority.map(|path| ("XAUTHORITY".to_owned(), path));
    let display = display.map(|name| ("DISPLAY".to_owned(), name));
    authority.into_iter().chain(display).collect()
}

fn sdl(graphics: &Graphics) -> List {
    let gl = graphics.gl.as_ref().and_then(|gl| gl.enable);
    List::new("sdl")
        .maybe("gl", gl)
        .maybe("full-screen", graphics.fullscreen.filter(|full| *full))
}

fn egl_headless(graphics: &Graphics) -> List {
    List::new("egl-headless").maybe("rendernode", rendernode(graphics))
}

fn dbus(context: &Context<'_>, graphics: &Graphics) -> List {
    let list = List::new("dbus");
    let list = match graphics.p2p {
        Some(true) => list.with("p2p", true),
        _ => list.maybe("addr", graphics.address.clone()),
    };
    list.maybe("gl", is_gl(graphics).then_some(true))
        .maybe("rendernode", rendernode_of_gl(graphics))
        .with(
            "audiodev",
            format!(
                "audio{}",
                graphics
                    .audio
                    .unwrap_or_else(|| super::audio::first(context))
            ),
        )
}

/// Returns `-display none` for a guest without screens.
pub(crate) fn headless(context: &Context<'_>) -> Option<Opt> {
    context
        .domain
        .devices
        .graphics
        .is_empty()
        .then(|| Opt::plain("-display", "none"))
}
