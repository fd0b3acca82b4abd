//! [`Attachment`]: an attached device, or PASID of one, that is detached on drop.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use passthru_iommufd::Iommufd;
use rustix::io::Errno;

use crate::Failed;
use crate::device::device::Targets;
use crate::device::{Device, Error, Target};
use crate::sys;

/// One PASID of a device, attached until this is dropped.
#[derive(Debug)]
pub struct PasidAttachment {
    attachment: Attachment,
}

/// A device, or one PASID of it, attached until this is dropped.
///
/// The device holds the target: if a detach fails, then the target stays in use until the device is
/// closed.
#[derive(Debug)]
pub(super) struct Attachment {
    device: Device,
    context: Arc<Iommufd>,
    pasid: Option<u32>,
    detached: bool,
}

impl PasidAttachment {
    pub(super) fn new(attachment: Attachment) -> Self {
        Self { attachment }
    }

    /// Returns the PASID.
    pub fn pasid(&self) -> u32 {
        self.attachment.pasid.unwrap_or_default()
    }

    /// Attaches the PASID to another target instead.
    ///
    /// # Errors
    /// As for [`Bound::attach_pasid`](super::Bound::attach_pasid). The former target stays
    /// attached.
    pub fn replace(&mut self, by: impl Into<Target>) -> Result<(), Error> {
        self.attachment.replace(by.into())
    }

    /// Detaches the PASID (`VFIO_DEVICE_DETACH_PASID`).
    ///
    /// # Errors
    /// [`Error::Detach`]. The PASID comes back, still attached.
    pub fn detach(mut self) -> Result<(), Failed<Self, Error>> {
        self.attachment
            .detach()
            .map_err(|error| Failed { state: self, error })
    }
}

impl Attachment {
    pub(super) fn new(
        device: Device,
        context: Arc<Iommufd>,
        pasid: Option<u32>,
        to: Target,
    ) -> Result<Self, Error> {
        let mut targets = device.targets();
        // The kernel would take a second attach for a replacement.
        if targets.contains_key(&pasid) {
            return Err(Error::Attach {
                device: device.name(),
                pt_id: to.id(),
                pasid,
                source: Errno::BUSY.into(),
            });
        }

        attach(&device, &context, pasid, &to)
            .inspect_err(|error| restore(&device, &context, pasid, &targets, error))?;
        targets.insert(pasid, to);
        drop(targets);
        Ok(Self {
            device,
            context,
            pasid,
            detached: false,
        })
    }

    pub(super) fn replace(&mut self, by: Target) -> Result<(), Error> {
        let mut targets = self.device.targets();
        match attach(&self.device, &self.context, self.pasid, &by) {
            Ok(()) => {
                targets.insert(self.pasid, by);
                Ok(())
            }
            Err(error) => {
                restore(&self.device, &self.context, self.pasid, &targets, &error);
                Err(error)
            }
        }
    }

    pub(super) fn target(&self) -> Option<Target> {
        self.device.targets().get(&self.pasid).cloned()
    }

    pub(super) fn detach(&mut self) -> Result<(), Error> {
        let mut targets = self.device.targets();
        detach(&self.device, self.pasid)?;
        targets.remove(&self.pasid);
        self.detached = true;
        Ok(())
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if !self.detached
            && let Err(error) = self.detach()
        {
            tracing::warn!(
                "{error}: {}",
                error.io().map(ToString::to_string).unwrap_or_default()
            );
        }
    }
}

fn attach(
    device: &Device,
    context: &Arc<Iommufd>,
    pasid: Option<u32>,
    to: &Target,
) -> Result<(), Error> {
    let pt_id = to.id();
    if !Arc::ptr_eq(context, to.context()) {
        return Err(Error::OtherContext {
            device: device.name(),
            pt_id,
        });
    }

    sys::device::attach(device.as_fd(), pt_id, pasid)
        .map(|_| ())
        .map_err(|e| Error::Attach {
            device: device.name(),
            pt_id,
            pasid,
            source: e.into(),
        })
}

fn detach(device: &Device, pasid: Option<u32>) -> Result<(), Error> {
    sys::device::detach(device.as_fd(), pasid).map_err(|e| Error::Detach {
        device: device.name(),
        pasid,
        source: e.into(),
    })
}

/// Restores the attachments after an attach that failed with `EFAULT`.
///
/// The kernel attaches, then cannot copy the result back. It detaches the device itself in that
/// case, even if a PASID was to be attached, and leaves that PASID attached
/// (`vfio_df_ioctl_attach_pt`, Linux 7.3). So this attaches the former targets again, which changes
/// nothing if they still are attached. A PASID without a former target is detached.
fn restore(
    device: &Device,
    context: &Arc<Iommufd>,
    pasid: Option<u32>,
    former: &Targets,
    after: &Error,
) {
    if after.errno() != Some(Errno::FAULT) {
        return;
    }
    for (pasid, target) in to_restore(former, pasid) {
        let result = match target {
            Some(target) => attach(device, context, pasid, target),
            None => detach(device, pasid),
        };
        if let Err(error) = result {
            tracing::warn!(
                "{error}, after a failed attach: the memory that the device reaches has changed"
            );
        }
    }
}

/// Returns the attachments to restore, in this order: the device, then its PASID. `None` as target
/// means a detach.
fn to_restore<T>(
    former: &BTreeMap<Option<u32>, T>,
    pasid: Option<u32>,
) -> impl Iterator<Item = (Option<u32>, Option<&T>)> {
    let own = former.get(&None).map(|target| (None, Some(target)));
    let of_pasid = pasid.map(|_| (pasid, former.get(&pasid)));
    own.into_iter().chain(of_pasid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(
        former: &[(Option<u32>, char)],
        pasid: Option<u32>,
    ) -> Vec<(Option<u32>, Option<char>)> {
        let former = BTreeMap::from_iter(former.iter().copied());
        to_restore(&former, pasid)
            .map(|(pasid, target)| (pasid, target.copied()))
            .collect()
    }

    #[test]
    fn failed_attach_restores_only_device_and_pasid() {
        let all = [(None, 'd'), (Some(1), 'p'), (Some(2), 'q')];
        assert_eq!(restored(&all, None), [(None, Some('d'))]);
        assert_eq!(
            restored(&all, Some(1)),
            [(None, Some('d')), (Some(1), Some('p'))]
        );
        // The kernel left a PASID attached that was not before.
        assert_eq!(
            restored(&all, Some(3)),
            [(None, Some('d')), (Some(3), None)]
        );
        assert_eq!(restored(&all[1..], Some(3)), [(Some(3), None)]);
        // Without a PASID, the kernel detached the device itself.
        assert_eq!(restored(&[], None), []);
    }
}
