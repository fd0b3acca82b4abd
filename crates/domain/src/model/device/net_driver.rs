//! Parts of `<interface>`: who moves its packets, and how.

use super::virtio::VirtioOptions;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

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

impl Element for NetDriver {
    fn visit(&mut self, v: &mut dyn Visitor) {
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

impl Element for Offloads {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.on_off("csum", &mut self.csum);
        v.on_off("gso", &mut self.gso);
        v.on_off("tso4", &mut self.tso4);
        v.on_off("tso6", &mut self.tso6);
        v.on_off("ecn", &mut self.ecn);
        v.on_off("ufo", &mut self.ufo);
        v.on_off("mrg_rxbuf", &mut self.mrg_rxbuf);
    }
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

impl Element for NetBackend {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        visit_as::<FilePath>(&mut self.tap, |path| v.attr("tap", path));
        visit_as::<FilePath>(&mut self.vhost, |path| v.attr("vhost", path));
        visit_as::<FilePath>(&mut self.log_file, |path| v.attr("logFile", path));
        v.attr("hostname", &mut self.hostname);
        v.attr("fqdn", &mut self.fqdn);
    }
}

/// `<coalesce>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coalesce {
    /// Of packets to the guest.
    pub rx: Option<CoalesceRx>,
}

impl Element for Coalesce {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("rx", &mut self.rx);
    }
}

/// `<rx>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoalesceRx {
    /// Most packets that wait.
    pub frames: Option<u32>,
}

impl Element for CoalesceRx {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child_word("frames", "max", &mut self.frames);
    }
}
