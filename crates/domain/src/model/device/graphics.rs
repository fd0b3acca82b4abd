//! `<graphics>`: where the guest's screen can be seen.

use crate::model::toggle::{OnOff, YesNo};
use crate::xml::span::SourceSpan;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::{Value, words};
use crate::xml::{Element, Visitor};

words! {
    /// How a screen is shown.
    pub enum GraphicsType {
        /// A window on the host's desktop.
        Sdl = "sdl",
        /// VNC.
        Vnc = "vnc",
        /// SPICE.
        Spice = "spice",
        /// D-Bus.
        Dbus = "dbus",
        /// Nowhere, but rendered by the host's graphics card for the others.
        EglHeadless = "egl-headless",
    }
}

words! {
    /// What a screen's server listens on.
    pub enum ListenType {
        /// An address.
        Address = "address",
        /// The address of a host's network.
        Network = "network",
        /// A socket in the file system.
        Socket = "socket",
        /// Nothing: connections are handed over.
        None = "none",
    }
}

words! {
    /// Who else may see the same screen by VNC.
    pub enum SharePolicy {
        /// Whom the client allows.
        AllowExclusive = "allow-exclusive",
        /// Who asks to share it.
        ForceShared = "force-shared",
        /// Everybody.
        Ignore = "ignore",
    }
}

words! {
    /// What becomes of a session when the password changes.
    pub enum ConnectedPolicy {
        /// It fails.
        Fail = "fail",
        /// It ends.
        Disconnect = "disconnect",
        /// It stays.
        Keep = "keep",
    }
}

words! {
    /// A channel of SPICE.
    pub enum SpiceChannelName {
        /// Control.
        Main = "main",
        /// Screen.
        Display = "display",
        /// Keyboard and mouse.
        Inputs = "inputs",
        /// Pointer's shape.
        Cursor = "cursor",
        /// Sound to the client.
        Playback = "playback",
        /// Sound from the client.
        Record = "record",
        /// Smart cards.
        Smartcard = "smartcard",
        /// USB.
        Usbredir = "usbredir",
    }
}

words! {
    /// How a channel of SPICE is protected.
    pub enum SpiceMode {
        /// By either way.
        Any = "any",
        /// Encrypted.
        Secure = "secure",
        /// In the clear.
        Insecure = "insecure",
    }
}

words! {
    /// How SPICE packs images.
    pub enum SpiceImageCompression {
        /// By the image, with global LZ.
        AutoGlz = "auto_glz",
        /// By the image, with LZ.
        AutoLz = "auto_lz",
        /// QUIC.
        Quic = "quic",
        /// Global LZ.
        Glz = "glz",
        /// LZ.
        Lz = "lz",
        /// Not at all.
        Off = "off",
    }
}

words! {
    /// Whether SPICE packs images for slow connections.
    pub enum SpiceWanCompression {
        /// Where it helps.
        Auto = "auto",
        /// Never.
        Never = "never",
        /// Always.
        Always = "always",
    }
}

words! {
    /// What SPICE takes for a video.
    pub enum SpiceStreaming {
        /// What changes often, if large.
        Filter = "filter",
        /// What changes often.
        All = "all",
        /// Nothing.
        Off = "off",
    }
}

words! {
    /// Who draws the pointer.
    pub enum SpiceMouse {
        /// The guest.
        Server = "server",
        /// The client.
        Client = "client",
    }
}

/// A way to see the guest's screen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graphics {
    /// Where the element stands.
    pub span: SourceSpan,
    /// How the screen is shown.
    pub kind: Option<GraphicsType>,
    /// GraphicsPort; -1 for one that is free.
    pub port: Option<GraphicsPort>,
    /// SPICE's encrypted port; -1 for one that is free.
    pub tls_port: Option<GraphicsPort>,
    /// Whether free ports are chosen.
    pub autoport: Option<bool>,
    /// VNC's port for web browsers; -1 for one that is free.
    pub websocket: Option<GraphicsPort>,
    /// Whether that one was chosen.
    pub websocket_generated: Option<bool>,
    /// Address to listen on; the same as the first `<listen>`'s.
    pub listen: Option<String>,
    /// VNC's socket; the same as a `<listen type='socket'>`.
    pub socket: Option<String>,
    /// Layout of the keyboard.
    pub keymap: Option<String>,
    /// Password of VNC or SPICE.
    pub passwd: Option<String>,
    /// When the password ends, in UTC.
    pub passwd_valid_to: Option<String>,
    /// What becomes of a session when the password changes.
    pub connected: Option<ConnectedPolicy>,
    /// Who else may see the screen.
    pub share_policy: Option<SharePolicy>,
    /// Whether VNC's clients may switch the guest off.
    pub power_control: Option<bool>,
    /// Milliseconds that VNC may wait for more output of the guest.
    pub wait: Option<u32>,
    /// How SPICE's channels are protected that do not say so.
    pub default_mode: Option<SpiceMode>,
    /// X display of a window.
    pub display: Option<String>,
    /// X authority of a window.
    pub xauth: Option<String>,
    /// Whether a window covers the screen.
    pub fullscreen: Option<bool>,
    /// Whether D-Bus clients are connected one by one, without a bus.
    pub p2p: Option<bool>,
    /// Address of the D-Bus bus.
    pub address: Option<String>,
    /// What is listened on.
    pub listens: Vec<Listen>,
    /// How SPICE's channels are protected.
    pub channels: Vec<SpiceChannel>,
    /// OpenGL.
    pub gl: Option<GraphicsGl>,
    /// How SPICE packs images.
    pub image: Option<SpiceImageCompression>,
    /// Whether SPICE packs photos for slow connections.
    pub jpeg: Option<SpiceWanCompression>,
    /// Whether SPICE packs images of global LZ for slow connections.
    pub zlib: Option<SpiceWanCompression>,
    /// Whether SPICE packs sound.
    pub playback: Option<OnOff>,
    /// What SPICE takes for a video.
    pub streaming: Option<SpiceStreaming>,
    /// Who draws the pointer.
    pub mouse: Option<SpiceMouse>,
    /// Whether the clipboard is shared.
    pub clipboard: Option<YesNo>,
    /// Whether files can be copied into the guest.
    pub filetransfer: Option<YesNo>,
    /// The audio backend that goes with VNC or D-Bus.
    pub audio: Option<u32>,
}

/// A port, or -1 for one that is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphicsPort(pub Option<u16>);

impl Value for GraphicsPort {
    fn read(text: &str) -> Result<Self, String> {
        if text == "-1" {
            return Ok(Self(None));
        }
        u16::read(text)
            .map(|port| Self(Some(port)))
            .map_err(|expected| format!("{expected}, or -1"))
    }

    fn write(&self) -> String {
        self.0.map_or_else(|| "-1".into(), |port| port.to_string())
    }
}

/// `<listen>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listen {
    /// What is listened on.
    pub kind: Option<ListenType>,
    /// The address.
    pub address: Option<String>,
    /// The host's network.
    pub network: Option<String>,
    /// The socket.
    pub socket: Option<String>,
}

/// `<channel>` of SPICE.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpiceChannel {
    /// Which one.
    pub name: Option<SpiceChannelName>,
    /// How it is protected.
    pub mode: Option<SpiceMode>,
}

/// `<gl>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphicsGl {
    /// Whether OpenGL is used.
    pub enable: Option<bool>,
    /// The host's render node.
    pub rendernode: Option<String>,
}

impl Element for Graphics {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("type", &mut self.kind);
        if v.reading() && self.kind.is_none() {
            v.error("<graphics> needs the attribute 'type'".into());
        }
        // Which attributes there are depends on the kind; without one all of them.
        let is = |kinds: &[GraphicsType], kind: Option<GraphicsType>| {
            kind.is_none_or(|k| kinds.contains(&k))
        };
        let kind = self.kind;
        if is(&[GraphicsType::Vnc, GraphicsType::Spice], kind) {
            self.visit_server(v);
        }
        if is(&[GraphicsType::Vnc], kind) {
            self.visit_vnc(v);
        }
        if is(&[GraphicsType::Spice], kind) {
            self.visit_spice(v);
        }
        if is(&[GraphicsType::Sdl], kind) {
            v.attr("display", &mut self.display);
            v.attr("xauth", &mut self.xauth);
            v.yes_no("fullscreen", &mut self.fullscreen);
        }
        if is(&[GraphicsType::Dbus], kind) {
            v.yes_no("p2p", &mut self.p2p);
            v.attr("address", &mut self.address);
        }
        if !is(&[GraphicsType::Vnc], kind) || kind.is_none() {
            v.child("gl", &mut self.gl);
        }
        if is(&[GraphicsType::Vnc, GraphicsType::Dbus], kind) {
            v.child_word("audio", "id", &mut self.audio);
        }
    }
}

impl Graphics {
    fn visit_server(&mut self, v: &mut dyn Visitor) {
        v.attr("port", &mut self.port);
        if self.kind != Some(GraphicsType::Vnc) {
            v.attr("tlsPort", &mut self.tls_port);
        }
        v.yes_no("autoport", &mut self.autoport);
        v.attr("listen", &mut self.listen);
        v.attr("keymap", &mut self.keymap);
        v.attr("passwd", &mut self.passwd);
        v.attr("passwdValidTo", &mut self.passwd_valid_to);
        v.attr("connected", &mut self.connected);
        v.children("listen", &mut self.listens);
    }

    fn visit_vnc(&mut self, v: &mut dyn Visitor) {
        visit_as::<FilePath>(&mut self.socket, |path| v.attr("socket", path));
        v.attr("websocket", &mut self.websocket);
        v.yes_no("websocketGenerated", &mut self.websocket_generated);
        v.attr("sharePolicy", &mut self.share_policy);
        v.yes_no("powerControl", &mut self.power_control);
        v.attr("wait", &mut self.wait);
    }

    fn visit_spice(&mut self, v: &mut dyn Visitor) {
        v.attr("defaultMode", &mut self.default_mode);
        v.children("channel", &mut self.channels);
        v.child_word("image", "compression", &mut self.image);
        v.child_word("jpeg", "compression", &mut self.jpeg);
        v.child_word("zlib", "compression", &mut self.zlib);
        v.child_word("playback", "compression", &mut self.playback);
        v.child_word("streaming", "mode", &mut self.streaming);
        v.child_word("mouse", "mode", &mut self.mouse);
        v.child_word("clipboard", "copypaste", &mut self.clipboard);
        v.child_word("filetransfer", "enable", &mut self.filetransfer);
    }
}

impl Element for Listen {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("address", &mut self.address);
        v.attr("network", &mut self.network);
        visit_as::<FilePath>(&mut self.socket, |path| v.attr("socket", path));
        if self.kind.is_none() {
            v.error("<listen> needs the attribute 'type'".into());
        }
    }
}

impl Element for SpiceChannel {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.attr("mode", &mut self.mode);
        if self.name.is_none() || self.mode.is_none() {
            v.error("<channel> of a <graphics> needs the attributes 'name' and 'mode'".into());
        }
    }
}

impl Element for GraphicsGl {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("enable", &mut self.enable);
        visit_as::<FilePath>(&mut self.rendernode, |path| v.attr("rendernode", path));
    }
}
