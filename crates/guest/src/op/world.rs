//! What operations work on.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use passthru_host::{Assignment, Host, ProcessId};

use crate::opener::Opener;
use crate::run::folder::GuestFolder;
use crate::run::machine::Machine;
use crate::start::opened::Opened;
use crate::start::record::Records;
use crate::start::user::User;
use crate::vmm_log::VmmLog;

/// Objects of one guest that its operations change.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) user: User,
    pub(crate) records: Records,
    pub(crate) folder: GuestFolder,
    pub(crate) assignment: Option<Assignment>,
    /// Devices that a transaction takes or gives back.
    pub(crate) moving: Option<Assignment>,
    /// Descriptors for the VMM, until it is spawned.
    pub(crate) opened: Opened,
    /// Logs to empty once the start has succeeded.
    pub(crate) to_empty: Vec<File>,
    /// Log of the VMM's messages, until the VMM is spawned.
    pub(crate) log: Option<VmmLog>,
    /// Mount of the VMM's own `/dev/vfio`.
    pub(crate) vfio: Option<OwnedFd>,
    /// The control socket, until the guest that is started takes it over.
    pub(crate) control: Option<UnixListener>,
    /// Process of the VMM, once it is spawned.
    pub(crate) vmm: Option<ProcessId>,
    /// The VMM, until the guest that is started takes it over.
    pub(crate) machine: Option<Machine>,
}

impl World {
    /// Returns the world of a guest for which nothing has changed yet.
    pub(crate) fn new(host: &Host, user: User, records: Records, folder: GuestFolder) -> Self {
        Self {
            host: host.clone(),
            user,
            records,
            folder,
            assignment: None,
            moving: None,
            opened: Opened::new(),
            to_empty: Vec::new(),
            log: None,
            vfio: None,
            control: None,
            vmm: None,
            machine: None,
        }
    }

    /// Joins the devices of a transaction with the guest's other devices.
    pub(crate) fn settle(&mut self) {
        let Some(moved) = self.moving.take() else {
            return;
        };
        match &mut self.assignment {
            Some(assignment) => assignment.absorb(moved),
            None => self.assignment = Some(moved),
        }
    }

    /// Returns the name of the guest.
    pub(crate) fn name(&self) -> &str {
        self.folder.name()
    }

    pub(crate) fn opener(&self) -> Opener<'_> {
        Opener::new(&self.user)
    }
}
