//! Which backend is taken, and why.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use passthru_iommufd::Iommufd;

use super::{Backend, Container, Discards, Error, IommufdContainer, KvmVfio, Type1Container, Why};
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
    /// Why this one.
    pub why: Why,
}

/// Opens an empty container for these devices, by the policy.
///
/// # Errors
/// That of the only backend, or [`Error::NoBackend`]. If a device has no IOMMU, then
/// [`Error::Device`] before anything is opened: neither backend would take it.
pub fn open(options: &Options, devices: &[Location]) -> Result<Choice, Error> {
    devices.iter().try_for_each(Location::require_iommu)?;
    match options.policy {
        Policy::Iommufd => Ok(over_iommufd(options, context(options)?, Why::Asked)?),
        Policy::Type1 => over_type1(options, Why::Asked),
        Policy::Auto => match choose(options, devices) {
            Ok((context, why)) => over_iommufd(options, context, why),
            Err(why) => over_type1_instead(options, why),
        },
    }
}

/// Returns the iommufd to use, or why there is none.
fn choose(options: &Options, devices: &[Location]) -> Result<(Arc<Iommufd>, Why), Why> {
    let why = if options.iommufd.is_some() {
        Why::Given
    } else {
        Why::Answers
    };
    let context = context(options).map_err(Why::NoIommufd)?;
    match devices.iter().find(|device| device.cdev().is_none()) {
        Some(device) => Err(Why::NoCdev(device.name())),
        None => Ok((context, why)),
    }
}

fn context(options: &Options) -> Result<Arc<Iommufd>, passthru_iommufd::Error> {
    match &options.iommufd {
        Some(context) => Ok(Arc::clone(context)),
        None => Iommufd::open().map(Arc::new),
    }
}

fn over_iommufd(options: &Options, context: Arc<Iommufd>, why: Why) -> Result<Choice, Error> {
    let container = IommufdContainer::new(&context, options.kvm.clone())?;
    let container = Arc::new(container.with_discards(options.discards.clone()));
    Ok(Choice {
        container,
        backend: Backend::Iommufd,
        why,
    })
}

fn over_type1(options: &Options, why: Why) -> Result<Choice, Error> {
    let container = Type1Container::open(options.kvm.clone())?;
    let container = Arc::new(container.with_discards(options.discards.clone()));
    Ok(Choice {
        container,
        backend: Backend::Type1,
        why,
    })
}

fn over_type1_instead(options: &Options, why: Why) -> Result<Choice, Error> {
    match over_type1(options, Why::Asked) {
        Ok(choice) => Ok(Choice { why, ..choice }),
        Err(error) => Err(Error::NoBackend {
            iommufd: Box::new(why),
            source: Box::new(error),
        }),
    }
}

/// As `type1: cannot open /dev/iommu: No such file or directory (os error 2)`.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.backend, self.why)
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
        let devices = [Location::at(root.path()).unwrap()];
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
