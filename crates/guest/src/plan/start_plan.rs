//! The plan of a start: for a dry run, and for the start itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use passthru_domain::{AssignedFunction, Backend, Domain, FunctionOwner};
use passthru_host::{Host, Request};
use passthru_pci::Address;
use passthru_qemu::{
    Capabilities, CommandLine, FirmwareDescriptor, Style, Want, WantKind, command_line,
};

use crate::error::Error;
use crate::opener::Opener;
use crate::plan::handover::{Delivery, Handover, HandoverItem};
use crate::plan::memlock::Memlock;
use crate::plan::nvme::NvmeController;
use crate::plan::type1;
use crate::start::images::{self, CompletedChains};
use crate::start::last_firmware::LostFirmware;
use crate::start::nvram;
use crate::start::outside::{self, NamedFds};
use crate::start::record::Records;
use crate::start::user::{User, UserOrigin};

/// Choices of the caller for a start.
#[derive(Clone, Debug)]
pub struct StartSettings {
    /// User that the VMM runs as.
    pub user: User,
    /// Descriptors that the caller handed in by name.
    pub named: NamedFds,
    /// Folder of the folders of running guests: for root, [`RUN_DIR`](crate::RUN_DIR).
    pub run_dir: PathBuf,
    /// Folder of the logs of VMMs: for root, [`LOG_DIR`](crate::LOG_DIR).
    pub log_dir: PathBuf,
    /// Records of guests.
    pub records: Records,
    /// The firmware of the last start, if it is gone: [`FirmwareDescriptors`] tells.
    ///
    /// [`FirmwareDescriptors`]: crate::FirmwareDescriptors
    pub lost_firmware: Option<LostFirmware>,
    /// Whether the guest may run as a user that another guest has.
    pub share_user: bool,
    /// Whether the guest may get another device than the one that it had at an address.
    pub accept_new_device: bool,
}

#[cfg(test)]
impl StartSettings {
    /// Returns the settings of a guest whose files are below `root`.
    pub(crate) fn for_test(root: &Path, user: User) -> Self {
        Self {
            user,
            named: NamedFds::default(),
            run_dir: root.join("run"),
            log_dir: root.join("log"),
            records: Records::new(root.join("guests")),
            lost_firmware: None,
            share_user: false,
            accept_new_device: false,
        }
    }
}

/// Plan of a start. Making a plan changes nothing.
#[derive(Debug)]
pub struct StartPlan {
    pub(crate) name: String,
    pub(crate) domain: Domain,
    pub(crate) capabilities: Capabilities,
    /// Descriptor by which the firmware was chosen, if the domain leaves the choice open.
    pub(crate) descriptor: Option<FirmwareDescriptor>,
    /// Images that only a header of another image names, and no element of the XML.
    pub(crate) header_named: BTreeSet<PathBuf>,
    pub(crate) line: CommandLine,
    pub(crate) handover: Handover,
    pub(crate) requests: Vec<Request>,
    /// Functions that the VMM opens by itself.
    pub(crate) by_type1: Vec<Address>,
    pub(crate) nvme: Vec<NvmeController>,
    pub(crate) user: User,
    pub(crate) memlock: Memlock,
    pub(crate) named: NamedFds,
    pub(crate) run_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    pub(crate) records: Records,
    pub(crate) lost_firmware: Option<LostFirmware>,
    pub(crate) share_user: bool,
    pub(crate) accept_new_device: bool,
}

impl StartPlan {
    /// Name of the want that is the monitor's socket.
    pub(crate) const MONITOR: &str = "monitor";

    /// Plans the start of a domain that is complete and valid, and in which each device has a
    /// backend. Reads the headers of disk images.
    ///
    /// A plan can have faults, such as an image that cannot be used. [`check`](crate::check)
    /// returns them with all other reasons against the start, and a start fails.
    ///
    /// # Errors
    /// If the domain has no command line, then [`Error::CommandLine`].
    pub fn new(
        mut domain: Domain,
        capabilities: &Capabilities,
        settings: StartSettings,
    ) -> Result<Self, Error> {
        nvram::set_default_path(&mut domain);
        let descriptor = domain
            .os
            .firmware
            .and_then(|_| capabilities.firmware_descriptor(&domain));
        let opener = Opener::new(&settings.user);
        let CompletedChains { header_named, .. } = images::complete_chains(&mut domain, &opener);
        let line = command_line(&domain, capabilities, Style::Managed)?;
        let name = domain.name.clone().unwrap_or_default();
        let handover = Handover::new(line.wants(), &name, &settings.user);
        Ok(Self {
            requests: requests(&domain),
            by_type1: type1::functions(&domain),
            nvme: NvmeController::of_domain(&domain),
            memlock: Memlock::for_domain(&domain, &|path| size_of_file(path, &opener)),
            user: settings.user,
            named: settings.named,
            run_dir: settings.run_dir,
            log_dir: settings.log_dir,
            records: settings.records,
            lost_firmware: settings.lost_firmware,
            share_user: settings.share_user,
            accept_new_device: settings.accept_new_device,
            name,
            domain,
            capabilities: capabilities.clone(),
            descriptor,
            header_named,
            line,
            handover,
        })
    }

    /// Returns an object of the handover by its place.
    ///
    /// # Errors
    /// If there is no such object, then [`Error::NoItem`].
    pub(crate) fn item(&self, index: usize) -> Result<&HandoverItem, Error> {
        let item = self.handover.items().get(index);
        item.ok_or(Error::NoItem { index })
    }

    /// Returns the backends of the devices, each once.
    pub(crate) fn backends(&self) -> Vec<Backend> {
        backends(&self.domain)
    }

    /// Returns whether a start needs root: for devices, or to run as another user.
    pub(crate) fn needs_root(&self) -> bool {
        self.user.origin != UserOrigin::Caller || !self.requests.is_empty()
    }

    /// Returns whether the start is recorded: only root can read and write records.
    pub(crate) fn is_recorded(&self) -> bool {
        Uid::effective().is_root()
    }

    /// Returns the reasons against the plan for which the host's devices need not be examined:
    ///
    /// - [`Error::NotPci`] of a device;
    /// - [`Error::FirmwareGone`], if the domain gets the firmware that is gone;
    /// - [`Error::Image`], if an image cannot be used;
    /// - the error of a descriptor that the caller handed in and that is not what it should be.
    pub(crate) fn faults(&self) -> Vec<Error> {
        let mut faults = device_faults(&self.domain);
        if let Some(lost) = &self.lost_firmware {
            faults.extend(lost.check(self.descriptor.as_ref()).err());
        }
        // The chains that are complete are not read again.
        let chains = images::complete_chains(&mut self.domain.clone(), &Opener::new(&self.user));
        faults.extend(chains.errors.into_iter().map(Error::from));
        for want in self.line.wants() {
            faults.extend(self.check_outside(want).err());
        }

        faults
    }

    /// Checks a descriptor that the caller handed in. The start takes it.
    fn check_outside(&self, want: &Want) -> Result<(), Error> {
        match &want.kind {
            WantKind::Iommufd { given } => {
                outside::iommufd(&want.name, given.as_ref(), &self.named)?;
            }
            WantKind::Vfio { host, given, .. } => {
                outside::cdev(*host, given.as_ref(), &self.named)?;
            }
            _ => {}
        }

        Ok(())
    }

    /// Returns the VMM's command line, in the form that a shell takes.
    pub fn command(&self) -> String {
        self.line.pretty(&self.handover)
    }

    /// Returns the folders that the VMM makes files in, each once: several nodes of the guest's
    /// memory can share one.
    pub(crate) fn folders(&self) -> BTreeSet<&str> {
        let mut folders = BTreeSet::new();
        for item in self.handover.items() {
            if let Delivery::Folder(path) = &item.delivery {
                folders.insert(path.as_str());
            }
        }

        folders
    }
}

/// Returns the requests for all devices of the host that the guest gets.
pub(crate) fn requests(domain: &Domain) -> Vec<Request> {
    let functions = domain.devices.assigned_functions();
    functions.iter().map(request).collect()
}

fn request(function: &AssignedFunction<'_>) -> Request {
    let mut request = Request {
        managed: function.managed,
        ..Request::managed(function.address)
    };
    if let FunctionOwner::Hostdev(hostdev) = function.owner {
        request.driver = hostdev.driver.as_ref().and_then(|d| d.model.clone());
        // The caller, who opened the node of a device that is handed in, has bound the device.
        request.handed_in = hostdev.iommufd_fd.is_some();
        request.managed &= !request.handed_in;
    }

    request
}

/// Returns the backends of a domain's devices, each once.
pub(crate) fn backends(domain: &Domain) -> Vec<Backend> {
    let functions = domain.devices.assigned_functions();
    let mut backends = Vec::new();
    for backend in [Backend::Iommufd, Backend::Type1] {
        let mut used = functions.iter().map(|f| domain.backend_of_function(f));
        if used.any(|used| used == Some(backend)) {
            backends.push(backend);
        }
    }

    backends
}

/// Checks that the kernel has the backends with these names, after loading their modules.
pub(crate) fn require_backends(names: &[String], host: &Host) -> Result<(), passthru_host::Error> {
    for backend in [Backend::Iommufd, Backend::Type1] {
        if names.iter().any(|name| name == backend.as_str()) {
            require_backend(backend, host)?;
        }
    }

    Ok(())
}

fn require_backend(backend: Backend, host: &Host) -> Result<(), passthru_host::Error> {
    match backend {
        Backend::Iommufd => host.require_iommufd(),
        Backend::Type1 => host.require_type1(),
    }
}

/// Returns one error for each device of the host that a start does not support.
pub(crate) fn device_faults(domain: &Domain) -> Vec<Error> {
    let mut faults = Vec::new();
    for hostdev in domain.devices.assigned() {
        if hostdev.pci().is_none() {
            faults.push(Error::NotPci {
                device: hostdev.host_name(),
            });
        }
    }

    faults
}

/// Returns the size of a file in bytes; zero for a file that the opener refuses.
pub(crate) fn size_of_file(path: &str, opener: &Opener<'_>) -> u64 {
    opener
        .stat(Path::new(path))
        .map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
}

#[cfg(test)]
impl StartPlan {
    /// Plans the start of a guest whose files are below `root`. Devices without a backend get
    /// iommufd.
    pub(crate) fn for_test(xml: &str, root: &Path, user: User) -> Self {
        let capabilities = Capabilities::builtin(passthru_domain::Arch::X86_64);
        let parsed = Domain::parse(xml).unwrap();
        let mut domain = parsed.complete(&capabilities).unwrap();
        domain.set_default_backend(Backend::Iommufd);
        Self::new(domain, &capabilities, StartSettings::for_test(root, user)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_not_read_through_a_link_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name).display().to_string();
        std::fs::write(path("rom"), "1234567").unwrap();
        std::os::unix::fs::symlink(path("rom"), path("link")).unwrap();
        let user = User::choose(None).unwrap();
        let opener = Opener::new(&user);

        assert_eq!(size_of_file(&path("rom"), &opener), 7);
        assert_eq!(size_of_file(&path("link"), &opener), 0);
    }
}
