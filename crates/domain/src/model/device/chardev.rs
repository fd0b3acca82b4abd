//! `<serial>`, `<parallel>`, `<console>`, `<channel>`: character devices, and the host end of
//! these and of other devices.

use std::net::Ipv4Addr;

use super::Info;
use super::reconnect::Reconnect;
use crate::model::toggle::YesNo;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::{Value, words};
use crate::xml::{Element, Visitor};

words! {
    /// The kind of a character device's host end.
    pub enum CharSourceType {
        /// No host end: output is discarded.
        Null = "null",
        /// A virtual console in the emulator's window.
        Vc = "vc",
        /// A pseudo terminal.
        Pty = "pty",
        /// A terminal device of the host.
        Dev = "dev",
        /// A file for output.
        File = "file",
        /// A pair of FIFOs.
        Pipe = "pipe",
        /// The emulator's standard input and output.
        Stdio = "stdio",
        /// UDP.
        Udp = "udp",
        /// TCP.
        Tcp = "tcp",
        /// A Unix socket.
        Unix = "unix",
        /// A SPICE channel for the agent or for USB redirection.
        Spicevmc = "spicevmc",
        /// A SPICE channel with a name.
        Spiceport = "spiceport",
        /// A null modem terminal pair of FreeBSD; no supported emulator has it.
        Nmdm = "nmdm",
        /// The emulator, as the agent's peer.
        QemuVdagent = "qemu-vdagent",
        /// D-Bus.
        Dbus = "dbus",
    }
}

words! {
    /// The kind of a character device's guest end.
    pub enum CharTargetType {
        /// Serial port of a PC.
        IsaSerial = "isa-serial",
        /// Serial port on USB.
        UsbSerial = "usb-serial",
        /// Serial port on a PCI card.
        PciSerial = "pci-serial",
        /// Serial port of Power.
        SpaprVioSerial = "spapr-vio-serial",
        /// Serial port of the machine (Arm's PL011 …).
        SystemSerial = "system-serial",
        /// Console of Z.
        SclpSerial = "sclp-serial",
        /// Debug port of a PC's firmware.
        IsaDebug = "isa-debug",
        /// Serial port 0, as a console.
        Serial = "serial",
        /// A port of a virtio-serial controller.
        Virtio = "virtio",
        /// Console of Z.
        Sclp = "sclp",
        /// Line mode console of Z.
        Sclplm = "sclplm",
        /// Address whose TCP connections from the guest reach the host end.
        Guestfwd = "guestfwd",
        /// Xen's console; no supported emulator has it.
        Xen = "xen",
    }
}

words! {
    /// The model of a serial port or console.
    pub enum CharModel {
        /// 16550A on ISA.
        IsaSerial = "isa-serial",
        /// USB serial port.
        UsbSerial = "usb-serial",
        /// 16550A on PCI.
        PciSerial = "pci-serial",
        /// Power's virtual terminal.
        SpaprVty = "spapr-vty",
        /// Arm's PL011.
        Pl011 = "pl011",
        /// Console of Z.
        Sclpconsole = "sclpconsole",
        /// Line mode console of Z.
        Sclplmconsole = "sclplmconsole",
        /// 16550A of the machine's board.
        Ns16550a = "16550a",
        /// Debug port of a PC's firmware.
        IsaDebugcon = "isa-debugcon",
    }
}

words! {
    /// The role of the emulator at a socket.
    pub enum SocketMode {
        /// The emulator listens.
        Bind = "bind",
        /// The emulator connects.
        Connect = "connect",
    }
}

words! {
    /// The protocol of a TCP connection.
    pub enum CharProtocol {
        /// Plain characters.
        Raw = "raw",
        /// Telnet.
        Telnet = "telnet",
        /// Encrypted telnet; no supported emulator has it.
        Telnets = "telnets",
        /// TLS; no supported emulator has it by this name.
        Tls = "tls",
    }
}

words! {
    /// The state of a channel of a running guest.
    pub enum ChannelState {
        /// The guest has opened the channel.
        Connected = "connected",
        /// The guest has not opened the channel.
        Disconnected = "disconnected",
    }
}

words! {
    /// The side that draws the pointer if the guest runs the agent.
    pub enum AgentMouse {
        /// The guest.
        Server = "server",
        /// The client.
        Client = "client",
    }
}

/// A serial port, parallel port, console or channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chardev {
    /// Alias and address of the device.
    pub info: Info,
    /// Terminal of a running guest's console; no effect.
    pub tty: Option<String>,
    /// Host end.
    pub backend: CharBackend,
    /// Guest end.
    pub target: Option<CharTarget>,
}

/// The host end of a character device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharBackend {
    /// Kind of the host end.
    pub kind: Option<CharSourceType>,
    /// Sources. UDP can have two: one for receiving, one for sending.
    pub sources: Vec<CharSource>,
    /// Protocol of a TCP connection.
    pub protocol: Option<CharProtocol>,
    /// File that receives a copy of the output.
    pub log: Option<CharLog>,
}

/// `<source>` of a character device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharSource {
    /// Role of the emulator at the socket.
    pub mode: Option<SocketMode>,
    /// Path of a file, socket, device or terminal.
    pub path: Option<String>,
    /// Whether output is appended to the file.
    pub append: Option<bool>,
    /// Host name or address (TCP, UDP).
    pub host: Option<String>,
    /// Port (TCP, UDP).
    pub service: Option<String>,
    /// Encryption of the TCP connection.
    pub tls: Option<bool>,
    /// Name of the SPICE or D-Bus channel.
    pub channel: Option<String>,
    /// Reconnection after a lost connection.
    pub reconnect: Option<Reconnect>,
    /// Sharing of the clipboard by the agent.
    pub clipboard: Option<YesNo>,
    /// Side that draws the pointer.
    pub mouse: Option<AgentMouse>,
    /// Security labels of the file.
    pub seclabels: Vec<SourceSeclabel>,
}

/// `<seclabel>` of a source: relabelling of the file by the host's security drivers. The element
/// has no effect: files are never relabelled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceSeclabel {
    /// Name of the security driver.
    pub model: Option<String>,
    /// Relabelling of the file.
    pub relabel: Option<bool>,
    /// The label.
    pub label: Option<String>,
}

/// `<log>`: a file that receives a copy of the output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharLog {
    /// Path of the file.
    pub file: Option<String>,
    /// Whether output is appended to the file.
    pub append: Option<bool>,
}

/// `<target>` of a character device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharTarget {
    /// Kind of the guest end.
    pub kind: Option<CharTargetType>,
    /// Name of the channel.
    pub name: Option<String>,
    /// State of the channel; no effect.
    pub state: Option<ChannelState>,
    /// Address that the guest connects to (`guestfwd`).
    pub address: Option<Address4>,
    /// Number of the port within its kind, from 0; for `guestfwd` the TCP port.
    pub port: Option<u32>,
    /// Model of the port.
    pub model: Option<CharModel>,
}

/// An IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address4(pub Ipv4Addr);

impl Value for Address4 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| "expected an IPv4 address".into())
    }

    fn write(&self) -> String {
        self.0.to_string()
    }
}

impl CharBackend {
    /// Returns the first source.
    pub fn source(&self) -> Option<&CharSource> {
        self.sources.first()
    }

    /// Returns the path of the first source.
    pub fn path(&self) -> Option<&str> {
        self.source()?.path.as_deref()
    }

    /// Returns the emulator's role at the socket. The default is to connect.
    pub fn mode(&self) -> SocketMode {
        self.source()
            .and_then(|source| source.mode)
            .unwrap_or(SocketMode::Connect)
    }

    /// Returns the UDP source of a mode: `bind` receives, `connect` (the default) sends.
    pub fn udp(&self, mode: SocketMode) -> Option<&CharSource> {
        self.sources
            .iter()
            .find(|source| source.mode.unwrap_or(SocketMode::Connect) == mode)
    }
}

impl CharBackend {
    pub(crate) fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.children("source", &mut self.sources);
        v.child_word("protocol", "type", &mut self.protocol);
        v.child("log", &mut self.log);
        match self.kind {
            None => v.error("a character device needs the attribute 'type'".into()),
            Some(kind) => {
                if let Some(missing) = self.missing_source(kind) {
                    v.error(format!(
                        "a character device of type '{kind}' needs a <source {missing}/>"
                    ));
                }
            }
        }

        if self.sources.len() > 1 && self.kind != Some(CharSourceType::Udp) {
            v.error("only a character device of type 'udp' can have two <source>s".into());
        }
    }

    /// Returns the attributes that `<source>` needs, as text for a message; `None` if it has them.
    fn missing_source(&self, kind: CharSourceType) -> Option<&'static str> {
        let source = self.source().cloned().unwrap_or_default();
        match kind {
            CharSourceType::File | CharSourceType::Dev | CharSourceType::Pipe
                if source.path.is_none() =>
            {
                Some("path='…'")
            }
            CharSourceType::Tcp if source.service.is_none() => Some("host='…' service='…'"),
            CharSourceType::Tcp if self.mode() == SocketMode::Connect && source.host.is_none() => {
                Some("host='…'")
            }
            CharSourceType::Udp
                if self
                    .udp(SocketMode::Connect)
                    .is_none_or(|s| s.service.is_none()) =>
            {
                Some("mode='connect' service='…'")
            }
            CharSourceType::Spiceport | CharSourceType::Dbus if source.channel.is_none() => {
                Some("channel='…'")
            }
            _ => None,
        }
    }
}

impl Element for Chardev {
    fn visit(&mut self, v: &mut dyn Visitor) {
        self.backend.visit(v);
        v.attr("tty", &mut self.tty);
        v.child("target", &mut self.target);
        self.info.visit(v);
    }
}

impl Element for CharSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("mode", &mut self.mode);
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
        v.on_off("append", &mut self.append);
        v.attr("host", &mut self.host);
        v.attr("service", &mut self.service);
        v.yes_no("tls", &mut self.tls);
        v.attr("channel", &mut self.channel);
        v.child_word("clipboard", "copypaste", &mut self.clipboard);
        v.child_word("mouse", "mode", &mut self.mouse);
        v.child("reconnect", &mut self.reconnect);
        v.children("seclabel", &mut self.seclabels);
    }
}

impl Element for SourceSeclabel {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.yes_no("relabel", &mut self.relabel);
        v.leaf("label", &mut self.label);
    }
}

impl Element for CharLog {
    fn visit(&mut self, v: &mut dyn Visitor) {
        visit_as::<FilePath>(&mut self.file, |path| v.attr("file", path));
        v.on_off("append", &mut self.append);
        if self.file.is_none() {
            v.error("<log> needs the attribute 'file'".into());
        }
    }
}

impl Element for CharTarget {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("name", &mut self.name);
        v.attr("state", &mut self.state);
        v.attr("address", &mut self.address);
        v.attr("port", &mut self.port);
        v.child_word("model", "name", &mut self.model);
    }
}
