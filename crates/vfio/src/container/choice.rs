//! The choice of a backend.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use passthru_iommufd::Iommufd;

use super::{
    Backend, BackendReason, Container, Discards, Error, IommufdContainer, KvmVfio, Type1Container,
};
use crate::device::Location;

/// Which backend to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// iommufd where the kernel has it for all devices, else type1.
    #[default]
    Auto,
    /// iommufd or nothing.
    Iommufd,
    /// type1 or nothing.
    Type1,
}

/// Reads `auto`, `iommufd` or `type1`.
impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "iommufd" => Ok(Self::Iommufd),
            "type1" => Ok(Self::Type1),
            _ => Err(format!("'{text}' is not one of auto, iommufd and type1")),
        }
    }
}

/// How a container is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which backend to take.
    pub policy: Policy,
    /// An iommufd that is there already, from another container or passed by a manager; without
    /// one, `/dev/iommu` is opened.
    pub iommufd: Option<Arc<Iommufd>>,
    /// KVM, where the devices are for a guest on it.
    pub kvm: Option<Arc<dyn KvmVfio>>,
    /// Who discards memory of the guest, and who keeps it from being discarded. Clones of these
    /// options have it in common.
    pub discards: Discards,
}

/// An empty container, with the reason for its backend, as for a line of the log.
#[derive(Debug)]
pub struct Choice {
    /// The container.
    pub container: Arc<dyn Container>,
    /// Its backend.
    pub backend: Backend,
    /// Reason for this backend.
    pub reason: BackendReason,
}

/// Opens an empty container for these devices, by the policy.
///
/// # Errors
/// That of the only backend, or [`Error::NoBackend`]. If a device has no IOMMU, then
/// [`Error::Device`] before anything is opened: neither backend would take it.
pub fn open(options: &Options, devices: &[Location]) -> Result<Choice, Error> {
    devices.iter().try_for_each(Location::require_iommu)?;
    match options.policy {
        Policy::Iommufd => Ok(over_iommufd(
            options,
            context(options)?,
            BackendReason::Asked,
        )?),
        Policy::Type1 => over_type1(options, BackendReason::Asked),
        Policy::Auto => match choose(options, devices) {
            Ok((context, reason)) => over_iommufd(options, context, reason),
            Err(reason) => over_type1_instead(options, reason),
        },
    }
}

/// Returns the iommufd to use, or why there is none.
fn choose(
    options: &Options,
    devices: &[Location],
) -> Result<(Arc<Iommufd>, BackendReason), BackendReason> {
    let reason = if options.iommufd.is_some() {
        BackendReason::Given
    } else {
        BackendReason::Answers
    };
    let context = context(options).map_err(BackendReason::NoIommufd)?;
    match devices.iter().find(|device| device.cdev().is_none()) {
        Some(device) => Err(BackendReason::NoCdev(device.name())),
        None => Ok((context, reason)),
    }
}

fn context(options: &Options) -> Result<Arc<Iommufd>, passthru_iommufd::Error> {
    match &options.iommufd {
        Some(context) => Ok(Arc::clone(context)),
        None => Iommufd::open().map(Arc::new),
    }
}

fn over_iommufd(
    options: &Options,
    context: Arc<Iommufd>,
    reason: BackendReason,
) -> Result<Choice, Error> {
    let container = IommufdContainer::new(&context, options.kvm.clone())?;
    let container = Arc::new(container.with_discards(options.discards.clone()));
    Ok(Choice {
        container,
        backend: Backend::Iommufd,
        reason,
    })
}

fn over_type1(options: &Options, reason: BackendReason) -> Result<Choice, Error> {
    let container = Type1Container::open(options.kvm.clone())?;
    let container = Arc::new(container.with_discards(options.discards.clone()));
    Ok(Choice {
        container,
        backend: Backend::Type1,
        reason,
    })
}

fn over_type1_instead(options: &Options, reason: BackendReason) -> Result<Choice, Error> {
    match over_type1(options, BackendReason::Asked) {
        Ok(choice) => Ok(Choice { reason, ..choice }),
        Err(error) => Err(Error::NoBackend {
            iommufd: Box::new(reason),
            source: Box::new(error),
        }),
    }
}

/// As `type1: cannot open /dev/iommu: No such file or directory (os error 2)`.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.backend, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn device_without_iommu_is_refused_by_every_policy() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("vfio-dev/noiommu-vfio7")).unwrap();
        let devices = [Location::from_sysfs(root.path()).unwrap()];
        for policy in [Policy::Auto, Policy::Iommufd, Policy::Type1] {
            let error = open(
                &Options {
                    policy,
                    ..Options::default()
                },
                &devices,
            )
            .unwrap_err();
            let Error::Device(device::Error::NoIommu { node, .. }) = &error else {
                panic!("{error}")
            };
            assert_eq!(node, "noiommu-vfio7");
        }
    }
}
