//! `<source>` of a disk or backing image: the location of the contents.

use super::address::visit_pci;
use super::chardev::SourceSeclabel;
use super::encryption::Encryption;
use super::hostdev::Initiator;
use super::reconnect::DiskReconnect;
use super::reservations::{DiskSourceType, Reservations};
use super::secret::Auth;
use super::startup_policy::StartupPolicy;
use crate::model::toggle::YesNo;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The protocol of network storage.
    pub enum NetworkProtocol {
        /// Network block device.
        Nbd = "nbd",
        /// Ceph's RADOS block device.
        Rbd = "rbd",
        /// Sheepdog; no longer in QEMU.
        Sheepdog = "sheepdog",
        /// Gluster.
        Gluster = "gluster",
        /// iSCSI.
        Iscsi = "iscsi",
        /// HTTP.
        Http = "http",
        /// HTTPS.
        Https = "https",
        /// FTP.
        Ftp = "ftp",
        /// FTPS.
        Ftps = "ftps",
        /// TFTP; no longer in QEMU.
        Tftp = "tftp",
        /// SSH.
        Ssh = "ssh",
        /// Veritas HyperScale; no longer in QEMU.
        Vxhs = "vxhs",
        /// NFS.
        Nfs = "nfs",
    }
}

words! {
    /// The transport to a host of network storage.
    pub enum HostTransport {
        /// TCP.
        Tcp = "tcp",
        /// A Unix socket.
        Unix = "unix",
        /// RDMA.
        Rdma = "rdma",
    }
}

/// `<source>` of a disk: the location of the contents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskSource {
    /// Path of an image file.
    pub file: Option<String>,
    /// Path of a block device or vDPA device.
    pub dev: Option<String>,
    /// Path of a directory that is shown as a FAT disk.
    pub dir: Option<String>,
    /// Rule for a missing image.
    pub startup_policy: Option<StartupPolicy>,
    /// Number of the image in a running guest's chain; no effect.
    pub index: Option<u32>,
    /// Protocol of the network storage.
    pub protocol: Option<NetworkProtocol>,
    /// Name of the image, in the form of the protocol.
    pub name: Option<String>,
    /// Query of an HTTP address, after the `?`.
    pub query: Option<String>,
    /// Encryption of the connection (NBD).
    pub tls: Option<bool>,
    /// Host name in the server's certificate.
    pub tls_hostname: Option<String>,
    /// Name of the storage pool.
    pub pool: Option<String>,
    /// Name of the volume in the pool.
    pub volume: Option<String>,
    /// Kind of the source.
    pub kind: Option<DiskSourceType>,
    /// Path of a vhost-user socket.
    pub path: Option<String>,
    /// Binding of the PCI function before the start, and back afterwards.
    pub managed: Option<bool>,
    /// Number of the NVMe namespace.
    pub namespace: Option<u32>,
    /// PCI function of the NVMe disk.
    pub address: Option<passthru_pci::Address>,
    /// Hosts of the network storage.
    pub hosts: Vec<DiskHost>,
    /// Name of a snapshot of the image.
    pub snapshot: Option<String>,
    /// Path of Ceph's configuration file.
    pub config: Option<String>,
    /// Login to the storage server.
    pub auth: Option<Auth>,
    /// Check of the server's certificate.
    pub ssl_verify: Option<YesNo>,
    /// HTTP cookies.
    pub cookies: Vec<Cookie>,
    /// Size of the read-ahead in bytes.
    pub readahead: Option<u64>,
    /// Seconds to wait for an answer.
    pub timeout: Option<u64>,
    /// Name of the iSCSI initiator.
    pub initiator: Option<String>,
    /// User and group for NFS.
    pub identity: Option<NfsIdentity>,
    /// Path of SSH's file of known hosts.
    pub known_hosts: Option<String>,
    /// New connection after a lost one.
    pub reconnect: Option<DiskReconnect>,
    /// Encryption of the contents.
    pub encryption: Option<Encryption>,
    /// Helper for persistent reservations.
    pub reservations: Option<Reservations>,
    /// Part of the file with the contents.
    pub slice: Option<Slice>,
    /// Security labels of the file.
    pub seclabels: Vec<SourceSeclabel>,
}

/// `<host>`: a host of network storage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskHost {
    /// Name or address of the host.
    pub name: Option<String>,
    /// Port of the host.
    pub port: Option<u16>,
    /// Transport to the host.
    pub transport: Option<HostTransport>,
    /// Path of a Unix socket.
    pub socket: Option<String>,
}

/// `<cookie>`: an HTTP cookie.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cookie {
    /// Name of the cookie.
    pub name: String,
    /// Value of the cookie. The value may be a secret.
    pub value: Option<String>,
}

/// `<identity>`: user and group for NFS, each a number with a plus sign or a name of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NfsIdentity {
    /// User.
    pub user: Option<String>,
    /// Group.
    pub group: Option<String>,
}

/// `<slice>`: a byte range within a file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    /// Start of the range.
    pub offset: u64,
    /// Length of the range.
    pub size: u64,
}

impl DiskSource {
    /// Returns the path of the file or device.
    pub fn path(&self) -> Option<&str> {
        self.file.as_deref().or(self.dev.as_deref())
    }

    /// Returns whether the source gives a location.
    pub fn has_location(&self) -> bool {
        self.path()
            .or(self.dir.as_deref())
            .or(self.path.as_deref())
            .is_some()
            || self.protocol.is_some()
            || self.pool.is_some()
            || self.address.is_some()
    }
}

impl Element for DiskSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        visit_as::<FilePath>(&mut self.file, |path| v.attr("file", path));
        visit_as::<FilePath>(&mut self.dev, |path| v.attr("dev", path));
        visit_as::<FilePath>(&mut self.dir, |path| v.attr("dir", path));
        v.attr("protocol", &mut self.protocol);
        v.attr("name", &mut self.name);
        v.attr("query", &mut self.query);
        v.yes_no("tls", &mut self.tls);
        v.attr("tlsHostname", &mut self.tls_hostname);
        v.attr("pool", &mut self.pool);
        v.attr("volume", &mut self.volume);
        v.attr("type", &mut self.kind);
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
        v.yes_no("managed", &mut self.managed);
        v.attr("namespace", &mut self.namespace);
        v.attr("startupPolicy", &mut self.startup_policy);
        v.attr("index", &mut self.index);
        self.visit_children(v);
        if self.protocol == Some(NetworkProtocol::Sheepdog) {
            v.error("QEMU no longer has the protocol 'sheepdog'".into());
        }
    }
}

impl DiskSource {
    fn visit_children(&mut self, v: &mut dyn Visitor) {
        let mut address = self
            .address
            .take()
            .map(|address| PciFunction(Some(address)));
        v.child("address", &mut address);
        self.address = address.and_then(|address| address.0);
        v.children("host", &mut self.hosts);
        v.child_word("snapshot", "name", &mut self.snapshot);
        visit_as::<FilePath>(&mut self.config, |path| {
            v.child_word("config", "file", path);
        });
        v.child_word("ssl", "verify", &mut self.ssl_verify);
        let mut cookies =
            (!self.cookies.is_empty()).then(|| Cookies(std::mem::take(&mut self.cookies)));
        v.child("cookies", &mut cookies);
        self.cookies = cookies.map(|cookies| cookies.0).unwrap_or_default();
        v.child_word("readahead", "size", &mut self.readahead);
        v.child_word("timeout", "seconds", &mut self.timeout);
        let mut initiator = self
            .initiator
            .take()
            .map(|iqn| Initiator { iqn: Some(iqn) });
        v.child("initiator", &mut initiator);
        self.initiator = initiator.and_then(|initiator| initiator.iqn);
        v.child("identity", &mut self.identity);
        visit_as::<FilePath>(&mut self.known_hosts, |path| {
            v.child_word("knownHosts", "path", path);
        });
        v.child("reconnect", &mut self.reconnect);
        v.child("auth", &mut self.auth);
        v.child("encryption", &mut self.encryption);
        v.child("reservations", &mut self.reservations);
        let mut slices = self.slice.take().map(|slice| Slices(Some(slice)));
        v.child("slices", &mut slices);
        self.slice = slices.and_then(|slices| slices.0);
        v.children("seclabel", &mut self.seclabels);
    }
}

#[derive(Default)]
struct PciFunction(Option<passthru_pci::Address>);

impl Element for PciFunction {
    fn visit(&mut self, v: &mut dyn Visitor) {
        if !visit_pci(&mut self.0, v) {
            v.error("<address> of a <source> needs domain, bus, slot and function".into());
        }
    }
}

#[derive(Default)]
struct Cookies(Vec<Cookie>);

impl Element for Cookies {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("cookie", &mut self.0);
    }
}

#[derive(Default)]
struct Slices(Option<Slice>);

impl Element for Slices {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("slice", &mut self.0);
    }
}

impl Element for Slice {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut kind = "storage".to_owned();
        v.required("type", &mut kind);
        v.required("offset", &mut self.offset);
        v.required("size", &mut self.size);
        if kind != "storage" {
            v.error("a <slice> must be of type 'storage'".into());
        }
    }
}

impl Element for DiskHost {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.attr("port", &mut self.port);
        v.attr("transport", &mut self.transport);
        visit_as::<FilePath>(&mut self.socket, |path| v.attr("socket", path));
        if self.name.is_none() && self.socket.is_none() {
            v.error("<host> needs the attribute 'name', or a 'socket'".into());
        }
    }
}

impl Element for Cookie {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("name", &mut self.name);
        v.text(&mut self.value);
    }
}

impl Element for NfsIdentity {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("user", &mut self.user);
        v.attr("group", &mut self.group);
    }
}
