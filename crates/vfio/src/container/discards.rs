//! [`Discards`]: whether a guest's memory may be discarded while devices reach it.

use std::any::Any;
use std::ptr::addr_eq;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Error;
use crate::device::{DeviceKind, Location};

/// Who pins a guest's memory, and who discards parts of it: one excludes the other. All containers
/// of a guest have one in common ([`Options::discards`](super::Options::discards)).
///
/// The container of a device pins all that is mapped. Who discards a page of that, as a balloon
/// does, gives the guest another page than the device has. With iommufd each page table pins, from
/// when it is made until it is destroyed, also while no device is attached to it: one that is being
/// tracked, or that the caller keeps, counts like a device from when a device is attached to it or
/// it is [included](super::Container::include). With type1 a group pins until it leaves the
/// container, which a hot reset's proof keeps it from. With a mediated device the kernel pins what
/// its driver asks for alone, when the guest uses it: memory may be discarded beside such devices,
/// and no others.
///
/// This is for whoever discards without a word to the address space: a balloon, or free page
/// reporting. What is discarded before a device is attached does no harm: its pages are made anew
/// when they are pinned, as zeros. virtio-mem needs no leave: its granules are unmapped before they
/// are discarded, by [`AddressSpace::discard`](crate::address_space::AddressSpace::discard), and so
/// go with any device.
///
/// ```
/// use passthru_vfio::container::Discards;
///
/// let discards = Discards::default();
/// let inflated = discards.begin()?;
/// // The balloon discards; whoever attaches a device that pins memory meanwhile is refused.
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

/// What pins memory, for as long as it is there.
#[derive(Debug)]
struct Pinning {
    name: String,
    what: Weak<dyn Any + Send + Sync>,
}

/// Keeps devices away that pin memory, until it is dropped.
#[derive(Debug)]
pub struct Discarding(Discards);

/// Keeps memory from being discarded, until it is dropped.
#[derive(Debug)]
pub(super) struct Pins {
    _pinning: Arc<()>,
}

impl Discards {
    /// Returns whether memory may be discarded now: whether nothing pins it. Another thread may
    /// attach a device right after, unless [`Discards::begin`] keeps it away.
    pub fn allowed(&self) -> bool {
        self.lock().pinning.is_empty()
    }

    /// Keeps devices away that pin memory, while memory is discarded: until the returned value is
    /// dropped.
    ///
    /// # Errors
    /// [`Error::Pinned`] with what pins memory.
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

    /// Has a device that is to be attached pin memory, if it will.
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

    /// Has something pin memory for as long as it is there. It counts once.
    pub(super) fn pin_while<T: Any + Send + Sync>(
        &self,
        name: String,
        what: &Arc<T>,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        if state.discarding > 0 {
            return Err(Error::Discarding { device: name });
        }
        if !state
            .pinning
            .iter()
            .any(|pinning| addr_eq(pinning.what.as_ptr(), Arc::as_ptr(what)))
        {
            let what: Weak<T> = Arc::downgrade(what);
            state.pinning.push(Pinning { name, what });
        }
        Ok(())
    }

    /// What has gone pins nothing any more.
    fn lock(&self) -> MutexGuard<'_, Holders> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .pinning
            .retain(|pinning| pinning.what.strong_count() > 0);
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
    fn who_pins_memory_and_who_discards_it_exclude_each_other() {
        let discards = Discards::default();
        let (first, second) = (discards.begin().unwrap(), discards.clone().begin().unwrap());
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
    fn what_pins_memory_for_as_long_as_it_is_there_counts_once() {
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
