//! `<interface>`: a network interface.

use std::fmt;
use std::str::FromStr;

use super::hostdev::InterfaceSource;
use super::net::{LinkState, NetIp, NetRoute, NetSource, NetTarget, PortForward};
use super::net_driver::{Coalesce, NetBackend, NetDriver};
use super::net_port::{Bandwidth, Filterref, Virtualport, Vlan};
use super::teaming::Teaming;
use super::virtio::VirtioModel;
use super::{Hostdev, Info};
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::{Value, value_by_display, words};
use crate::xml::{Element, Visitor};

words! {
    /// The kind of a network interface's connection.
    pub enum InterfaceType {
        /// A user-mode network (SLIRP or passt), which needs no privileges.
        User = "user",
        /// A tap device of the host, which the caller connects.
        Ethernet = "ethernet",
        /// A vhost-user process, through shared memory.
        VhostUser = "vhostuser",
        /// A TCP socket that another guest connects to.
        Server = "server",
        /// A TCP connection to another guest.
        Client = "client",
        /// A UDP multicast group of guests.
        Mcast = "mcast",
        /// A UDP connection to another guest.
        Udp = "udp",
        /// A libvirt network.
        Network = "network",
        /// A bridge of the host.
        Bridge = "bridge",
        /// A virtual network of another hypervisor.
        Internal = "internal",
        /// A network device of the host, through macvtap.
        Direct = "direct",
        /// A PCI or USB network device of the host, given to the guest.
        Hostdev = "hostdev",
        /// A vDPA device of the host.
        Vdpa = "vdpa",
        /// No connection.
        Null = "null",
        /// A distributed switch of another hypervisor.
        Vds = "vds",
    }
}

/// The model of a network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceModel {
    /// virtio-net.
    Virtio,
    /// virtio-net with the legacy and the modern interface.
    VirtioTransitional,
    /// virtio-net with the modern interface only.
    VirtioNonTransitional,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Intel 82576.
    Igb,
    /// Realtek RTL8139.
    Rtl8139,
    /// VMware VMXNET3.
    Vmxnet3,
    /// USB network card.
    UsbNet,
    /// Network card on the virtual I/O bus (Power).
    SpaprVlan,
    /// Any other model, by the emulator's name. Such a card is placed as a virtio card.
    Other(String),
}

impl InterfaceModel {
    const KNOWN: [Self; 10] = [
        Self::Virtio,
        Self::VirtioTransitional,
        Self::VirtioNonTransitional,
        Self::E1000,
        Self::E1000e,
        Self::Igb,
        Self::Rtl8139,
        Self::Vmxnet3,
        Self::UsbNet,
        Self::SpaprVlan,
    ];

    /// Returns the model's word in a domain's XML.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Virtio => "virtio",
            Self::VirtioTransitional => "virtio-transitional",
            Self::VirtioNonTransitional => "virtio-non-transitional",
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Igb => "igb",
            Self::Rtl8139 => "rtl8139",
            Self::Vmxnet3 => "vmxnet3",
            Self::UsbNet => "usb-net",
            Self::SpaprVlan => "spapr-vlan",
            Self::Other(name) => name,
        }
    }

    /// Returns the virtio model, or `None` for any other card.
    pub const fn virtio(&self) -> Option<VirtioModel> {
        match self {
            Self::Virtio => Some(VirtioModel::Virtio),
            Self::VirtioTransitional => Some(VirtioModel::Transitional),
            Self::VirtioNonTransitional => Some(VirtioModel::NonTransitional),
            _ => None,
        }
    }
}

impl Value for InterfaceModel {
    /// Reads a model. libvirt accepts known models in upper and lower case.
    fn read(text: &str) -> Result<Self, String> {
        if let Some(known) = Self::KNOWN
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(text))
        {
            return Ok(known);
        }

        let mut bytes = text.bytes();
        if !text.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        {
            Ok(Self::Other(text.into()))
        } else {
            Err("expected a model's name, of letters, digits, '-' and '_'".into())
        }
    }

    fn write(&self) -> String {
        self.as_str().into()
    }
}

/// `<interface>`: a network interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interface {
    /// Alias and address. If [`Interface::hostdev`] is present, those of the device of the host
    /// count.
    pub info: Info,
    /// Device of the host, for type `hostdev`.
    pub hostdev: Option<Hostdev>,
    /// Kind of the connection.
    pub kind: Option<InterfaceType>,
    /// Hardware address. If it is absent, `complete` derives one from the guest's identity.
    pub mac: Option<Mac>,
    /// Model of the card.
    pub model: Option<InterfaceModel>,
    /// Permission of the guest to change the host's receive filters.
    pub trust_guest_rx_filters: Option<bool>,
    /// Host end of the connection.
    pub source: Option<NetSource>,
    /// Parameters of the switch port.
    pub virtualport: Option<Virtualport>,
    /// Addresses of the guest; for `user` those of the network.
    pub ips: Vec<NetIp>,
    /// Routes of the guest.
    pub routes: Vec<NetRoute>,
    /// Ports of the host that are forwarded to the guest.
    pub port_forwards: Vec<PortForward>,
    /// Path of the script that sets the tap up.
    pub script: Option<String>,
    /// Path of the script that takes the tap down.
    pub downscript: Option<String>,
    /// Device on the host.
    pub target: Option<NetTarget>,
    /// Name of the card in the guest; no effect.
    pub guest: Option<String>,
    /// Implementation of the card, and its queues.
    pub driver: Option<NetDriver>,
    /// Implementation of the host end.
    pub backend: Option<NetBackend>,
    /// Packet filter; the process that creates the tap applies it.
    pub filterref: Option<Filterref>,
    /// Size of the tap's send buffer in bytes.
    pub sndbuf: Option<u64>,
    /// State of the cable.
    pub link: Option<LinkState>,
    /// Size of the largest packet in bytes (MTU).
    pub mtu: Option<u32>,
    /// Coalescing of notifications about packets.
    pub coalesce: Option<Coalesce>,
    /// VLANs of the port.
    pub vlan: Option<Vlan>,
    /// Limits of the bandwidth.
    pub bandwidth: Option<Bandwidth>,
    /// Isolation from other isolated ports of the bridge.
    pub isolated: Option<bool>,
    /// Part of the card in a teaming pair. A device of the host has its own field.
    pub teaming: Option<Teaming>,
}

/// A hardware address (MAC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected six bytes, as in 52:54:00:12:34:56";
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|p| matches!(p.len(), 1 | 2))
                .ok_or(EXPECTED)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| EXPECTED)?;
        }

        match (parts.next(), bytes[0] & 1) {
            (None, 0) => Ok(Self(bytes)),
            (None, _) => Err("a network card needs a unicast address, not a multicast one"),
            _ => Err(EXPECTED),
        }
    }
}

value_by_display!(Mac);

impl Interface {
    /// Returns alias and address.
    pub fn info(&self) -> &Info {
        self.hostdev
            .as_ref()
            .map_or(&self.info, |hostdev| &hostdev.info)
    }

    /// Returns alias and address, for changes.
    pub fn info_mut(&mut self) -> &mut Info {
        self.hostdev
            .as_mut()
            .map_or(&mut self.info, |hostdev| &mut hostdev.info)
    }

    /// Returns the part of the interface in a teaming pair.
    pub fn teaming(&self) -> Option<&Teaming> {
        self.hostdev
            .as_ref()
            .map_or(&self.teaming, |hostdev| &hostdev.teaming)
            .as_ref()
    }

    fn visit_hostdev(&mut self, v: &mut dyn Visitor) {
        if self.kind != Some(InterfaceType::Hostdev) {
            return;
        }
        let hostdev = self.hostdev.get_or_insert_default();
        v.yes_no("managed", &mut hostdev.managed);
        v.child("driver", &mut hostdev.driver);
        let mut source = (!v.reading()).then(|| InterfaceSource(hostdev.source.clone()));
        v.child("source", &mut source);
        match source {
            Some(InterfaceSource(source)) => hostdev.source = source,
            None => v.error(
                "<interface> of type 'hostdev' needs a <source> with the device's <address>".into(),
            ),
        }
    }
}

impl Element for Interface {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.yes_no("trustGuestRxFilters", &mut self.trust_guest_rx_filters);
        v.child_word("mac", "address", &mut self.mac);
        self.visit_hostdev(v);
        if self.hostdev.is_none() {
            v.child("source", &mut self.source);
        }
        v.child("vlan", &mut self.vlan);
        v.child("virtualport", &mut self.virtualport);
        v.child("bandwidth", &mut self.bandwidth);
        self.visit_guest(v);
        v.child_word("model", "type", &mut self.model);
        if self.hostdev.is_none() {
            v.child("driver", &mut self.driver);
        }
        v.child("backend", &mut self.backend);
        v.child("filterref", &mut self.filterref);
        let mut tune = self.sndbuf.take().map(|sndbuf| Tune(Some(sndbuf)));
        v.child("tune", &mut tune);
        self.sndbuf = tune.and_then(|tune| tune.0);
        v.child_word("link", "state", &mut self.link);
        v.child_word("mtu", "size", &mut self.mtu);
        match &mut self.hostdev {
            Some(hostdev) => v.child("teaming", &mut hostdev.teaming),
            None => v.child("teaming", &mut self.teaming),
        }

        v.child("coalesce", &mut self.coalesce);
        self.info_mut().visit_with_rom(v);
        if self.kind.is_none() {
            v.error("<interface> needs the attribute 'type'".into());
        }
    }
}

impl Interface {
    fn visit_guest(&mut self, v: &mut dyn Visitor) {
        let mut port = self.isolated.take().map(|isolated| Port(Some(isolated)));
        v.child("port", &mut port);
        self.isolated = port.and_then(|port| port.0);
        v.children("ip", &mut self.ips);
        v.children("route", &mut self.routes);
        v.children("portForward", &mut self.port_forwards);
        visit_as::<FilePath>(&mut self.script, |path| {
            v.child_word("script", "path", path);
        });
        visit_as::<FilePath>(&mut self.downscript, |path| {
            v.child_word("downscript", "path", path);
        });
        v.child("target", &mut self.target);
        v.child_word("guest", "dev", &mut self.guest);
    }
}

/// `<tune>`.
#[derive(Default)]
struct Tune(Option<u64>);

impl Element for Tune {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.leaf("sndbuf", &mut self.0);
    }
}

/// `<port>`.
#[derive(Default)]
struct Port(Option<bool>);

impl Element for Port {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("isolated", &mut self.0);
    }
}
