//! [`BoundDevice`]: a device that is bound to a context.
//!
//! VFIO (or vDPA) binds the device; this crate makes page tables and virtual IOMMUs for it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{Error, Iommufd};

/// A device that is bound to a context, such as by `VFIO_DEVICE_BIND_IOMMUFD`.
///
/// Implement this trait for the type that owns the open device file.
pub trait BoundDevice: fmt::Debug {
    /// Returns the context that the device is bound to.
    fn context(&self) -> &Arc<Iommufd>;

    /// Returns the device's id in the context (`out_devid` of the bind).
    fn id(&self) -> u32;

    /// Returns a handle that keeps the device bound under [`BoundDevice::id`] while the handle
    /// lives: a reference to the device's open file.
    fn binding(&self) -> Arc<dyn Any + Send + Sync>;
}

/// Checks that two objects of one call belong to one context, since ids mean nothing in another.
///
/// Contexts are compared by `Arc`: two `Iommufd` values of one open file count as different.
pub(crate) fn check_same_context(
    (context, object): (&Arc<Iommufd>, u32),
    (other_context, other): (&Arc<Iommufd>, u32),
) -> Result<(), Error> {
    if Arc::ptr_eq(context, other_context) {
        Ok(())
    } else {
        Err(Error::OtherContext { object, other })
    }
}
