//! `<hostdev>`: a device of the host, given to the guest.

mod device;
mod scsi;
mod source;

pub use device::{Hostdev, HostdevDriver, HostdevDriverName, HostdevMode, HostdevModel};
pub use scsi::{Initiator, ScsiHostAddress, ScsiPortal, ScsiProtocol, ScsiSource};
pub(crate) use source::InterfaceSource;
pub use source::{
    GuestReset, HostdevSource, HostdevType, MdevSource, PciSource, ScsiHostProtocol,
    ScsiHostSource, UsbHostAddress, UsbSource,
};
