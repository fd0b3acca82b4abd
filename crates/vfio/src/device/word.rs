//! [`Word`]: the widths in which device memory is accessed.

/// A number that is read or written in one access of its width: `u8`, `u16`, `u32` or `u64`. PCI
/// devices are little endian, so values are what the device has on little-endian machines.
pub trait Word: Copy + Into<u64> + sealed::Word {}

impl<T: Copy + Into<u64> + sealed::Word> Word for T {}

pub(super) mod sealed {
    /// What [`super::Word`] is made of.
    pub trait Word: Sized {
        /// Reads it by a function that fills its bytes.
        fn read<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E>;
        /// Writes it by a function that takes its bytes.
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
