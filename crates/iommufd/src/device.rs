//! [`BoundDevice`]: a device that is bound to a context, as page tables and virtual IOMMUs are made for it.
//! How it is bound is VFIO's (or vDPA's) to know.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{Error, Iommufd};

/// A device that is bound to a context, as by `VFIO_DEVICE_BIND_IOMMUFD`.
pub trait BoundDevice: fmt::Debug {
    /// Returns the context that it is bound to.
    fn context(&self) -> &Arc<Iommufd>;

    /// Returns the id that the kernel gave it there (`out_devid`).
    fn id(&self) -> u32;

    /// Returns what keeps it bound, under this id, for as long as that lives: a handle of its open
    /// file.
    fn binding(&self) -> Arc<dyn Any + Send + Sync>;
}

/// Two objects of a call must be of one context, since ids say nothing in another. It is known by
/// the `Arc`: two `Iommufd` of the same open file are taken for different contexts.
pub(crate) fn same_context(
    (context, object): (&Arc<Iommufd>, u32),
    (other_context, other): (&Arc<Iommufd>, u32),
) -> Result<(), Error> {
    if Arc::ptr_eq(context, other_context) {
        Ok(())
    } else {
        Err(Error::OtherContext { object, other })
    }
}
