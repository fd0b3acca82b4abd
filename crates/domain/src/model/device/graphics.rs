//! `<graphics>`: outputs of the guest's screen.

use super::display_password::DisplayPassword;
use crate::model::password::Password;
use crate::model::toggle::{OnOff, YesNo};
use crate::model::utc_time::UtcTime;
use crate::xml::span::SourceSpan;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::{Value, words};
use crate::xml::{Element, Visitor};

words! {
    /// The kind of an output.
    pub enum GraphicsType {
        /// A window on the host's desktop (SDL).
        Sdl = "sdl",
        /// VNC.
        Vnc = "vnc",
        /// SPICE.
        Spice = "spice",
        /// D-Bus.
        Dbus = "dbus",
        /// Rendering on the host's graphics card for the other outputs.
        EglHeadless = "egl-headless",
    }
}

words! {
    /// The kind of a server's listening address.
    pub enum ListenType {
        /// An IP address or host name.
        Address = "address",
        /// The address of a host's network.
        Network = "network",
        /// A Unix socket.
        Socket = "socket",
        /// No address: the caller hands over connections.
        None = "none",
    }
}

words! {
    /// The rule for several VNC clients of one screen.
    pub enum SharePolicy {
        /// A client may ask for exclusive access.
        AllowExclusive = "allow-exclusive",
        /// Clients that ask for exclusive access are refused.
        ForceShared = "force-shared",
        /// All clients share the screen.
        Ignore = "ignore",
    }
}

words! {
    /// The handling of sessions at a change of the password.
    pub enum ConnectedPolicy {
        /// The change fails.
        Fail = "fail",
        /// Sessions end.
        Disconnect = "disconnect",
        /// Sessions continue.
        Keep = "keep",
    }
}

words! {
    /// The name of a SPICE channel.
    pub enum SpiceChannelName {
        /// Control.
        Main = "main",
        /// Screen.
        Display = "display",
        /// Keyboard and mouse.
        Inputs = "inputs",
        /// Pointer shape.
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
    /// The encryption of a SPICE channel.
    pub enum SpiceMode {
        /// Encrypted or not, as the client chooses.
        Any = "any",
        /// Encrypted.
        Secure = "secure",
        /// Not encrypted.
        Insecure = "insecure",
    }
}

words! {
    /// SPICE's compression of images.
    pub enum SpiceImageCompression {
        /// By image, including global LZ.
        AutoGlz = "auto_glz",
        /// By image, including LZ.
        AutoLz = "auto_lz",
        /// QUIC.
        Quic = "quic",
        /// Global LZ.
        Glz = "glz",
        /// LZ.
        Lz = "lz",
        /// No compression.
        Off = "off",
    }
}

words! {
    /// SPICE's compression of images for slow connections.
    pub enum SpiceWanCompression {
        /// Compression on slow connections.
        Auto = "auto",
        /// No compression.
        Never = "never",
        /// Compression on all connections.
        Always = "always",
    }
}

words! {
    /// The screen areas that SPICE streams as video.
    pub enum SpiceStreaming {
        /// Large areas that change often.
        Filter = "filter",
        /// All areas that change often.
        All = "all",
        /// None.
        Off = "off",
    }
}

words! {
    /// The side that draws the pointer.
    pub enum SpiceMouse {
        /// The guest.
        Server = "server",
        /// The client.
        Client = "client",
    }
}

/// `<graphics>`: an output of the guest's screen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graphics {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Kind of the output.
    pub kind: Option<GraphicsType>,
    /// Port; -1 for a free one.
    pub port: Option<GraphicsPort>,
    /// Encrypted port (SPICE); -1 for a free one.
    pub tls_port: Option<GraphicsPort>,
    /// Choice of free ports.
    pub autoport: Option<bool>,
    /// Port for web browsers (VNC); -1 for a free one.
    pub websocket: Option<GraphicsPort>,
    /// True if the web browser port was chosen automatically.
    pub websocket_generated: Option<bool>,
    /// Address to listen on, equal to that of the first `<listen>`.
    pub listen: Option<String>,
    /// Path of the socket (VNC), equal to that of `<listen type='socket'>`.
    pub socket: Option<String>,
    /// Keyboard layout.
    pub keymap: Option<String>,
    /// Password (VNC, SPICE).
    pub passwd: Option<Password>,
    /// End of the password's validity, in UTC.
    pub passwd_valid_to: Option<UtcTime>,
    /// Handling of sessions at a change of the password.
    pub connected: Option<ConnectedPolicy>,
    /// Rule for several clients (VNC).
    pub share_policy: Option<SharePolicy>,
    /// Permission of clients to power the guest off (VNC).
    pub power_control: Option<bool>,
    /// Milliseconds that the server may wait for more output of the guest (VNC).
    pub wait: Option<u32>,
    /// Encryption of channels without a mode of their own (SPICE).
    pub default_mode: Option<SpiceMode>,
    /// X display of the window.
    pub display: Option<String>,
    /// Path of the X authority file.
    pub xauth: Option<String>,
    /// Full screen window.
    pub fullscreen: Option<bool>,
    /// Peer-to-peer connections of D-Bus clients, without a bus.
    pub p2p: Option<bool>,
    /// Address of the D-Bus bus.
    pub address: Option<String>,
    /// Listening addresses.
    pub listens: Vec<Listen>,
    /// Encryption by channel (SPICE).
    pub channels: Vec<SpiceChannel>,
    /// OpenGL.
    pub gl: Option<GraphicsGl>,
    /// Compression of images (SPICE).
    pub image: Option<SpiceImageCompression>,
    /// JPEG compression for slow connections (SPICE).
    pub jpeg: Option<SpiceWanCompression>,
    /// Compression of global LZ images for slow connections (SPICE).
    pub zlib: Option<SpiceWanCompression>,
    /// Compression of sound (SPICE).
    pub playback: Option<OnOff>,
    /// Screen areas that are streamed as video (SPICE).
    pub streaming: Option<SpiceStreaming>,
    /// Side that draws the pointer.
    pub mouse: Option<SpiceMouse>,
    /// Sharing of the clipboard.
    pub clipboard: Option<YesNo>,
    /// Copying of files into the guest.
    pub filetransfer: Option<YesNo>,
    /// Id of the `<audio>` for this output (VNC, D-Bus).
    pub audio: Option<u32>,
}

/// A port, or -1 for a free one.
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

/// `<listen>`: a listening address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listen {
    /// Kind of the address.
    pub kind: Option<ListenType>,
    /// IP address or host name.
    pub address: Option<String>,
    /// Name of the host's network.
    pub network: Option<String>,
    /// Path of the Unix socket.
    pub socket: Option<String>,
}

/// `<channel>`: the encryption of one SPICE channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpiceChannel {
    /// Name of the channel.
    pub name: Option<SpiceChannelName>,
    /// Encryption of the channel.
    pub mode: Option<SpiceMode>,
}

/// `<gl>`: rendering by OpenGL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphicsGl {
    /// Use of OpenGL.
    pub enable: Option<bool>,
    /// Path of the host's render node.
    pub rendernode: Option<String>,
}

impl Element for Graphics {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("type", &mut self.kind);
        if v.reading() && self.kind.is_none() {
            v.error("<graphics> needs the attribute 'type'".into());
        }
        // The kind determines the attributes. Without a kind, all of them are visited.
        if self.may_be(&[GraphicsType::Vnc, GraphicsType::Spice]) {
            self.visit_server(v);
        }
        if self.may_be(&[GraphicsType::Vnc]) {
            self.visit_vnc(v);
        }
        if self.may_be(&[GraphicsType::Spice]) {
            self.visit_spice(v);
        }
        if self.may_be(&[GraphicsType::Sdl]) {
            v.attr("display", &mut self.display);
            v.attr("xauth", &mut self.xauth);
            v.yes_no("fullscreen", &mut self.fullscreen);
        }

        if self.may_be(&[GraphicsType::Dbus]) {
            v.yes_no("p2p", &mut self.p2p);
            v.attr("address", &mut self.address);
        }

        if !self.may_be(&[GraphicsType::Vnc]) || self.kind.is_none() {
            v.child("gl", &mut self.gl);
        }
        if self.may_be(&[GraphicsType::Vnc, GraphicsType::Dbus]) {
            v.child_word("audio", "id", &mut self.audio);
        }
    }
}

impl Graphics {
    /// Returns the password that clients must give; `None` if they need none.
    pub fn password(&self) -> Option<DisplayPassword<'_>> {
        Some(DisplayPassword {
            protocol: self.kind?,
            password: self.passwd.as_ref()?,
            valid_to: self.passwd_valid_to,
            connected: self.connected,
        })
    }

    /// Returns whether the kind is one of `kinds` or absent.
    fn may_be(&self, kinds: &[GraphicsType]) -> bool {
        self.kind.is_none_or(|kind| kinds.contains(&kind))
    }

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
