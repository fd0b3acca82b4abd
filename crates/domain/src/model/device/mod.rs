//! `<devices>`: each kind of device in a file of its own, and the list of all kinds in
//! `devices.rs`.

pub mod address;
pub mod audio;
pub mod chardev;
pub mod controller;
pub(crate) mod controller_list;
pub mod crypto;
mod devices;
pub mod disk;
pub mod disk_driver;
pub mod disk_source;
mod display_password;
pub mod encryption;
pub mod filesystem;
pub mod graphics;
pub mod hostdev;
pub mod info;
pub mod input;
pub mod interface;
pub mod iommu;
pub mod iotune;
pub mod memballoon;
pub mod memory;
pub mod net;
pub mod net_driver;
pub mod net_port;
pub mod panic;
pub mod reconnect;
pub mod redirdev;
pub mod reservations;
pub mod rng;
pub mod secret;
pub(crate) mod sgio;
pub mod shmem;
pub mod sound;
pub(crate) mod startup_policy;
pub mod teaming;
pub mod tpm;
pub mod video;
pub mod virtio;
pub mod vsock;
pub mod watchdog;

pub use address::{
    Address, CcidAddress, CcwAddress, DimmAddress, DriveAddress, IsaAddress, PciAddress,
    SpaprVioAddress, UsbAddress, VirtioSerialAddress,
};
pub use audio::Audio;
pub use chardev::{CharBackend, CharSource, CharSourceType, CharTarget, Chardev};
pub use controller::{Controller, ControllerType};
pub use crypto::Crypto;
pub use devices::{Devices, Item};
pub use disk::Disk;
pub use display_password::DisplayPassword;
pub use filesystem::Filesystem;
pub use graphics::Graphics;
pub use hostdev::Hostdev;
pub use info::{Boot, Info};
pub use input::Input;
pub use interface::Interface;
pub use iommu::Iommu;
pub use memballoon::Memballoon;
pub use memory::{MemoryDevice, MemoryModel};
pub use panic::Panic;
pub use redirdev::{Hub, Redirdev, Redirfilter, Smartcard};
pub use rng::Rng;
pub use sgio::Sgio;
pub use shmem::Shmem;
pub use sound::Sound;
pub use startup_policy::StartupPolicy;
pub use tpm::Tpm;
pub use video::Video;
pub use virtio::{VirtioModel, VirtioOptions};
pub use vsock::Vsock;
pub use watchdog::Watchdog;
