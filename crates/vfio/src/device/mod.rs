//! VFIO devices, by the way they are opened.

mod cdev;

pub use cdev::{Cdev, Error};
