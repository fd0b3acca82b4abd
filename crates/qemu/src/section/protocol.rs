//! Drivers of block nodes: files, devices and network protocols.

use passthru_domain::device::disk::{Disk, DiskDevice, DiskType};
use passthru_domain::device::disk_source::{DiskHost, DiskSource, HostTransport, NetworkProtocol};
use passthru_domain::device::encryption::{Encryption, EncryptionEngine};
use passthru_domain::device::secret::Auth;
use passthru_domain::toggle::YesNo;

use super::{reservations, secret};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Access, FilePassing, Object, Opt, Term, Want, WantKind};

/// Folder of the certificates for NBD.
const NBD_CERTIFICATES: &str = "/etc/pki/libvirt-nbd";

/// The place of an image: its source, with the login and encryption that the disk names.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) kind: DiskType,
    pub(crate) source: &'a DiskSource,
    pub(crate) auth: Option<&'a Auth>,
    pub(crate) encryption: Option<&'a Encryption>,
}

/// The driver of a node with its properties, and the objects that must be made before.
pub(crate) struct Protocol {
    pub(crate) before: Vec<Opt>,
    pub(crate) node: Object,
}

impl Place<'_> {
    /// Returns whether the emulator decrypts the contents, in the format's layer or one above.
    pub(crate) fn decrypts(&self) -> bool {
        self.encryption
            .is_some_and(|e| e.engine != Some(EncryptionEngine::Librbd))
    }

    /// Returns the driver of the node, with the objects that it needs. The ids of keys begin with
    /// `keys`.
    pub(crate) fn protocol(
        &self,
        context: &Context<'_>,
        disk: &Disk,
        node: &str,
        keys: &str,
        access: Access,
    ) -> Result<Protocol, Error> {
        let source = self.source;
        let object = match self.kind {
            DiskType::File => self.file("file", node, access),
            DiskType::Block => {
                let file = self.file(self.block_driver(disk), node, access);
                return Ok(self.block(node, file));
            }
            DiskType::Dir => Object::driver("vvfat")
                .maybe("dir", source.dir.clone())
                .with("floppy", disk.device == Some(DiskDevice::Floppy)),
            DiskType::Nvme => Object::driver("nvme")
                .maybe("device", source.address.map(|address| address.to_string()))
                .maybe("namespace", source.namespace),
            DiskType::VhostVdpa => self.vhost_vdpa(context, node),
            DiskType::Network => return self.network(context, node, keys),
            DiskType::Volume | DiskType::VhostUser => {
                let kind = self.kind;
                return Err(Error::unsupported(format!("an image of type '{kind}'")));
            }
        };
        Ok(Protocol {
            before: Vec::new(),
            node: object,
        })
    }

    fn file(&self, driver: &str, node: &str, access: Access) -> Object {
        let path = self.source.path().unwrap_or_default();
        let file = Want::file(node, path, access, FilePassing::FdSet);
        Object::driver(driver).with("filename", file)
    }

    fn vhost_vdpa(&self, context: &Context<'_>, node: &str) -> Object {
        let path = self.source.dev.clone().unwrap_or_default();
        let device = if context.is_standalone() {
            Term::from(path)
        } else {
            Term::from(Want {
                name: format!("{node}-vdpa"),
                kind: WantKind::NodeSet { path },
            })
        };
        Object::driver("virtio-blk-vhost-vdpa").with("path", device)
    }

    fn block_driver(&self, disk: &Disk) -> &'static str {
        let path = self.source.path().unwrap_or_default();
        let is_drive = path == "/dev/cdrom" || path.starts_with("/dev/sr");
        if disk.device == Some(DiskDevice::Cdrom) && is_drive {
            "host_cdrom"
        } else {
            "host_device"
        }
    }

    /// Adds the helper for persistent reservations: the guest's, or one of the disk's own.
    fn block(&self, node: &str, object: Object) -> Protocol {
        let Some(reservations) = &self.source.reservations else {
            return Protocol {
                before: Vec::new(),
                node: object,
            };
        };
        if reservations.managed == Some(true) {
            return Protocol {
                before: Vec::new(),
                node: object.with("pr-manager", reservations::HELPER),
            };
        }

        let id = format!("pr-helper-{node}");
        let path = reservations
            .source
            .as_ref()
            .and_then(|source| source.path.clone());
        let helper = Object::qom("pr-manager-helper", id.as_str()).maybe("path", path);
        Protocol {
            before: vec![Opt::object(helper)],
            node: object.with("pr-manager", id),
        }
    }

    fn network(&self, context: &Context<'_>, node: &str, keys: &str) -> Result<Protocol, Error> {
        let source = self.source;
        let protocol = source.protocol.unwrap_or(NetworkProtocol::Nbd);
        let mut before = Vec::new();
        let password = match self.auth {
            Some(auth) => {
                let id = format!("{node}-auth-secret0");
                before.push(secret::object(context, &id, auth.secret.as_ref())?);
                Some((auth.username.clone(), id))
            }
            None => None,
        };
        let object = match protocol {
            NetworkProtocol::Nbd => self.nbd(node, &mut before),
            NetworkProtocol::Rbd => self.rbd(context, keys, password, &mut before)?,
            NetworkProtocol::Gluster => self.gluster(),
            NetworkProtocol::Iscsi => self.iscsi(password),
            NetworkProtocol::Ssh => self.ssh(password),
            NetworkProtocol::Nfs => self.nfs()?,
            NetworkProtocol::Http
            | NetworkProtocol::Https
            | NetworkProtocol::Ftp
            | NetworkProtocol::Ftps => self.curl(context, protocol, node, password, &mut before)?,
            NetworkProtocol::Sheepdog | NetworkProtocol::Tftp | NetworkProtocol::Vxhs => {
                return Err(Error::unsupported(format!("the protocol '{protocol}'")));
            }
        };
        Ok(Protocol {
            before,
            node: object,
        })
    }

    fn name(&self) -> &str {
        self.source.name.as_deref().unwrap_or_default()
    }

    fn nbd(&self, node: &str, before: &mut Vec<Opt>) -> Object {
        let credentials = (self.source.tls == Some(true)).then(|| {
            let id = format!("obj{node}_tls0");
            let object = Object::qom("tls-creds-x509", id.as_str())
                .with("dir", NBD_CERTIFICATES)
                .with("endpoint", "client")
                .with("verify-peer", true);
            before.push(Opt::object(object));
            id
        });
        let again = self
            .source
            .reconnect
            .as_ref()
            .and_then(|reconnect| reconnect.delay)
            .filter(|seconds| *seconds > 0);
        Object::driver("nbd")
            .maybe(
                "server",
                self.source
                    .hosts
                    .first()
                    .map(|host| socket_address(host, 10809)),
            )
            .maybe("export", self.source.name.clone())
            .maybe("tls-creds", credentials)
            .maybe("tls-hostname", self.source.tls_hostname.clone())
            .maybe("reconnect-delay", again)
    }

    fn rbd(
        &self,
        context: &Context<'_>,
        keys: &str,
        password: Option<(String, String)>,
        before: &mut Vec<Opt>,
    ) -> Result<Object, Error> {
        let (pool, rest) = self.name().split_once('/').unwrap_or(("", self.name()));
        let (namespace, image) = match rest.split_once('/') {
            Some((namespace, image)) => (Some(namespace), image),
            None => (None, rest),
        };
        let hosts: Vec<Term> = self
            .source
            .hosts
            .iter()
            .map(|host| inet(host, 6789).into())
            .collect();
        let object = Object::driver("rbd")
            .with("pool", pool)
            .maybe("namespace", namespace)
            .with("image", image)
            .maybe("snapshot", self.source.snapshot.clone())
            .maybe("conf", self.source.config.clone())
            .maybe("server", (!hosts.is_empty()).then_some(Term::Array(hosts)));
        let object = match password {
            Some((user, secret)) => {
                let ways = Term::Array(vec!["cephx".into(), "none".into()]);
                object
                    .with("user", user)
                    .with("auth-client-required", ways)
                    .with("key-secret", secret)
            }
            None => object,
        };
        let encrypt = self.librbd_layers(context, keys, before)?;
        Ok(object.maybe("encrypt", encrypt))
    }

    /// Returns the layers that Ceph's library decrypts, each within the one above. The first secret
    /// is that of the image, and the others are those of the images that it was cloned from.
    fn librbd_layers(
        &self,
        context: &Context<'_>,
        keys: &str,
        before: &mut Vec<Opt>,
    ) -> Result<Option<Object>, Error> {
        let Some(encryption) = self.encryption.filter(|_| !self.decrypts()) else {
            return Ok(None);
        };
        let format = encryption.format.map_or("luks", |format| format.as_str());
        let mut layers = Vec::new();
        for (number, secret) in encryption.secrets.iter().enumerate() {
            let key = format!("{keys}{number}");
            before.push(secret::object(context, &key, Some(secret))?);
            layers.push(
                Object::default()
                    .with("format", format)
                    .with("key-secret", key),
            );
        }

        let layers = layers.into_iter().rev();
        Ok(layers.fold(None, |parent, layer| Some(layer.maybe("parent", parent))))
    }

    fn gluster(&self) -> Object {
        let (volume, path) = self.name().split_once('/').unwrap_or((self.name(), ""));
        let hosts = self
            .source
            .hosts
            .iter()
            .map(|host| socket_address(host, 24007).into());
        Object::driver("gluster")
            .with("volume", volume)
            .with("path", path)
            .with("server", Term::Array(hosts.collect()))
            .with("debug", 4u32)
    }

    fn iscsi(&self, password: Option<(String, String)>) -> Object {
        let (target, lun) = self.name().rsplit_once('/').unwrap_or((self.name(), "0"));
        let portal = self.source.hosts.first().map(|host| {
            let name = host.name.clone().unwrap_or_default();
            let name = if name.contains(':') {
                format!("[{name}]")
            } else {
                name
            };
            format!("{name}:{}", host.port.unwrap_or(3260))
        });
        let (user, secret) = password.unzip();
        Object::driver("iscsi")
            .maybe("portal", portal)
            .with("target", target)
            .with("lun", lun.parse::<u32>().unwrap_or(0))
            .with("transport", "tcp")
            .maybe("user", user)
            .maybe("password-secret", secret)
            .maybe("initiator-name", self.source.initiator.clone())
    }

    fn ssh(&self, password: Option<(String, String)>) -> Object {
        Object::driver("ssh")
            .with("path", self.name())
            .maybe(
                "server",
                self.source.hosts.first().map(|host| inet(host, 22)),
            )
            .maybe("user", password.map(|(user, _)| user))
    }

    /// Returns an image on NFS. Users and groups must be numbers: the line is made without the host
    /// that knows the names.
    fn nfs(&self) -> Result<Object, Error> {
        let identity = self.source.identity.clone().unwrap_or_default();
        let server = self.source.hosts.first().map(|host| {
            Object::default()
                .with("host", host.name.clone().unwrap_or_default())
                .with("type", "inet")
        });
        Ok(Object::driver("nfs")
            .maybe("server", server)
            .with("path", self.name())
            .maybe("user", identity.user.as_deref().map(nfs_id).transpose()?)
            .maybe("group", identity.group.as_deref().map(nfs_id).transpose()?))
    }

    fn curl(
        &self,
        context: &Context<'_>,
        protocol: NetworkProtocol,
        node: &str,
        password: Option<(String, String)>,
        before: &mut Vec<Opt>,
    ) -> Result<Object, Error> {
        let usual = match protocol {
            NetworkProtocol::Http => 80,
            NetworkProtocol::Https => 443,
            NetworkProtocol::Ftp => 21,
            _ => 990,
        };
        let host = self.source.hosts.first().cloned().unwrap_or_default();
        let name = host.name.unwrap_or_default();
        let name = if name.contains(':') {
            format!("[{name}]")
        } else {
            name
        };
        let query = self
            .source
            .query
            .as_ref()
            .map_or_else(String::new, |query| format!("?{query}"));
        let path = self.name().trim_start_matches('/');
        let url = format!(
            "{protocol}://{name}:{}/{path}{query}",
            host.port.unwrap_or(usual)
        );
        let cookies = if self.source.cookies.is_empty() {
            None
        } else {
            let id = format!("{node}-httpcookie-secret0");
            let names: Vec<_> = self
                .source
                .cookies
                .iter()
                .map(|cookie| cookie.name.as_str())
                .collect();
            before.push(secret::named_object(
                context,
                &id,
                format!("cookies {}", names.join(", ")),
            )?);
            Some(id)
        };
        let (user, secret) = password.unzip();
        Ok(Object::driver(protocol.as_str())
            .with("url", url)
            .maybe("username", user)
            .maybe("password-secret", secret)
            .maybe(
                "sslverify",
                self.source.ssl_verify.map(|verify| verify == YesNo::Yes),
            )
            .maybe("cookie-secret", cookies)
            .maybe("readahead", self.source.readahead)
            .maybe("timeout", self.source.timeout))
    }
}

/// Parses `+N`, the number of a user or group.
fn nfs_id(name: &str) -> Result<u32, Error> {
    let digits = name.strip_prefix('+').unwrap_or_default();
    digits.parse().map_err(|_| {
        Error::unsupported(format!(
            "the name '{name}' of an NFS <identity> (expected '+' and a number)"
        ))
    })
}

fn inet(host: &DiskHost, port: u16) -> Object {
    let port = host.port.unwrap_or(port).to_string();
    Object::default()
        .with("host", host.name.clone().unwrap_or_default())
        .with("port", port)
}

fn socket_address(host: &DiskHost, port: u16) -> Object {
    match host.transport {
        Some(HostTransport::Unix) => Object::default()
            .with("type", "unix")
            .maybe("path", host.socket.clone()),
        _ => Object::default().with("type", "inet").and(inet(host, port)),
    }
}
