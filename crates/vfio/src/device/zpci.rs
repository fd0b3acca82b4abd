//! [`ZpciError`]: an error of a PCI function on s390.

use rustix::io::{Errno, Result};

/// An error of a PCI function on s390, as the platform's firmware reported it
/// ([`Device::zpci_error`](super::Device::zpci_error)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZpciError {
    /// The kernel's `struct zpci_ccdf_err`, in the machine's byte order. The user interface leaves
    /// it opaque: it is for the guest, and may grow with later kernels.
    pub data: Vec<u8>,
}

impl ZpciError {
    /// Reads the kernel's answer, which is `ENOMSG` where no error is pending.
    pub(super) fn from_answer(answer: Result<Vec<u8>>) -> Result<Option<Self>> {
        match answer {
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
        assert_eq!(ZpciError::from_answer(Err(Errno::NOMSG)), Ok(None));
        assert_eq!(ZpciError::from_answer(Err(Errno::NODEV)), Err(Errno::NODEV));
        assert_eq!(
            ZpciError::from_answer(Ok(vec![1; 32])),
            Ok(Some(ZpciError { data: vec![1; 32] }))
        );
    }
}
