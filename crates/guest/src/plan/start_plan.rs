//! What a start will do, decided before it does anything: for `--dry-run`, and for the start
//! itself.

use crate::error::Error;
use crate::opener::Opener;
use crate::plan::handover::{Handover, How, Mode};
use crate::plan::memlock::Memlock;
use crate::plan::step::Step;
use crate::run::folder::folder_path;
use crate::start::images;
use crate::start::nvram;
use crate::start::outside;
use crate::start::outside::NamedFds;
use crate::start::record::Records;
use crate::start::user::{User, UserOrigin};
use nix::unistd::Uid;
use passthru_domain::device::Hostdev;
use passthru_domain::{Backend, Domain};
use passthru_host::{Host, Request};
use passthru_qemu::{Capabilities, CommandLine, Style, What, command_line};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What the caller decides about a start.
#[derive(Clone, Debug)]
pub struct StartSettings {
    /// The user that the VMM runs as.
    pub user: User,
    /// Descriptors that the caller handed in by name.
    pub named: NamedFds,
    /// Where the folders of running guests are: for root, [`RUN_DIR`](crate::RUN_DIR).
    pub run_dir: PathBuf,
    /// Records of guests.
    pub records: Records,
    /// Whether the guest may run as a user that another guest has.
    pub share_user: bool,
    /// Whether the guest gets a device that is at the address of one that it had.
    pub accept_new_device: bool,
}

/// What a start will do. Making one changes nothing.
#[derive(Debug)]
pub struct StartPlan {
    pub(crate) name: String,
    pub(crate) domain: Domain,
    /// Images that no element of the XML names, but a header of another image.
    pub(crate) header_named: BTreeSet<PathBuf>,
    pub(crate) line: CommandLine,
    pub(crate) handover: Handover,
    pub(crate) requests: Vec<Request>,
    pub(crate) user: User,
    pub(crate) memlock: Memlock,
    pub(crate) named: NamedFds,
    pub(crate) run_dir: PathBuf,
    pub(crate) records: Records,
    pub(crate) share_user: bool,
    pub(crate) accept_new_device: bool,
}

impl StartPlan {
    /// Name of the want that is the monitor's socket.
    pub(crate) const MONITOR: &str = "monitor";

    /// Plans the start of a domain that is complete and valid, and whose devices' backends are
    /// settled.
    ///
    /// # Errors
    /// A device that asks for type1, an image that cannot be read, a descriptor from outside that
    /// is not what it should be.
    pub fn new(
        mut domain: Domain,
        capabilities: &Capabilities,
        settings: StartSettings,
    ) -> Result<Self, Error> {
        refuse_type1(&domain)?;
        nvram::settle(&mut domain);
        let opener = Opener::new(&settings.user);
        let header_named = images::complete_chains(&mut domain, &opener)?;
        let line = command_line(&domain, capabilities, Style::Managed)?;
        let name = domain.name.clone().unwrap_or_default();
        let handover = Handover::plan(line.wants(), &name, &settings.user);
        let plan = Self {
            requests: domain
                .devices
                .assigned()
                .map(request)
                .collect::<Result<_, _>>()?,
            memlock: Memlock::for_domain(&domain, &|path| size_of_file(path, &opener)),
            user: settings.user,
            named: settings.named,
            run_dir: settings.run_dir,
            records: settings.records,
            share_user: settings.share_user,
            accept_new_device: settings.accept_new_device,
            name,
            domain,
            header_named,
            line,
            handover,
        };
        plan.check_outside()?;
        Ok(plan)
    }

    /// Returns the steps, in their order.
    ///
    /// # Errors
    /// A device that is not there.
    pub fn steps(&self, host: &Host) -> Result<Vec<Step>, Error> {
        let requests = self
            .requests
            .iter()
            .map(|request| Step::of_request(request, host));
        let (take, back): (Vec<_>, Vec<_>) =
            requests.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let (devices, others): (Vec<_>, Vec<_>) = self
            .handover
            .items()
            .iter()
            .partition(|item| matches!(item.want.what, What::Vfio { .. }));
        let mut steps = vec![Step::Lock {
            folder: folder_path(&self.run_dir, &self.name),
        }];
        steps.extend(nvram::missing(&self.domain, &Opener::new(&self.user)).map(Step::of_nvram));
        steps.extend(others.into_iter().filter_map(Step::of_item));
        if self.is_recorded() {
            steps.push(Step::Record {
                path: self.records.path(&self.name),
            });
        }
        steps.extend(take);
        steps.extend(devices.into_iter().filter_map(Step::of_item));
        let has_limit = self.needs_root();
        steps.push(Step::Spawn {
            user: self.user.name.clone(),
            uid: self.user.uid(),
            memlock: has_limit.then(|| self.memlock.bytes()),
            memlock_items: if has_limit {
                self.memlock.items().to_vec()
            } else {
                Vec::new()
            },
            command: std::iter::once(self.line.emulator.clone())
                .chain(self.line.render(&self.handover))
                .collect(),
        });
        steps.push(Step::Run);
        steps.extend(back.into_iter().rev().flatten());
        Ok(steps)
    }

    /// Returns whether a start needs root: for devices, or to run as another user.
    pub(crate) fn needs_root(&self) -> bool {
        self.user.origin != UserOrigin::Caller || !self.requests.is_empty()
    }

    /// Returns whether the start is recorded: only root can read and write records.
    pub(crate) fn is_recorded(&self) -> bool {
        Uid::effective().is_root()
    }

    /// Descriptors from outside are looked at now, while a mistake costs nothing. They are taken at
    /// the start.
    fn check_outside(&self) -> Result<(), Error> {
        for want in self.line.wants() {
            match &want.what {
                What::Iommufd { number, fdgroup } => {
                    outside::iommufd(&want.name, *number, fdgroup.as_deref(), &self.named)?;
                }
                What::Vfio { host, number, .. } => {
                    outside::cdev(*host, *number)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the command for a shell, as the VMM would get it.
    pub fn command(&self) -> String {
        self.line.pretty(&self.handover)
    }

    /// Goes through the folders that the VMM makes files in, each once: nodes of the guest's memory
    /// can share one.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        let paths = self
            .handover
            .items()
            .iter()
            .filter_map(|item| match &item.how {
                How::Folder(path) => Some(path.as_str()),
                _ => None,
            });
        paths.collect::<BTreeSet<_>>().into_iter()
    }
}

/// Says how a file is opened, for people.
pub(crate) const fn mode_text(mode: Mode) -> &'static str {
    match mode {
        Mode::Read => "for reading",
        Mode::ReadWrite => "for reading and writing",
        Mode::Write => "for writing",
        Mode::Append => "for appending",
    }
}

fn request(hostdev: &Hostdev) -> Result<Request, Error> {
    let address = hostdev.pci().ok_or_else(|| Error::NotPci {
        device: hostdev.host_name(),
    })?;
    let driver = hostdev.driver.as_ref().and_then(|d| d.model.clone());
    // A device whose open node comes from outside was bound by whoever opened it.
    let handed_in = hostdev.iommufd_fd.is_some();
    let managed = hostdev.managed == Some(true) && !handed_in;
    Ok(Request {
        address,
        managed,
        driver,
        handed_in,
    })
}

fn refuse_type1(domain: &Domain) -> Result<(), Error> {
    let is_type1 = |device: &&Hostdev| domain.backend(device) == Some(Backend::Type1);
    match domain
        .devices
        .assigned()
        .find(is_type1)
        .and_then(Hostdev::pci)
    {
        Some(device) => Err(Error::Type1 { device }),
        None => Ok(()),
    }
}

/// Returns the size of a file; zero for one that cannot be opened for the guest.
fn size_of_file(path: &str, opener: &Opener<'_>) -> u64 {
    opener
        .stat(Path::new(path))
        .map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_not_read_through_a_link_that_others_can_make() {
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
