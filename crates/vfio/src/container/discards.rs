//! [`Discards`]: whether a guest's memory may be discarded while devices reach it.

use super::Error;
use crate::device::{Kind, Location};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who pins a guest's memory, and who discards parts of it: one excludes the other. All containers of a guest have one in
/// common ([`Options::discards`](super::Options::discards)).
///
/// The container of a device pins all that is mapped. Who discards a page of that, as a balloon does, gives the guest
/// another page than the device has. With a mediated device the kernel pins what its driver asks for alone, when the guest
/// uses it: memory may be discarded beside such devices, and no others.
///
/// This is for whoever discards without a word to the address space: a balloon, or free page reporting. What is discarded
/// before a device is attached does no harm: its pages are made anew when they are pinned, as zeros. virtio-mem needs no
/// leave: its granules are unmapped before they are discarded, by
/// [`AddressSpace::discard`](crate::address_space::AddressSpace::discard), and so go with any device.
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
pub struct Discards(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    pinning: Vec<String>,
    discarding: usize,
}

/// Keeps devices away that pin memory, until it is dropped.
#[derive(Debug)]
pub struct Discarding(Discards);

/// Keeps memory from being discarded, until it is dropped.
#[derive(Debug)]
pub(super) struct Pins {
    discards: Discards,
    name: String,
}

impl Discards {
    /// Returns whether memory may be discarded now: whether all attached devices are mediated. Another thread may attach one
    /// right after, unless [`Discards::begin`] keeps it away.
    pub fn allowed(&self) -> bool {
        self.lock().pinning.is_empty()
    }

    /// Keeps devices away that pin memory, while memory is discarded: until the returned value is dropped.
    ///
    /// # Errors
    /// [`Error::Pinned`] with those that are attached.
    pub fn begin(&self) -> Result<Discarding, Error> {
        let mut state = self.lock();
        if !state.pinning.is_empty() {
            return Err(Error::Pinned { devices: state.pinning.clone() });
        }
        state.discarding += 1;
        Ok(Discarding(self.clone()))
    }

    /// Has a device that is to be attached pin memory, if it will.
    pub(super) fn pin_for(&self, device: &Location) -> Result<Option<Pins>, Error> {
        (device.kind() != Kind::Mdev).then(|| self.pin(device.name())).transpose()
    }

    /// Has something pin memory from now on.
    pub(super) fn pin(&self, name: String) -> Result<Pins, Error> {
        let mut state = self.lock();
        if state.discarding > 0 {
            return Err(Error::Discarding { device: name });
        }
        state.pinning.push(name.clone());
        Ok(Pins { discards: self.clone(), name })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Discarding {
    fn drop(&mut self) {
        self.0.lock().discarding -= 1;
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut state = self.discards.lock();
        if let Some(index) = state.pinning.iter().position(|name| *name == self.name) {
            state.pinning.remove(index);
        }
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
        assert!(matches!(&error, Error::Discarding { device } if device == "a") && error.hint().is_some());
        drop(second);
        let pins = [discards.pin("a".into()).unwrap(), discards.pin("a".into()).unwrap()];
        let [one, other] = pins;
        drop(one);
        assert!(!discards.allowed());
        let error = discards.begin().unwrap_err();
        assert!(matches!(&error, Error::Pinned { devices } if devices == &["a"]) && error.hint().is_some());
        drop(other);
        assert!(discards.allowed());
        drop(discards.begin().unwrap());
    }
}
