//! `<source>` of a disk, and of an image below: where the contents are.

use super::address::visit_pci;
use super::chardev::{Reconnect, SourceSeclabel};
use super::secret::{Auth, Secret};
use super::startup_policy::StartupPolicy;
use crate::model::toggle::YesNo;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Protocol of storage on the network.
    pub enum NetworkProtocol {
        /// Network block device.
        Nbd = "nbd",
        /// Ceph's block device.
        Rbd = "rbd",
        /// Sheepdog; gone.
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
        /// TFTP; gone.
        Tftp = "tftp",
        /// SSH.
        Ssh = "ssh",
        /// Veritas HyperScale; gone.
        Vxhs = "vxhs",
        /// NFS.
        Nfs = "nfs",
    }
}

words! {
    /// How a host of storage is reached.
    pub enum HostTransport {
        /// By TCP.
        Tcp = "tcp",
        /// By a socket in the file system.
        Unix = "unix",
        /// By RDMA.
        Rdma = "rdma",
    }
}

words! {
    /// What a `<source type=…>` is.
    pub enum DiskSourceType {
        /// A socket in the file system.
        Unix = "unix",
        /// A PCI function.
        Pci = "pci",
    }
}

words! {
    /// How contents are encrypted.
    pub enum EncryptionFormat {
        /// As the format does.
        Default = "default",
        /// qcow's own, broken.
        Qcow = "qcow",
        /// LUKS.
        Luks = "luks",
        /// LUKS 2.
        Luks2 = "luks2",
        /// Either LUKS.
        LuksAny = "luks-any",
    }
}

words! {
    /// Who decrypts.
    pub enum EncryptionEngine {
        /// The emulator.
        Qemu = "qemu",
        /// Ceph's library.
        Librbd = "librbd",
    }
}

words! {
    /// Who connects to a helper.
    pub enum ReservationsMode {
        /// The emulator.
        Client = "client",
        /// The helper.
        Server = "server",
    }
}

/// `<source>` of a disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskSource {
    /// Path of a file.
    pub file: Option<String>,
    /// Path of a block device, or of a vDPA device.
    pub dev: Option<String>,
    /// Path of a folder that is shown as a FAT disk.
    pub dir: Option<String>,
    /// Whether a guest starts without it.
    pub startup_policy: Option<StartupPolicy>,
    /// Number of the image in a running guest's chain; no effect.
    pub index: Option<u32>,
    /// Protocol.
    pub protocol: Option<NetworkProtocol>,
    /// Name of the image, in the protocol's form.
    pub name: Option<String>,
    /// What follows the `?` of an address of HTTP.
    pub query: Option<String>,
    /// Whether NBD is encrypted.
    pub tls: Option<bool>,
    /// Name of the host in its certificate.
    pub tls_hostname: Option<String>,
    /// Storage pool of libvirt's.
    pub pool: Option<String>,
    /// Its volume.
    pub volume: Option<String>,
    /// What it is.
    pub kind: Option<DiskSourceType>,
    /// Path of a vhost-user socket.
    pub path: Option<String>,
    /// Whether the PCI function is taken and given back.
    pub managed: Option<bool>,
    /// Number of the NVMe namespace.
    pub namespace: Option<u32>,
    /// The PCI function.
    pub address: Option<passthru_pci::Address>,
    /// Hosts of the storage.
    pub hosts: Vec<DiskHost>,
    /// Snapshot of the image.
    pub snapshot: Option<String>,
    /// Configuration of Ceph.
    pub config: Option<String>,
    /// As whom the storage is asked.
    pub auth: Option<Auth>,
    /// Whether the host's certificate is checked.
    pub ssl_verify: Option<YesNo>,
    /// Cookies of HTTP.
    pub cookies: Vec<Cookie>,
    /// Bytes that are read ahead.
    pub readahead: Option<u64>,
    /// Seconds to wait for an answer.
    pub timeout: Option<u64>,
    /// Who the host is to iSCSI.
    pub initiator: Option<String>,
    /// As whom NFS is asked.
    pub identity: Option<NfsIdentity>,
    /// Hosts that SSH knows.
    pub known_hosts: Option<String>,
    /// Whether a connection that is lost is made again.
    pub reconnect: Option<Reconnect>,
    /// How contents are encrypted.
    pub encryption: Option<Encryption>,
    /// Who makes persistent reservations.
    pub reservations: Option<Reservations>,
    /// The part of the file that holds the contents.
    pub slice: Option<Slice>,
    /// How the host labels the file.
    pub seclabels: Vec<SourceSeclabel>,
}

/// `<host>` of storage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskHost {
    /// Name or address.
    pub name: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// How it is reached.
    pub transport: Option<HostTransport>,
    /// Path of a socket.
    pub socket: Option<String>,
}

/// `<cookie>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cookie {
    /// Name.
    pub name: String,
    /// Value; a secret of a kind.
    pub value: Option<String>,
}

/// `<identity>`: a number with a plus sign, or a name of the host's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NfsIdentity {
    /// User.
    pub user: Option<String>,
    /// Group.
    pub group: Option<String>,
}

/// `<encryption>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encryption {
    /// How contents are encrypted.
    pub format: Option<EncryptionFormat>,
    /// Who decrypts.
    pub engine: Option<EncryptionEngine>,
    /// The keys.
    pub secrets: Vec<Secret>,
}

/// `<reservations>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reservations {
    /// Whether the helper is started for the guest.
    pub managed: Option<bool>,
    /// Where the helper is.
    pub source: Option<ReservationsSource>,
}

/// `<source>` of reservations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReservationsSource {
    /// What it is.
    pub kind: Option<DiskSourceType>,
    /// Path of the helper's socket.
    pub path: Option<String>,
    /// Who connects.
    pub mode: Option<ReservationsMode>,
}

/// `<slice>`: bytes within a file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    /// Where they begin.
    pub offset: u64,
    /// How many they are.
    pub size: u64,
}

impl DiskSource {
    /// Returns the path, of a file or of a device.
    pub fn path(&self) -> Option<&str> {
        self.file.as_deref().or(self.dev.as_deref())
    }

    /// Whether it says where the contents are.
    pub fn is_said(&self) -> bool {
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
        let mut initiator = self.initiator.take().map(|iqn| Initiator(Some(iqn)));
        v.child("initiator", &mut initiator);
        self.initiator = initiator.and_then(|initiator| initiator.0);
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
struct Initiator(Option<String>);

impl Element for Initiator {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child_word("iqn", "name", &mut self.0);
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

impl Element for Encryption {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("format", &mut self.format);
        v.attr("engine", &mut self.engine);
        v.children("secret", &mut self.secrets);
    }
}

impl Element for Reservations {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("managed", &mut self.managed);
        v.child("source", &mut self.source);
        match (self.managed, &self.source) {
            (None, _) => v.error("<reservations> needs the attribute 'managed'".into()),
            (Some(false), None) => {
                v.error(
                    "<reservations managed='no'> needs a <source type='unix' path='…' mode='client'/>".into(),
                );
            }
            _ => {}
        }
    }
}

impl Element for ReservationsSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
        v.attr("mode", &mut self.mode);
        if self.path.is_none() {
            v.error("<source> of <reservations> needs the attribute 'path'".into());
        }
    }
}
