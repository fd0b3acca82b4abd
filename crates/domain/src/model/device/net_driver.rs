//! Parts of `<interface>`: implementation of the card and of the host end.

use super::virtio::VirtioOptions;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The implementation of a virtio network card.
    pub enum NetDriverName {
        /// The emulator.
        Qemu = "qemu",
        /// The host's kernel.
        Vhost = "vhost",
    }
}

words! {
    /// Scheduling of packets that the guest sends (QEMU's `tx`).
    pub enum TxMode {
        /// At once, in another thread.
        Iothread = "iothread",
        /// After a short delay.
        Timer = "timer",
    }
}

words! {
    /// The implementation of a user-mode network.
    pub enum NetBackendType {
        /// The emulator (SLIRP).
        Default = "default",
        /// passt, in its own process.
        Passt = "passt",
    }
}

/// `<driver>` of an interface: implementation of the card, and its queues.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetDriver {
    /// Implementation of the card.
    pub name: Option<NetDriverName>,
    /// Scheduling of packets that the guest sends.
    pub txmode: Option<TxMode>,
    /// Asynchronous notification of requests (`ioeventfd`).
    pub ioeventfd: Option<bool>,
    /// Suppression of unneeded notifications (`event_idx`).
    pub event_idx: Option<bool>,
    /// Number of queue pairs.
    pub queues: Option<u32>,
    /// Length of a receive queue: 256, 512 or 1024.
    pub rx_queue_size: Option<u32>,
    /// Length of a send queue.
    pub tx_queue_size: Option<u32>,
    /// Distribution of packets among the queues by hash (RSS).
    pub rss: Option<bool>,
    /// Report of the hash to the guest.
    pub rss_hash_report: Option<bool>,
    /// Options of the virtio device.
    pub virtio: VirtioOptions,
    /// Offloads that the host does for the guest.
    pub host: Option<Offloads>,
    /// Offloads that the guest does for the host.
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

/// `<host>` or `<guest>`: packet processing that one side leaves to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Offloads {
    /// Checksums.
    pub csum: Option<bool>,
    /// Segmentation of any protocol.
    pub gso: Option<bool>,
    /// Segmentation of TCP over IPv4.
    pub tso4: Option<bool>,
    /// Segmentation of TCP over IPv6.
    pub tso6: Option<bool>,
    /// Segmentation with ECN.
    pub ecn: Option<bool>,
    /// Fragmentation of UDP.
    pub ufo: Option<bool>,
    /// Mergeable receive buffers.
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

/// `<backend>` of an interface: the implementation of the host end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetBackend {
    /// Implementation of a user-mode network.
    pub kind: Option<NetBackendType>,
    /// Path of the host's tap driver, such as `/dev/net/tun`.
    pub tap: Option<String>,
    /// Path of the host's vhost driver, such as `/dev/vhost-net`.
    pub vhost: Option<String>,
    /// Path of passt's log.
    pub log_file: Option<String>,
    /// Host name that passt gives to the guest.
    pub hostname: Option<String>,
    /// Fully qualified name that passt gives to the guest.
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

/// `<coalesce>`: coalescing of notifications about packets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coalesce {
    /// Coalescing for packets to the guest.
    pub rx: Option<CoalesceRx>,
}

impl Element for Coalesce {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("rx", &mut self.rx);
    }
}

/// `<rx>`: coalescing for packets to the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoalesceRx {
    /// Largest number of packets without a notification.
    pub frames: Option<u32>,
}

impl Element for CoalesceRx {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child_word("frames", "max", &mut self.frames);
    }
}
