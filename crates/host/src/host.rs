//! The host as a place: where its `/sys`, `/proc`, `/dev`, `/run` and `/lib/modules` are.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use passthru_pci::Address;

/// The host's file trees, and how long to wait for what the kernel does by and by.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    wait: Duration,
    limit: Duration,
    ssh_session: Option<SshSession>,
}

/// The two ends of the SSH session that the program was started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SshSession {
    /// Address of the client.
    pub client: IpAddr,
    /// Address of this host that the client reached.
    pub server: IpAddr,
}

impl Host {
    /// Returns the host this program runs on.
    pub fn new() -> Self {
        Self::at("/")
    }

    /// Returns a host whose trees are below `root`: `root/sys`, `root/proc` and so on. In a copy of
    /// `/dev`, a file with the text `block 259:0` or `char 511:3` stands for a device node.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            wait: Duration::from_secs(2),
            limit: Duration::from_secs(60),
            ssh_session: None,
        }
    }

    /// Sets how long to wait for a device node to appear, or for a holder to let go. 2 seconds at
    /// first.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Sets the SSH session that the program was started from, as `sshd` describes it in
    /// `SSH_CONNECTION`: the device that it goes over counts as in use. Other text changes nothing.
    #[must_use]
    pub fn with_ssh_connection(self, text: &str) -> Self {
        Self {
            ssh_session: SshSession::parse(text).or(self.ssh_session),
            ..self
        }
    }

    /// Sets how long a write to sysfs or a `modprobe` may take before it is reported as stuck. 60
    /// seconds at first: some drivers need half of that to let a device go.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Returns the path of a VFIO character device, `/dev/vfio/devices/NAME`.
    pub fn cdev_path(&self, name: &str) -> PathBuf {
        self.path("dev/vfio/devices").join(name)
    }

    /// Says whether this is a copy of a host's trees.
    pub(crate) fn is_copy(&self) -> bool {
        self.root != Path::new("/")
    }

    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    pub(crate) fn ssh_session(&self) -> Option<&SshSession> {
        self.ssh_session.as_ref()
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Folder of a PCI device in sysfs.
    pub(crate) fn pci(&self, address: Address) -> PathBuf {
        self.path("sys/bus/pci/devices").join(address.to_string())
    }

    /// Folder of a PCI driver in sysfs.
    pub(crate) fn pci_driver(&self, driver: &str) -> PathBuf {
        self.path("sys/bus/pci/drivers").join(driver)
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl SshSession {
    /// Reads `CLIENT PORT SERVER PORT`.
    fn parse(text: &str) -> Option<Self> {
        let address = |at: usize| {
            let bare = text.split_whitespace().nth(at)?.split('%').next()?;
            bare.parse::<IpAddr>()
                .ok()
                .map(|address| address.to_canonical())
        };
        Some(Self {
            client: address(0)?,
            server: address(2)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_session_is_read_as_sshd_writes_it() {
        let session = |text| Host::new().with_ssh_connection(text).ssh_session;
        let ends = |client: &str, server: &str| {
            Some(SshSession {
                client: client.parse().unwrap(),
                server: server.parse().unwrap(),
            })
        };
        assert_eq!(
            session("10.0.3.2 50000 10.0.3.15 22"),
            ends("10.0.3.2", "10.0.3.15")
        );
        assert_eq!(
            session("fe80::1%eth0 50000 fe80::2%eth0 22"),
            ends("fe80::1", "fe80::2")
        );
        assert_eq!(session("UNKNOWN 65535 UNKNOWN 65535"), None);
        assert_eq!(session(""), None);
    }
}
