//! [`Containers`]: the containers of one address space, as few as possible.

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

/// Containers with equal mappings, as few as possible.
///
/// A device is attached to the first container that accepts it:
/// - If none accepts it, then a new container is opened. A container may refuse a device because of
///   its IOMMU, its reserved IOVAs, or its group.
/// - If memory or descriptors run out, then the attach fails without a try at another container.
/// - A type1 container whose last device has left is dropped at the next attach, since its mappings
///   ended with that device.
#[derive(Debug, Default)]
pub struct Containers {
    options: Options,
    choices: Vec<Choice>,
}

/// An attached device with its container.
#[derive(Debug)]
pub struct Placement {
    /// The device.
    pub member: Member,
    /// Container of the device.
    pub container: Arc<dyn Container>,
    /// The container was opened for this device, so nothing is mapped in it.
    pub is_new: bool,
}

impl Containers {
    /// Creates an empty list. Containers are opened with these options; those of iommufd share one
    /// [`Iommufd`](passthru_iommufd::Iommufd).
    pub fn new(options: Options) -> Self {
        Self {
            options,
            choices: Vec::new(),
        }
    }

    /// Returns the containers, with the reasons for their backends.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Attaches a device.
    ///
    /// # Errors
    /// The error of the last container that was tried, or of opening a new one. Nothing has
    /// changed, except that the returned device may be open or bound now.
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
                Err(failed) if is_out_of_resources(&failed.error) => return Err(failed),
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

    /// Returns the proof of ownership for a hot reset, also if the affected devices are in several
    /// of the containers.
    ///
    /// See [`Container::hot_reset_proof`]. The kernel accepts the files of groups in any container.
    ///
    /// # Errors
    /// [`Error::NotOwned`] with the devices that are in none of the containers.
    pub fn hot_reset_proof(&self, affected: &HotResetInfo) -> Result<HotResetProof, Error> {
        // All containers of iommufd share one context, and the kernel's reply is for that context.
        let mut iommufd = self.containers(Backend::Iommufd);
        if affected.owned.is_some()
            && let Some(container) = iommufd.next()
        {
            return container.hot_reset_proof(affected);
        }

        let mut groups = BTreeMap::new();
        let mut not_owned = Vec::new();
        for device in &affected.devices {
            let alone = HotResetInfo {
                devices: vec![*device],
                owned: affected.owned,
            };
            let proof = self
                .containers(Backend::Type1)
                .find_map(|container| container.hot_reset_proof(&alone).ok());
            let Some(proof) = proof else {
                not_owned.push(device.address.to_string());
                continue;
            };
            for group in proof.groups {
                groups.insert(group.group().number(), group);
            }
        }

        if !not_owned.is_empty() {
            return Err(Error::NotOwned { devices: not_owned });
        }
        Ok(HotResetProof {
            groups: groups.into_values().collect(),
        })
    }

    /// Lists the containers of one backend.
    fn containers(&self, backend: Backend) -> impl Iterator<Item = &dyn Container> {
        let choices = self.choices.iter();
        choices
            .filter(move |choice| choice.backend == backend)
            .map(|choice| &*choice.container)
    }

    /// Returns the registry of those that pin or discard memory, which all of the containers share.
    pub fn discards(&self) -> &Discards {
        &self.options.discards
    }

    /// Drops a container from the list, for example after its last device has left.
    pub fn remove(&mut self, container: &Arc<dyn Container>) {
        self.choices
            .retain(|choice| !Arc::ptr_eq(&choice.container, container));
    }

    /// Opens a container that can hold the device: on its iommufd, if the device is bound.
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

/// Returns whether an attach failed because the process or the machine ran out of something, and
/// not because the device does not fit.
fn is_out_of_resources(error: &Error) -> bool {
    let errno = error.io().and_then(Errno::from_io_error);
    matches!(
        errno,
        Some(Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::FAULT | Errno::INTR)
    )
}

/// Returns whether the mappings of the container can still exist.
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
