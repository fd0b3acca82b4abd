//! The host: its file trees (`/sys`, `/proc`, `/dev`, `/run`, `/lib/modules`) and time limits.
//!
//! The methods of [`Host`] that concern an object stand in the file of that object.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use passthru_pci::Address;

/// A host: its file trees and the time limits for its kernel.
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
    /// Returns the host that this program runs on.
    pub fn new() -> Self {
        Self::at("/")
    }

    /// Returns a host whose file trees are below `root`: `root/sys`, `root/proc` and so on.
    ///
    /// In a copy of `/dev`, a file with the text `block 259:0` or `char 511:3` stands for a device
    /// node.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            wait: Duration::from_secs(2),
            limit: Duration::from_secs(60),
            ssh_session: None,
        }
    }

    /// Sets the time to wait for a device node to appear, or for a process to close a device. The
    /// default is 2 seconds.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Sets the SSH session that the program was started from, as `sshd` describes it in
    /// `SSH_CONNECTION`. The network card of that session counts as in use. Text in another format
    /// changes nothing.
    #[must_use]
    pub fn with_ssh_connection(self, text: &str) -> Self {
        Self {
            ssh_session: SshSession::parse(text).or(self.ssh_session),
            ..self
        }
    }

    /// Sets the time limit of a write to sysfs and of a `modprobe`. The default is 60 seconds: some
    /// drivers need half of that to release a device.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Returns the path of a VFIO character device, `/dev/vfio/devices/NAME`.
    pub fn cdev_path(&self, name: &str) -> PathBuf {
        self.path("dev/vfio/devices").join(name)
    }

    /// Returns whether this is a copy of a host's file trees.
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

    /// Returns the folder of a PCI device in sysfs.
    pub(crate) fn pci(&self, address: Address) -> PathBuf {
        self.path("sys/bus/pci/devices").join(address.to_string())
    }

    /// Returns the folder of a PCI driver in sysfs.
    pub(crate) fn pci_driver(&self, driver: &str) -> PathBuf {
        self.path("sys/bus/pci/drivers").join(driver)
    }

    /// Calls `condition` every 10 milliseconds until it returns true or the time is up. Returns its
    /// last result.
    pub(crate) fn wait_until(&self, time: Duration, mut condition: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + time;
        loop {
            if condition() {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl SshSession {
    /// Parses `CLIENT PORT SERVER PORT`.
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Some(Self {
            client: parse_address(words.first()?)?,
            server: parse_address(words.get(2)?)?,
        })
    }
}

/// Parses an address with or without a zone: `fe80::1%eth0`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.split('%').next()?;
    let address: IpAddr = bare.parse().ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(text: &str) -> Option<SshSession> {
        Host::new().with_ssh_connection(text).ssh_session
    }

    fn ends(client: &str, server: &str) -> SshSession {
        SshSession {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
        }
    }

    #[test]
    fn ssh_session_is_parsed_as_sshd_prints_it() {
        assert_eq!(
            session("10.0.3.2 50000 10.0.3.15 22"),
            Some(ends("10.0.3.2", "10.0.3.15"))
        );
        assert_eq!(
            session("fe80::1%eth0 50000 fe80::2%eth0 22"),
            Some(ends("fe80::1", "fe80::2"))
        );
        assert_eq!(session("UNKNOWN 65535 UNKNOWN 65535"), None);
        assert_eq!(session(""), None);
    }
}
