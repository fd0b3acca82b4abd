//! [`BackendReason`]: the reason for a backend.

use std::fmt;

/// Reason for the choice of a backend.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackendReason {
    /// The policy left no choice.
    Asked,
    /// An iommufd was given.
    Given,
    /// `/dev/iommu` answers, and each device has a character device.
    Answers,
    /// There is no iommufd.
    NoIommufd(passthru_iommufd::Error),
    /// This device has no character device: the kernel is without `CONFIG_VFIO_DEVICE_CDEV`, or the
    /// device without a VFIO driver.
    NoCdev(String),
}

impl fmt::Display for BackendReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("as requested"),
            Self::Given => f.write_str("an iommufd was given"),
            Self::Answers => write!(f, "{} is available", passthru_iommufd::PATH),
            Self::NoIommufd(error) => match error.io() {
                Some(io) => write!(f, "{error}: {io}"),
                None => error.fmt(f),
            },
            Self::NoCdev(device) => write!(f, "{device} has no VFIO character device"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn the_reason_says_what_the_kernel_answered() {
        let source = Errno::NOENT.into();
        let reason = BackendReason::NoIommufd(passthru_iommufd::Error::Open {
            path: "/dev/iommu".into(),
            source,
        });
        assert_eq!(
            reason.to_string(),
            "cannot open /dev/iommu: No such file or directory (os error 2)"
        );
    }
}
