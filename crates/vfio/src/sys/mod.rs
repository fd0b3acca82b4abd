//! The system calls of VFIO: request numbers, and one function for each request. The callers
//! document the meaning.
#![allow(unsafe_code)]

pub(crate) mod device;
pub(crate) mod feature;
pub(crate) mod group;
mod ioctl;
pub(crate) mod type1;
