//! [`ZpciError`]: an error of a PCI function on s390.

use rustix::io::{Errno, Result};

/// An error of a PCI function on s390, as the firmware reported it
/// ([`Device::zpci_error`](super::Device::zpci_error)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZpciError {
    /// The kernel's `struct zpci_ccdf_err`, in the machine's byte order. It is opaque to the VMM,
    /// and meant for the guest. Later kernels may extend it.
    pub data: Vec<u8>,
}

impl ZpciError {
    /// Converts the kernel's result, which is `ENOMSG` if no error is pending.
    pub(super) fn from_result(result: Result<Vec<u8>>) -> Result<Option<Self>> {
        match result {
            Ok(data) => Ok(Some(Self { data })),
            Err(Errno::NOMSG) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enomsg_means_that_no_error_is_pending() {
        assert_eq!(ZpciError::from_result(Err(Errno::NOMSG)), Ok(None));
        assert_eq!(ZpciError::from_result(Err(Errno::NODEV)), Err(Errno::NODEV));
        assert_eq!(
            ZpciError::from_result(Ok(vec![1; 32])),
            Ok(Some(ZpciError { data: vec![1; 32] }))
        );
    }
}
