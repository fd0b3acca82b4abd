//! [`open`]: an empty container by the backend that the kernel and the devices allow.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use passthru_iommufd::Iommufd;

use super::{
    Backend, BackendReason, Container, Discards, Error, IommufdContainer, KvmVfio, Type1Container,
};
use crate::device::Location;

/// Allowed backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// iommufd if the kernel has it for all of the devices, otherwise type1.
    #[default]
    Auto,
    /// Only iommufd.
    Iommufd,
    /// Only type1.
    Type1,
}

/// Parses `auto`, `iommufd` or `type1`.
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

/// Options for opening a container.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Allowed backends.
    pub policy: Policy,
    /// An open iommufd, from another container or passed by a manager. If `None`, then `/dev/iommu`
    /// is opened.
    pub iommufd: Option<Arc<Iommufd>>,
    /// Registration with KVM, for a guest that runs on it.
    pub kvm: Option<Arc<dyn KvmVfio>>,
    /// Registry of those that pin or discard memory of the guest. Clones of these options share it.
    pub discards: Discards,
}

/// An empty container, with the reason for its backend.
///
/// Formats as one line for a log, for example `iommufd: /dev/iommu is available`.
#[derive(Debug)]
pub struct Choice {
    /// The container.
    pub container: Arc<dyn Container>,
    /// Backend of the container.
    pub backend: Backend,
    /// Reason for this backend.
    pub reason: BackendReason,
}

/// Opens an empty container for these devices, as the policy allows.
///
/// # Errors
/// - If a device has no IOMMU, then [`Error::Device`], before anything is opened.
/// - If the policy allows one backend, then the error of that backend.
/// - If neither backend can be opened, then [`Error::NoBackend`].
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

/// Returns the iommufd to use, or the reason for not using one.
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
        let node = root.path().join("vfio-dev/noiommu-vfio7");
        std::fs::create_dir_all(&node).unwrap();
        std::fs::write(node.join("dev"), "511:7\n").unwrap();
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
