//! Parts of `<interface>`: what it is connected to on the host, and how.

use super::chardev::Reconnect;
use super::virtio::VirtioOptions;
use crate::Uuid;
use crate::xml::text::{FilePath, of_form};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Who connects to whom by vhost-user, or how a device of the host is shared by macvtap.
    pub enum SourceMode {
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
    pub enum SourceType {
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
    /// Who moves the packets of a virtio card.
    pub enum NetDriverName {
        /// The emulator.
        Qemu = "qemu",
        /// The host's kernel.
        Vhost = "vhost",
    }
}

words! {
    /// When packets that were sent are looked after.
    pub enum TxMode {
        /// At once, in another thread.
        Iothread = "iothread",
        /// After a while.
        Timer = "timer",
    }
}

words! {
    /// Who is at the host's end of a network within the emulator.
    pub enum NetBackendType {
        /// The emulator itself, by SLIRP.
        Default = "default",
        /// passt, a process of its own.
        Passt = "passt",
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

words! {
    /// How a port belongs to a VLAN.
    pub enum NativeMode {
        /// Its packets are tagged.
        Tagged = "tagged",
        /// They are not.
        Untagged = "untagged",
    }
}

words! {
    /// Kind of a switch.
    pub enum VirtualportType {
        /// IEEE 802.1Qbg.
        Qbg = "802.1Qbg",
        /// IEEE 802.1Qbh.
        Qbh = "802.1Qbh",
        /// Open vSwitch.
        Openvswitch = "openvswitch",
        /// MidoNet.
        Midonet = "midonet",
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
    pub kind: Option<SourceType>,
    /// Its path.
    pub path: Option<String>,
    /// Who connects to whom, or how the host's device is shared.
    pub mode: Option<SourceMode>,
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

/// `<local>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetLocal {
    /// Address.
    pub address: Option<String>,
    /// Port.
    pub port: Option<u16>,
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

/// `<target>` of an interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetTarget {
    /// Name of the tap.
    pub dev: Option<String>,
    /// Whether the tap is made for the guest; with `no` it is there already.
    pub managed: Option<bool>,
}

/// `<driver>` of an interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetDriver {
    /// Who moves the packets.
    pub name: Option<NetDriverName>,
    /// When packets that were sent are looked after.
    pub txmode: Option<TxMode>,
    /// Whether requests are signalled asynchronously.
    pub ioeventfd: Option<bool>,
    /// Whether guest and host tell each other when to signal.
    pub event_idx: Option<bool>,
    /// Number of pairs of queues.
    pub queues: Option<u32>,
    /// Length of a queue for packets to the guest: 256, 512 or 1024.
    pub rx_queue_size: Option<u32>,
    /// Length of a queue for packets of the guest.
    pub tx_queue_size: Option<u32>,
    /// Whether packets are spread over the queues by their hash.
    pub rss: Option<bool>,
    /// Whether the guest is told the hash.
    pub rss_hash_report: Option<bool>,
    /// Options of a virtio device.
    pub virtio: VirtioOptions,
    /// What the host does for the guest.
    pub host: Option<Offloads>,
    /// What the guest does for the host.
    pub guest: Option<Offloads>,
}

/// `<host>` or `<guest>`: work on packets that one side leaves to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Offloads {
    /// Checksums.
    pub csum: Option<bool>,
    /// Segmentation of any kind.
    pub gso: Option<bool>,
    /// Segmentation of TCP over IPv4.
    pub tso4: Option<bool>,
    /// Segmentation of TCP over IPv6.
    pub tso6: Option<bool>,
    /// Segmentation with ECN.
    pub ecn: Option<bool>,
    /// Fragmentation of UDP.
    pub ufo: Option<bool>,
    /// Buffers that are put together.
    pub mrg_rxbuf: Option<bool>,
}

/// `<backend>` of an interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetBackend {
    /// Who is at the host's end.
    pub kind: Option<NetBackendType>,
    /// Device that taps are made by.
    pub tap: Option<String>,
    /// Device of the host's kernel that moves packets.
    pub vhost: Option<String>,
    /// Where passt writes what it does.
    pub log_file: Option<String>,
    /// Name of passt's host for the guest.
    pub hostname: Option<String>,
    /// Full name of the guest.
    pub fqdn: Option<String>,
}

/// `<filterref>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filterref {
    /// Name of the filter.
    pub filter: Option<String>,
    /// What its variables are.
    pub parameters: Vec<FilterParameter>,
}

/// `<parameter>` of a filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterParameter {
    /// The variable.
    pub name: Option<String>,
    /// What it is.
    pub value: Option<String>,
}

/// `<coalesce>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coalesce {
    /// Of packets to the guest.
    pub rx: Option<CoalesceRx>,
}

/// `<rx>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoalesceRx {
    /// Most packets that wait.
    pub frames: Option<u32>,
}

/// `<vlan>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vlan {
    /// Whether the port carries several.
    pub trunk: Option<bool>,
    /// The VLANs.
    pub tags: Vec<VlanTag>,
}

/// `<tag>` of a VLAN.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VlanTag {
    /// Its number.
    pub id: u16,
    /// How the port belongs to it.
    pub native_mode: Option<NativeMode>,
}

/// `<bandwidth>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bandwidth {
    /// To the guest.
    pub inbound: Option<Rate>,
    /// From the guest.
    pub outbound: Option<Rate>,
}

/// `<inbound>` or `<outbound>`, in KiB a second and KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// As a rule.
    pub average: Option<u64>,
    /// At most.
    pub peak: Option<u64>,
    /// At least.
    pub floor: Option<u64>,
    /// How much at the most.
    pub burst: Option<u64>,
}

/// `<virtualport>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Virtualport {
    /// Kind of the switch.
    pub kind: Option<VirtualportType>,
    /// What it is told.
    pub parameters: Option<VirtualportParameters>,
}

/// `<parameters>` of a virtual port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VirtualportParameters {
    /// Manager of 802.1Qbg.
    pub managerid: Option<u32>,
    /// Type of 802.1Qbg.
    pub typeid: Option<u32>,
    /// Version of that type.
    pub typeidversion: Option<u32>,
    /// Instance of 802.1Qbg.
    pub instanceid: Option<Uuid>,
    /// Interface of Open vSwitch or MidoNet.
    pub interfaceid: Option<Uuid>,
    /// Profile of the port.
    pub profileid: Option<String>,
}

macro_rules! element {
    ($name:ident, |$self:ident, $v:ident| $body:block) => {
        impl Element for $name {
            fn visit<V: Visitor>(&mut self, $v: &mut V) {
                let $self = self;
                $body
            }
        }
    };
}

element!(NetSource, |s, v| {
    v.attr("dev", &mut s.dev);
    v.attr("network", &mut s.network);
    v.attr("portgroup", &mut s.portgroup);
    v.attr("portid", &mut s.portid);
    v.attr("bridge", &mut s.bridge);
    v.attr("type", &mut s.kind);
    of_form::<FilePath>(&mut s.path, |path| v.attr("path", path));
    v.attr("mode", &mut s.mode);
    v.attr("address", &mut s.address);
    v.attr("port", &mut s.port);
    v.child("local", &mut s.local);
    v.child("reconnect", &mut s.reconnect);
    v.children("ip", &mut s.ips);
    v.children("route", &mut s.routes);
});

element!(NetLocal, |s, v| {
    v.attr("address", &mut s.address);
    v.attr("port", &mut s.port);
});

element!(NetIp, |s, v| {
    v.attr("address", &mut s.address);
    v.attr("family", &mut s.family);
    v.attr("prefix", &mut s.prefix);
    v.attr("peer", &mut s.peer);
    if s.address.is_none() {
        v.error("<ip> needs the attribute 'address'".into());
    }
});

element!(NetRoute, |s, v| {
    v.attr("family", &mut s.family);
    v.attr("address", &mut s.address);
    v.attr("netmask", &mut s.netmask);
    v.attr("prefix", &mut s.prefix);
    v.attr("gateway", &mut s.gateway);
    v.attr("metric", &mut s.metric);
});

element!(PortForward, |s, v| {
    v.attr("proto", &mut s.proto);
    v.attr("address", &mut s.address);
    v.attr("dev", &mut s.dev);
    v.children("range", &mut s.ranges);
    if s.proto.is_none() {
        v.error("<portForward> needs the attribute 'proto'".into());
    }
});

element!(PortRange, |s, v| {
    v.attr("start", &mut s.start);
    v.attr("end", &mut s.end);
    v.attr("to", &mut s.to);
    v.yes_no("exclude", &mut s.exclude);
    if s.start.is_none() {
        v.error("<range> needs the attribute 'start'".into());
    }
});

element!(NetTarget, |s, v| {
    v.attr("dev", &mut s.dev);
    v.yes_no("managed", &mut s.managed);
});

impl Element for NetDriver {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("name", &mut self.name);
        v.attr("txmode", &mut self.txmode);
        v.on_off("ioeventfd", &mut self.ioeventfd);
        v.on_off("event_idx", &mut self.event_idx);
        v.attr("queues", &mut self.queues);
        v.attr("rx_queue_size", &mut self.rx_queue_size);
        v.attr("tx_queue_size", &mut self.tx_queue_size);
        v.on_off("rss", &mut self.rss);
        v.on_off("rss_hash_report", &mut self.rss_hash_report);
        self.virtio.visit(v);
        v.child("host", &mut self.host);
        v.child("guest", &mut self.guest);
    }
}

element!(Offloads, |s, v| {
    v.on_off("csum", &mut s.csum);
    v.on_off("gso", &mut s.gso);
    v.on_off("tso4", &mut s.tso4);
    v.on_off("tso6", &mut s.tso6);
    v.on_off("ecn", &mut s.ecn);
    v.on_off("ufo", &mut s.ufo);
    v.on_off("mrg_rxbuf", &mut s.mrg_rxbuf);
});

element!(NetBackend, |s, v| {
    v.attr("type", &mut s.kind);
    of_form::<FilePath>(&mut s.tap, |path| v.attr("tap", path));
    of_form::<FilePath>(&mut s.vhost, |path| v.attr("vhost", path));
    of_form::<FilePath>(&mut s.log_file, |path| v.attr("logFile", path));
    v.attr("hostname", &mut s.hostname);
    v.attr("fqdn", &mut s.fqdn);
});

element!(Filterref, |s, v| {
    v.attr("filter", &mut s.filter);
    v.children("parameter", &mut s.parameters);
});

element!(FilterParameter, |s, v| {
    v.attr("name", &mut s.name);
    v.attr("value", &mut s.value);
});

element!(Coalesce, |s, v| {
    v.child("rx", &mut s.rx);
});

element!(CoalesceRx, |s, v| {
    v.child_word("frames", "max", &mut s.frames);
});

element!(Vlan, |s, v| {
    v.yes_no("trunk", &mut s.trunk);
    v.children("tag", &mut s.tags);
});

element!(VlanTag, |s, v| {
    v.required("id", &mut s.id);
    v.attr("nativeMode", &mut s.native_mode);
});

element!(Bandwidth, |s, v| {
    v.child("inbound", &mut s.inbound);
    v.child("outbound", &mut s.outbound);
});

element!(Rate, |s, v| {
    v.attr("average", &mut s.average);
    v.attr("peak", &mut s.peak);
    v.attr("floor", &mut s.floor);
    v.attr("burst", &mut s.burst);
});

element!(Virtualport, |s, v| {
    v.attr("type", &mut s.kind);
    v.child("parameters", &mut s.parameters);
});

element!(VirtualportParameters, |s, v| {
    v.attr("managerid", &mut s.managerid);
    v.attr("typeid", &mut s.typeid);
    v.attr("typeidversion", &mut s.typeidversion);
    v.attr("instanceid", &mut s.instanceid);
    v.attr("interfaceid", &mut s.interfaceid);
    v.attr("profileid", &mut s.profileid);
});
