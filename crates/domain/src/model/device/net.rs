//! Parts of `<interface>`: both ends of the connection.

use super::reconnect::Reconnect;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The emulator's role at a vhost-user socket, or the mode of a macvtap device.
    pub enum NetSourceMode {
        /// The emulator listens.
        Server = "server",
        /// The emulator connects.
        Client = "client",
        /// Packets leave the host; an external switch sends them back (VEPA).
        Vepa = "vepa",
        /// Guests reach each other within the host.
        Bridge = "bridge",
        /// Guests cannot reach each other.
        Private = "private",
        /// One guest has the host's device for itself.
        Passthrough = "passthrough",
    }
}

words! {
    /// The kind of a vhost-user socket.
    pub enum NetSourceType {
        /// A Unix socket.
        Unix = "unix",
    }
}

words! {
    /// The family of an IP address.
    pub enum IpFamily {
        /// IPv4.
        Ipv4 = "ipv4",
        /// IPv6.
        Ipv6 = "ipv6",
    }
}

words! {
    /// The state of a cable.
    pub enum LinkState {
        /// Connected.
        Up = "up",
        /// Disconnected.
        Down = "down",
    }
}

words! {
    /// The protocol of a forwarded port.
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
    /// Name of a network device of the host.
    pub dev: Option<String>,
    /// Name of a libvirt network.
    pub network: Option<String>,
    /// Port group of the network.
    pub portgroup: Option<String>,
    /// Id of a running guest's port; no effect.
    pub portid: Option<String>,
    /// Name of a bridge of the host.
    pub bridge: Option<String>,
    /// Kind of a vhost-user socket.
    pub kind: Option<NetSourceType>,
    /// Path of the vhost-user socket.
    pub path: Option<String>,
    /// The emulator's role at the socket, or the mode of the macvtap device.
    pub mode: Option<NetSourceMode>,
    /// Address to listen on or to connect to.
    pub address: Option<String>,
    /// Port to listen on or to connect to.
    pub port: Option<u16>,
    /// Own address of the guest (`udp`).
    pub local: Option<NetLocal>,
    /// Reconnection after a lost connection.
    pub reconnect: Option<Reconnect>,
    /// Addresses of the host end.
    pub ips: Vec<NetIp>,
    /// Routes of the host end.
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

/// `<local>`: the guest's own address (`udp`).
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

/// `<ip>`: an IP address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetIp {
    /// The address.
    pub address: Option<String>,
    /// Family of the address.
    pub family: Option<IpFamily>,
    /// Length of the network prefix in bits.
    pub prefix: Option<u8>,
    /// Address of the other end.
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

/// `<route>`: a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetRoute {
    /// Family of the addresses.
    pub family: Option<IpFamily>,
    /// Address of the network.
    pub address: Option<String>,
    /// Mask of the network.
    pub netmask: Option<String>,
    /// Length of the network prefix in bits.
    pub prefix: Option<u8>,
    /// Address of the gateway.
    pub gateway: Option<String>,
    /// Metric: among several routes the lowest one counts.
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

/// `<portForward>`: forwarded ports of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortForward {
    /// Protocol.
    pub proto: Option<PortProto>,
    /// Address of the host to listen on.
    pub address: Option<String>,
    /// Network device of the host to listen on.
    pub dev: Option<String>,
    /// Forwarded ports.
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

/// `<range>`: a range of forwarded ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortRange {
    /// First port of the host.
    pub start: Option<u16>,
    /// Last port of the host.
    pub end: Option<u16>,
    /// First port of the guest.
    pub to: Option<u16>,
    /// Exclusion of these ports from the forwarding.
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

/// `<target>` of an interface: the device on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetTarget {
    /// Name of the tap device.
    pub dev: Option<String>,
    /// Creation of the tap device for the guest. `no` means that the device exists.
    pub managed: Option<bool>,
}

impl Element for NetTarget {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("dev", &mut self.dev);
        v.yes_no("managed", &mut self.managed);
    }
}
