//! [`Edu`]: QEMU's `edu` device, with its registers, interrupts and DMA engine.

use std::thread::sleep;
use std::time::Duration;

use passthru_vfio::device::{Device, Region};

/// Value of the identification register, at offset 0.
pub(crate) const ID: u32 = 0x0100_00ed;
/// Register that reads as the complement of the written value.
pub(crate) const LIVENESS: u64 = 4;
/// Register that raises an interrupt with the written bits, until they are written to
/// [`ACKNOWLEDGE`].
pub(crate) const RAISE: u64 = 0x60;
pub(crate) const ACKNOWLEDGE: u64 = 0x64;

const DMA_SOURCE: u64 = 0x80;
const DMA_DESTINATION: u64 = 0x88;
const DMA_COUNT: u64 = 0x90;
const DMA_COMMAND: u64 = 0x98;
/// Address of the device's own buffer of 4 KiB, for its DMA engine.
const BUFFER: u64 = 0x40000;
const START: u64 = 1;
const TO_MEMORY: u64 = 2;

/// Bits of the command register: memory decode, and bus mastering (DMA and MSI).
const MEMORY: u16 = 2;
const MASTER: u16 = 4;

/// The DMA engine of an `edu` device.
pub(crate) struct Edu(Region);

impl Edu {
    pub(crate) fn new(device: &Device) -> Self {
        enable(device);
        Self(device.region(Region::BAR0).unwrap())
    }

    /// Copies from an IOVA to the device's buffer. `edu` reaches IOVAs below 2⁴⁸.
    pub(crate) fn load(&self, iova: u64, length: u64) {
        self.transfer(iova, BUFFER, length, START);
    }

    /// Copies from the device's buffer to an IOVA. `edu` reaches IOVAs below 2⁴⁸.
    pub(crate) fn store(&self, iova: u64, length: u64) {
        self.transfer(BUFFER, iova, length, START | TO_MEMORY);
    }

    fn transfer(&self, from: u64, to: u64, length: u64, command: u64) {
        self.0.write(DMA_SOURCE, from).unwrap();
        self.0.write(DMA_DESTINATION, to).unwrap();
        self.0.write(DMA_COUNT, length).unwrap();
        self.0.write(DMA_COMMAND, command).unwrap();
        for _ in 0..500 {
            if self.0.read::<u64>(DMA_COMMAND).unwrap() & START == 0 {
                return;
            }
            sleep(Duration::from_millis(10));
        }

        panic!("the transfer does not end");
    }
}

/// Enables memory decode and DMA of a device.
pub(crate) fn enable(device: &Device) {
    command(device, |command| command | MEMORY | MASTER);
}

/// Enables or disables memory decode of a device.
pub(crate) fn decode(device: &Device, on: bool) {
    command(device, |command| {
        if on {
            command | MEMORY
        } else {
            command & !MEMORY
        }
    });
}

/// Changes the command register.
fn command(device: &Device, change: impl FnOnce(u16) -> u16) {
    let config = device.region(Region::CONFIG).unwrap();
    config.write(4, change(config.read(4).unwrap())).unwrap();
}
