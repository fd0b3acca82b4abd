//! Parts of `<interface>`: what it is connected to on the host.

use super::chardev::Reconnect;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Who connects to whom by vhost-user, or how a device of the host is shared by macvtap.
    pub enum NetSourceMode {
        /// The emulator listens.
        Server = "server",
        /// The emulator connects.
        Client = "client",
        /// Packets leave the host, and come back by the switch.
        Vepa = "vepa",
        /// Guests see each other within the host.
        Bridge = "bridge",
        /// Guests do not see each other.
        Private = "private",
        /// The device is the guest's alone.
        Passthrough = "passthrough",
    }
}

words! {
    /// Kind of a vhost-user socket.
    pub enum NetSourceType {
        /// A socket in the file system.
        Unix = "unix",
    }
}

words! {
    /// Family of an address.
    pub enum IpFamily {
        /// IPv4.
        Ipv4 = "ipv4",
        /// IPv6.
        Ipv6 = "ipv6",
    }
}

words! {
    /// Whether a cable is in.
    pub enum LinkState {
        /// It is.
        Up = "up",
        /// It is not.
        Down = "down",
    }
}

words! {
    /// Protocol of a port.
    pub enum PortProto {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
    }
}

/// `<source>` of an interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetSource {
    /// A device of the host.
    pub dev: Option<String>,
    /// A network of libvirt's.
    pub network: Option<String>,
    /// A group of its ports.
    pub portgroup: Option<String>,
    /// The port of a running guest.
    pub portid: Option<String>,
    /// A bridge of the host.
    pub bridge: Option<String>,
    /// Kind of a vhost-user socket.
    pub kind: Option<NetSourceType>,
    /// Its path.
    pub path: Option<String>,
    /// Who connects to whom, or how the host's device is shared.
    pub mode: Option<NetSourceMode>,
    /// Address to listen at or to connect to.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// The guest's own address (`udp`).
    pub local: Option<NetLocal>,
    /// Whether a connection that is lost is made again.
    pub reconnect: Option<Reconnect>,
    /// Addresses of the host's end.
    pub ips: Vec<NetIp>,
    /// Routes of the host's end.
    pub routes: Vec<NetRoute>,
}

impl Element for NetSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("dev", &mut self.dev);
        v.attr("network", &mut self.network);
        v.attr("portgroup", &mut self.portgroup);
        v.attr("portid", &mut self.portid);
        v.attr("bridge", &mut self.bridge);
        v.attr("type", &mut self.kind);
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
        v.attr("mode", &mut self.mode);
        v.attr("address", &mut self.address);
        v.attr("port", &mut self.port);
        v.child("local", &mut self.local);
        v.child("reconnect", &mut self.reconnect);
        v.children("ip", &mut self.ips);
        v.children("route", &mut self.routes);
    }
}

/// `<local>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetLocal {
    /// Address.
    pub address: Option<String>,
    /// Port.
    pub port: Option<u16>,
}

impl Element for NetLocal {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("address", &mut self.address);
        v.attr("port", &mut self.port);
    }
}

/// `<ip>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetIp {
    /// The address.
    pub address: Option<String>,
    /// Its family.
    pub family: Option<IpFamily>,
    /// Bits that are the network's.
    pub prefix: Option<u8>,
    /// The other end's address.
    pub peer: Option<String>,
}

impl Element for NetIp {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("address", &mut self.address);
        v.attr("family", &mut self.family);
        v.attr("prefix", &mut self.prefix);
        v.attr("peer", &mut self.peer);
        if self.address.is_none() {
            v.error("<ip> needs the attribute 'address'".into());
        }
    }
}

/// `<route>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetRoute {
    /// Family of the addresses.
    pub family: Option<IpFamily>,
    /// The network.
    pub address: Option<String>,
    /// Its mask.
    pub netmask: Option<String>,
    /// Bits that are the network's.
    pub prefix: Option<u8>,
    /// Where packets go.
    pub gateway: Option<String>,
    /// Which of several routes is taken.
    pub metric: Option<u32>,
}

impl Element for NetRoute {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("family", &mut self.family);
        v.attr("address", &mut self.address);
        v.attr("netmask", &mut self.netmask);
        v.attr("prefix", &mut self.prefix);
        v.attr("gateway", &mut self.gateway);
        v.attr("metric", &mut self.metric);
    }
}

/// `<portForward>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortForward {
    /// Protocol.
    pub proto: Option<PortProto>,
    /// Address of the host that is listened at.
    pub address: Option<String>,
    /// Device of the host that is listened at.
    pub dev: Option<String>,
    /// The ports.
    pub ranges: Vec<PortRange>,
}

impl Element for PortForward {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("proto", &mut self.proto);
        v.attr("address", &mut self.address);
        v.attr("dev", &mut self.dev);
        v.children("range", &mut self.ranges);
        if self.proto.is_none() {
            v.error("<portForward> needs the attribute 'proto'".into());
        }
    }
}

/// `<range>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortRange {
    /// First port of the host.
    pub start: Option<u16>,
    /// Last port of the host.
    pub end: Option<u16>,
    /// First port of the guest.
    pub to: Option<u16>,
    /// Whether these ports are left out.
    pub exclude: Option<bool>,
}

impl Element for PortRange {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("start", &mut self.start);
        v.attr("end", &mut self.end);
        v.attr("to", &mut self.to);
        v.yes_no("exclude", &mut self.exclude);
        if self.start.is_none() {
            v.error("<range> needs the attribute 'start'".into());
        }
    }
}

/// `<target>` of an interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetTarget {
    /// Name of the tap.
    pub dev: Option<String>,
    /// Whether the tap is made for the guest; with `no` it is there already.
    pub managed: Option<bool>,
}

impl Element for NetTarget {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("dev", &mut self.dev);
        v.yes_no("managed", &mut self.managed);
    }
}
