//! The system calls of VFIO: request numbers and one function each, which fills in the kernel's
//! struct. What the calls mean is written where they are offered.
#![allow(unsafe_code)]

pub(crate) mod device;
pub(crate) mod feature;
pub(crate) mod group;
mod ioctl;
pub(crate) mod type1;
