//! [`KvmVfio`]: registration of VFIO files with KVM, which a VMM implements.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::Error;

/// KVM's VFIO device (`KVM_DEV_TYPE_VFIO`) of a VMM.
///
/// KVM learns from it which devices the guest has. KVM then keeps their caches coherent, and makes
/// itself known to their drivers.
pub trait KvmVfio: fmt::Debug + Send + Sync {
    /// Registers a group's file (type1) or a device's file (iommufd), before the device is used
    /// (`KVM_DEV_VFIO_FILE_ADD`).
    ///
    /// # Errors
    /// KVM's refusal. The device is then not attached.
    fn add(&self, file: BorrowedFd<'_>) -> io::Result<()>;

    /// Removes a registration (`KVM_DEV_VFIO_FILE_DEL`). The descriptor may be another one than was
    /// added, but of the same open file.
    ///
    /// # Errors
    /// KVM's refusal, which is logged.
    fn remove(&self, file: BorrowedFd<'_>) -> io::Result<()>;
}

/// A registration with KVM. Drop removes it.
#[derive(Debug)]
pub(super) struct Registration {
    kvm: Arc<dyn KvmVfio>,
    file: OwnedFd,
}

impl Registration {
    /// Registers an open file; does nothing without a KVM.
    pub(super) fn new(
        kvm: Option<&Arc<dyn KvmVfio>>,
        file: BorrowedFd<'_>,
    ) -> Result<Option<Self>, Error> {
        let Some(kvm) = kvm else { return Ok(None) };
        let file = file
            .try_clone_to_owned()
            .map_err(|source| Error::Copy { source })?;
        kvm.add(file.as_fd())
            .map_err(|source| Error::Kvm { source })?;
        Ok(Some(Self {
            kvm: Arc::clone(kvm),
            file,
        }))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Err(error) = self.kvm.remove(self.file.as_fd()) {
            tracing::warn!("cannot take a device's registration with KVM back: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Recorder {
        files: Mutex<Vec<i32>>,
        refuses: bool,
    }

    impl KvmVfio for Recorder {
        fn add(&self, file: BorrowedFd<'_>) -> io::Result<()> {
            if self.refuses {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.files.lock().unwrap().push(file.as_raw_fd());
            Ok(())
        }

        fn remove(&self, file: BorrowedFd<'_>) -> io::Result<()> {
            self.files
                .lock()
                .unwrap()
                .retain(|fd| *fd != file.as_raw_fd());
            Ok(())
        }
    }

    #[test]
    fn registration_is_removed_on_drop() {
        let recorder = Arc::new(Recorder::default());
        let kvm: Arc<dyn KvmVfio> = Arc::clone(&recorder) as _;
        let file = File::open("/dev/null").unwrap();
        let registration = Registration::new(Some(&kvm), file.as_fd()).unwrap();

        assert_eq!(recorder.files.lock().unwrap().len(), 1);

        drop((file, registration));
        assert!(recorder.files.lock().unwrap().is_empty());
    }

    #[test]
    fn refusal_by_kvm_is_an_error() {
        let kvm: Arc<dyn KvmVfio> = Arc::new(Recorder {
            refuses: true,
            ..Recorder::default()
        });
        let error =
            Registration::new(Some(&kvm), File::open("/dev/null").unwrap().as_fd()).unwrap_err();
        assert!(matches!(error, Error::Kvm { .. }));
    }
}
