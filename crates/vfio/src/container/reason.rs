//! [`BackendReason`]: the reason for a choice of backend.

use std::fmt;

/// Reason for a choice of backend.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackendReason {
    /// The policy allows only this one.
    Asked,
    /// The caller gave an iommufd.
    Given,
    /// `/dev/iommu` can be opened, and each device has a character device.
    Answers,
    /// `/dev/iommu` cannot be opened.
    NoIommufd(passthru_iommufd::Error),
    /// A device has no character device. The kernel lacks `CONFIG_VFIO_DEVICE_CDEV`, or the device
    /// is not on a VFIO driver.
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
    fn reason_shows_the_errno() {
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
