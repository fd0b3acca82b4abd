//! Arguments of `passthru list`.

use passthru_pci::Address;

use crate::commands::device_argument::device_argument;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Devices to list: PCI addresses (0000:01:00.0, 01:00.0) or libvirt's names (pci_0000_01_00_0)
    #[arg(value_name = "DEVICE", value_parser = device_argument)]
    pub(super) devices: Vec<Address>,
    /// List bridges too
    #[arg(long)]
    pub(super) all: bool,
    /// Print all facts as JSON
    #[arg(long)]
    pub(super) json: bool,
}
