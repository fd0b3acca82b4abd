//! [`Containers`]: the containers of one address space, as few as can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use passthru_iommufd::BoundDevice;
use rustix::io::Errno;

use super::{
    AttachOptions, Backend, Candidate, Choice, Container, Discards, Error, HotResetProof, Member,
    Options, open,
};
use crate::Failed;
use crate::device::{HotResetInfo, Location};

/// The containers whose mappings are to be the same. A device goes into the first one that takes
/// it, and gets a new one where none does: as where its IOMMU or its reserved IOVAs are at odds
/// with what is there, or its group is in a certain one. Where there is too little memory or too
/// few descriptors, no other is tried. One of type1 whose last device has left is let go of with
/// the next attach, since its mappings went with that device.
#[derive(Debug, Default)]
pub struct Containers {
    options: Options,
    choices: Vec<Choice>,
}

/// Where a device was attached.
#[derive(Debug)]
pub struct Placement {
    /// The device.
    pub member: Member,
    /// Its container.
    pub container: Arc<dyn Container>,
    /// Whether that is new, so that nothing is mapped in it.
    pub is_new: bool,
}

impl Containers {
    /// Has none yet. They are opened by these options, those of iommufd on one context.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            choices: Vec::new(),
        }
    }

    /// Returns them, with the reasons for their backends.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Attaches a device.
    ///
    /// # Errors
    /// What the last container says of it, or why there is no new one. Nothing has changed, but
    /// that the device may be open or bound now.
    pub fn attach(
        &mut self,
        mut device: Candidate,
        options: &AttachOptions,
    ) -> Result<Placement, Failed<Candidate, Error>> {
        self.choices
            .retain(|choice| has_mappings(&*choice.container));
        for choice in &self.choices {
            match choice.container.attach(device, options.clone()) {
                Ok(member) => return Ok(placed(member, choice, false)),
                Err(failed) if is_out_of_means(&failed.error) => return Err(failed),
                Err(Failed { state, error }) => {
                    tracing::debug!(
                        "a container over {} does not take {state}: {error}",
                        choice.backend
                    );
                    device = state;
                }
            }
        }
        let choice = match self.open_for(&device) {
            Ok(choice) => choice,
            Err(error) => {
                return Err(Failed {
                    state: device,
                    error,
                });
            }
        };
        let member = choice.container.attach(device, options.clone())?;
        let placed = placed(member, &choice, true);
        self.keep(choice);
        Ok(placed)
    }

    /// Returns what proves that a hot reset is the owner's, as [`Container::hot_reset_proof`] does,
    /// though the affected devices are in several of them: the kernel takes the files of groups in
    /// any container.
    ///
    /// # Errors
    /// [`Error::NotOwned`] with the devices that are in none of them.
    pub fn hot_reset_proof(&self, affected: &HotResetInfo) -> Result<HotResetProof, Error> {
        let of = |backend| {
            self.choices
                .iter()
                .filter(move |choice| choice.backend == backend)
        };
        // All containers of iommufd are on one context, and the kernel's answer is for that.
        if affected.owned.is_some()
            && let Some(choice) = of(Backend::Iommufd).next()
        {
            return choice.container.hot_reset_proof(affected);
        }
        let (mut groups, mut devices) = (BTreeMap::new(), Vec::new());
        for device in &affected.devices {
            let alone = HotResetInfo {
                devices: vec![*device],
                owned: affected.owned,
            };
            match of(Backend::Type1)
                .find_map(|choice| choice.container.hot_reset_proof(&alone).ok())
            {
                Some(proof) => groups.extend(
                    proof
                        .groups
                        .into_iter()
                        .map(|group| (group.group().number(), group)),
                ),
                None => devices.push(device.address.to_string()),
            }
        }
        let groups = groups.into_values().collect();
        if devices.is_empty() {
            Ok(HotResetProof { groups })
        } else {
            Err(Error::NotOwned { devices })
        }
    }

    /// Returns whether the guest's memory may be discarded beside the devices that are attached, in
    /// any of them.
    pub fn discards(&self) -> &Discards {
        &self.options.discards
    }

    /// Lets go of a container, as when its last device has left.
    pub fn remove(&mut self, container: &Arc<dyn Container>) {
        self.choices
            .retain(|choice| !Arc::ptr_eq(&choice.container, container));
    }

    /// Opens one that the device can be in: on its iommufd, where it is bound.
    fn open_for(&self, device: &Candidate) -> Result<Choice, Error> {
        let mut options = self.options.clone();
        let location: Location = match device {
            Candidate::Source(source) => source.locate()?,
            Candidate::Bound(bound) => {
                options
                    .iommufd
                    .get_or_insert_with(|| Arc::clone(bound.context()));
                bound.device().location().clone()
            }
        };
        open(&options, &[location])
    }

    fn keep(&mut self, choice: Choice) {
        if let Some(ioas) = choice.container.ioas() {
            self.options
                .iommufd
                .get_or_insert_with(|| Arc::clone(ioas.context()));
        }
        self.choices.push(choice);
    }
}

/// Whether an attach failed for what the process or the machine has too little of, and not because
/// the device does not fit.
fn is_out_of_means(error: &Error) -> bool {
    let errno = error.io().and_then(Errno::from_io_error);
    errno.is_some_and(|errno| {
        [
            Errno::NOMEM,
            Errno::MFILE,
            Errno::NFILE,
            Errno::FAULT,
            Errno::INTR,
        ]
        .contains(&errno)
    })
}

/// Whether what was mapped in it is so still.
fn has_mappings(container: &dyn Container) -> bool {
    container.capabilities().without_devices
        || !matches!(container.iova_ranges(), Err(Error::NoDevice))
}

fn placed(member: Member, choice: &Choice, is_new: bool) -> Placement {
    Placement {
        member,
        container: Arc::clone(&choice.container),
        is_new,
    }
}
