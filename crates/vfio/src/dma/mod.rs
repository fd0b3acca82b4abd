//! DMA for userspace drivers: which IOVAs are used for what, and memory that a device shares.

mod buffer;
mod iova;

pub use buffer::{Buffer, DmaPool, Error};
pub use iova::{IovaAllocator, IovaError};
