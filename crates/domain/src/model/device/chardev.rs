//! `<serial>`, `<parallel>`, `<console>` and `<channel>`: devices that carry characters, and the
//! host's end of those and of others.

use super::Info;
use crate::model::toggle::YesNo;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::{Value, words};
use crate::xml::{Element, Visitor};
use std::net::Ipv4Addr;

words! {
    /// What the host's end of a character device is.
    pub enum CharSourceType {
        /// Nothing: what is written is dropped.
        Null = "null",
        /// A virtual console of the emulator's window.
        Vc = "vc",
        /// A pseudo terminal.
        Pty = "pty",
        /// A device of the host.
        Dev = "dev",
        /// A file that output is written to.
        File = "file",
        /// A pair of FIFOs.
        Pipe = "pipe",
        /// The emulator's standard input and output.
        Stdio = "stdio",
        /// UDP.
        Udp = "udp",
        /// TCP.
        Tcp = "tcp",
        /// A socket in the file system.
        Unix = "unix",
        /// A channel of SPICE with a meaning of its own.
        Spicevmc = "spicevmc",
        /// A channel of SPICE by name.
        Spiceport = "spiceport",
        /// A terminal pair of FreeBSD; no emulator here has it.
        Nmdm = "nmdm",
        /// The emulator itself, as the agent's other side.
        QemuVdagent = "qemu-vdagent",
        /// D-Bus.
        Dbus = "dbus",
    }
}

words! {
    /// What the guest's end of a character device is.
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
        /// The first serial port, as a console.
        Serial = "serial",
        /// A port of a virtio-serial controller.
        Virtio = "virtio",
        /// Z's console.
        Sclp = "sclp",
        /// Z's line mode console.
        Sclplm = "sclplm",
        /// TCP connections of the guest to an address.
        Guestfwd = "guestfwd",
        /// Xen's; no emulator here has it.
        Xen = "xen",
    }
}

words! {
    /// Model of a serial port.
    pub enum CharModel {
        /// 16550A of a PC.
        IsaSerial = "isa-serial",
        /// On USB.
        UsbSerial = "usb-serial",
        /// 16550A on a PCI card.
        PciSerial = "pci-serial",
        /// Power's terminal.
        SpaprVty = "spapr-vty",
        /// Arm's PL011.
        Pl011 = "pl011",
        /// Z's console.
        Sclpconsole = "sclpconsole",
        /// Z's line mode console.
        Sclplmconsole = "sclplmconsole",
        /// 16550A of the machine.
        Ns16550a = "16550a",
        /// A PC's debug port.
        IsaDebugcon = "isa-debugcon",
    }
}

words! {
    /// Who connects to whom.
    pub enum SocketMode {
        /// The emulator listens.
        Bind = "bind",
        /// The emulator connects.
        Connect = "connect",
    }
}

words! {
    /// What is spoken on a TCP connection.
    pub enum CharProtocol {
        /// The characters as they are.
        Raw = "raw",
        /// Telnet.
        Telnet = "telnet",
        /// Telnet, encrypted; no emulator here has it.
        Telnets = "telnets",
        /// TLS; no emulator here has it by this name.
        Tls = "tls",
    }
}

words! {
    /// Whether the guest has opened a channel; a state of a running guest.
    pub enum ChannelState {
        /// It has.
        Connected = "connected",
        /// It has not.
        Disconnected = "disconnected",
    }
}

words! {
    /// Who draws the pointer, by the agent.
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
    /// Alias and address.
    pub info: Info,
    /// `tty` attribute of a running guest's console; no effect.
    pub tty: Option<String>,
    /// The host's end.
    pub backend: CharBackend,
    /// What the guest's end is.
    pub target: Option<CharTarget>,
}

/// The host's end of a device that carries characters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharBackend {
    /// What it is.
    pub kind: Option<CharSourceType>,
    /// Where it is; UDP can have two, one to listen and one to send to.
    pub sources: Vec<CharSource>,
    /// What is spoken on a TCP connection.
    pub protocol: Option<CharProtocol>,
    /// A file that everything is also written to.
    pub log: Option<CharLog>,
}

/// `<source>` of a character device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharSource {
    /// Who connects to whom.
    pub mode: Option<SocketMode>,
    /// Path of a file, socket, device or terminal.
    pub path: Option<String>,
    /// Whether a file is appended to.
    pub append: Option<bool>,
    /// Host of a TCP or UDP address.
    pub host: Option<String>,
    /// Its port.
    pub service: Option<String>,
    /// Whether TCP is encrypted.
    pub tls: Option<bool>,
    /// Name of a channel of SPICE or D-Bus.
    pub channel: Option<String>,
    /// Whether a connection that is lost is made again.
    pub reconnect: Option<Reconnect>,
    /// Whether the agent shares the clipboard.
    pub clipboard: Option<YesNo>,
    /// Who draws the pointer.
    pub mouse: Option<AgentMouse>,
    /// How the host labels the file.
    pub seclabels: Vec<SourceSeclabel>,
}

/// `<seclabel>` of a source: whether the host's security drivers relabel the file. Nothing is
/// relabelled here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceSeclabel {
    /// The security driver.
    pub model: Option<String>,
    /// Whether it labels the file.
    pub relabel: Option<bool>,
    /// The label.
    pub label: Option<String>,
}

/// `<reconnect>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reconnect {
    /// Whether a connection is made again.
    pub enabled: Option<bool>,
    /// Seconds before that.
    pub timeout: Option<u32>,
}

/// `<log>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharLog {
    /// The file.
    pub file: Option<String>,
    /// Whether it is appended to.
    pub append: Option<bool>,
}

/// `<target>` of a character device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharTarget {
    /// What the guest's end is.
    pub kind: Option<CharTargetType>,
    /// Name of a channel.
    pub name: Option<String>,
    /// Whether the guest has opened the channel; no effect.
    pub state: Option<ChannelState>,
    /// Address that the guest connects to.
    pub address: Option<Address4>,
    /// Number among its like, from 0; the port that the guest connects to.
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

    /// Returns who connects to whom; whoever does not say connects.
    pub fn mode(&self) -> SocketMode {
        self.source()
            .and_then(|source| source.mode)
            .unwrap_or(SocketMode::Connect)
    }

    /// Returns the source of UDP that is listened on, or sent to.
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
                if let Some(lacks) = self.lacks(kind) {
                    v.error(format!(
                        "a character device of type '{kind}' needs a <source {lacks}/>"
                    ));
                }
            }
        }
        if self.sources.len() > 1 && self.kind != Some(CharSourceType::Udp) {
            v.error("only a character device of type 'udp' can have two <source>s".into());
        }
    }

    /// What the source must say, and doesn't.
    fn lacks(&self, kind: CharSourceType) -> Option<&'static str> {
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

impl Element for Reconnect {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("enabled", &mut self.enabled);
        v.attr("timeout", &mut self.timeout);
        match (self.enabled, self.timeout) {
            (None, _) => v.error("<reconnect> needs the attribute 'enabled'".into()),
            (Some(true), None | Some(0)) => {
                v.error("<reconnect> needs the attribute 'timeout', in seconds above zero".into());
            }
            _ => {}
        }
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
