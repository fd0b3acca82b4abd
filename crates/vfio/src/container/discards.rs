//! [`Discards`]: a registry that keeps a guest's memory from being discarded while devices use it.

use std::any::Any;
use std::ptr::addr_eq;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Error;
use crate::device::{DeviceKind, Location};

/// Registry of those that pin a guest's memory, and of those that discard parts of it. One excludes
/// the other.
///
/// All containers of a guest share one registry ([`Options::discards`](super::Options::discards)).
/// A container pins all that is mapped. If a balloon discards such a page, the guest later gets a
/// different page from the one that the device still uses.
///
/// Memory counts as pinned:
/// - With iommufd, from the time that a device is attached to a page table until the table is
///   destroyed. A table that is [included](super::Container::include) counts too. A table can
///   outlive its last device while dirty pages are tracked, or while the caller keeps it.
/// - With type1, while a group is in the container. A [`HotResetProof`](super::HotResetProof) keeps
///   a group there.
/// - Not for a mediated device: its driver pins pages only while it uses them.
///
/// Call [`Discards::begin`] before a balloon or free page reporting discards memory, since the
/// address space does not learn of that. Memory may be discarded before a device is attached:
/// pinning makes new pages, filled with zeros. virtio-mem needs no call, and works beside any
/// device: [`AddressSpace::discard`](crate::address_space::AddressSpace::discard) unmaps its
/// granules before they are discarded.
///
/// ```
/// use passthru_vfio::container::Discards;
///
/// let discards = Discards::default();
/// let inflated = discards.begin()?;
/// // The balloon discards; an attach of a device that pins memory fails meanwhile.
/// drop(inflated);
/// # Ok::<(), passthru_vfio::container::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Discards(Arc<Mutex<Holders>>);

#[derive(Debug, Default)]
struct Holders {
    pinning: Vec<Pinning>,
    discarding: usize,
}

/// A holder that pins memory for as long as it exists.
#[derive(Debug)]
struct Pinning {
    name: String,
    holder: Weak<dyn Any + Send + Sync>,
}

/// Permission to discard memory, until it is dropped. Devices that pin memory cannot be attached
/// meanwhile.
#[derive(Debug)]
pub struct Discarding(Discards);

/// Registration of a device that pins memory, until it is dropped.
#[derive(Debug)]
pub(super) struct Pins {
    _pinning: Arc<()>,
}

impl Discards {
    /// Returns whether nothing pins memory now.
    ///
    /// Another thread may attach a device at any time after that; [`Discards::begin`] prevents it.
    pub fn allowed(&self) -> bool {
        self.lock().pinning.is_empty()
    }

    /// Keeps devices that pin memory from being attached, until the returned value is dropped.
    ///
    /// # Errors
    /// [`Error::Pinned`] with the devices and page tables that pin memory.
    pub fn begin(&self) -> Result<Discarding, Error> {
        let mut state = self.lock();
        if !state.pinning.is_empty() {
            let devices = state
                .pinning
                .iter()
                .map(|pinning| pinning.name.clone())
                .collect();
            return Err(Error::Pinned { devices });
        }

        state.discarding += 1;
        Ok(Discarding(self.clone()))
    }

    /// Registers a device that is to be attached, unless it is a mediated one.
    pub(super) fn pin_for(&self, device: &Location) -> Result<Option<Pins>, Error> {
        (device.kind() != DeviceKind::Mdev)
            .then(|| self.pin(device.name()))
            .transpose()
    }

    fn pin(&self, name: String) -> Result<Pins, Error> {
        let pinning = Arc::new(());
        self.pin_while(name, &pinning)?;
        Ok(Pins { _pinning: pinning })
    }

    /// Registers a holder, once, for as long as it exists.
    pub(super) fn pin_while<T: Any + Send + Sync>(
        &self,
        name: String,
        holder: &Arc<T>,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        if state.discarding > 0 {
            return Err(Error::Discarding { device: name });
        }
        if !state
            .pinning
            .iter()
            .any(|pinning| addr_eq(pinning.holder.as_ptr(), Arc::as_ptr(holder)))
        {
            let holder: Weak<T> = Arc::downgrade(holder);
            state.pinning.push(Pinning { name, holder });
        }

        Ok(())
    }

    /// Locks the registry, and drops the holders that no longer exist.
    fn lock(&self) -> MutexGuard<'_, Holders> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .pinning
            .retain(|pinning| pinning.holder.strong_count() > 0);
        state
    }
}

impl Drop for Discarding {
    fn drop(&mut self) {
        self.0.lock().discarding -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_and_discarding_exclude_each_other() {
        let discards = Discards::default();
        let first = discards.begin().unwrap();
        let second = discards.clone().begin().unwrap();
        drop(first);
        let error = discards.pin("a".into()).unwrap_err();

        assert!(
            matches!(&error, Error::Discarding { device } if device == "a")
                && error.hint().is_some()
        );

        drop(second);
        let pins = [
            discards.pin("a".into()).unwrap(),
            discards.pin("a".into()).unwrap(),
        ];
        let [one, other] = pins;
        drop(one);
        assert!(!discards.allowed());

        let error = discards.begin().unwrap_err();
        assert!(
            matches!(&error, Error::Pinned { devices } if devices == &["a"])
                && error.hint().is_some()
        );

        drop(other);
        assert!(discards.allowed());

        drop(discards.begin().unwrap());
    }

    #[test]
    fn holder_pinned_twice_counts_once() {
        let discards = Discards::default();
        let table = Arc::new(7);
        for _ in 0..2 {
            discards.pin_while("table".into(), &table).unwrap();
        }
        let error = discards.begin().unwrap_err();

        assert!(
            matches!(&error, Error::Pinned { devices } if devices == &["table"]),
            "{error}"
        );

        drop(table);
        assert!(discards.begin().is_ok());
    }
}
