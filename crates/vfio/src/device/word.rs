//! [`Word`]: the widths of accesses to device memory.

/// A number that is read or written in one access of its width: `u8`, `u16`, `u32` or `u64`.
///
/// PCI devices are little-endian. On a little-endian machine, the number has the device's value.
pub trait Word: Copy + Into<u64> + sealed::Word {}

impl<T: Copy + Into<u64> + sealed::Word> Word for T {}

pub(super) mod sealed {
    /// Supertrait of [`super::Word`], which only this crate implements.
    pub trait Word: Sized {
        /// Reads the number by a function that fills its bytes.
        fn read<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E>;
        /// Writes the number by a function that takes its bytes.
        fn write<E>(self, put: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E>;
    }
}

macro_rules! word {
    ($($word:ty),*) => {$(
        impl sealed::Word for $word {
            fn read<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
                let mut bytes = [0; size_of::<Self>()];
                fill(&mut bytes).map(|()| Self::from_ne_bytes(bytes))
            }

            fn write<E>(self, put: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E> {
                put(&self.to_ne_bytes())
            }
        }
    )*};
}

word!(u8, u16, u32, u64);
