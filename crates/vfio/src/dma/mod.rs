//! DMA for userspace drivers: which IOVAs are used for what, and memory that a device shares.

mod iova;

pub use iova::{IovaAllocator, IovaError};
