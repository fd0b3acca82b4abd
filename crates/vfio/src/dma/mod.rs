//! DMA of a driver in user space: its IOVAs, and the memory that it shares with a device.

mod buffer;
mod iova;
mod range_set;

pub use buffer::{Buffer, DmaPool, Error};
pub use iova::{IovaAllocator, IovaError};
