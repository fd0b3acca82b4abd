//! Memory of graphics cards.

use passthru_domain::device::Video;
use passthru_domain::device::video::VideoModel;

use super::{MIB, bar};

/// Returns the memory of a graphics card, in bytes, with QEMU's defaults for sizes that the XML
/// leaves out. A ramfb has none: it shows guest memory.
pub(super) fn video_memory(video: &Video) -> u64 {
    let model = &video.model;
    match model.kind {
        Some(VideoModel::Qxl) => {
            // The RAM's BAR contains the VGA memory. The VRAM's 64-bit BAR contains its 32-bit BAR.
            let vgamem = video_bar(model.vgamem, 16);
            let ram = video_bar(model.ram, 64).max(vgamem.saturating_mul(2));
            ram.saturating_add(video_bar(model.vram, 64).max(video_bar(model.vram64, 0)))
        }
        Some(VideoModel::Vga | VideoModel::Vmvga | VideoModel::Bochs) => video_bar(model.vram, 16),
        Some(VideoModel::Cirrus) => video_bar(model.vram, 4),
        // The card's VGA memory. Other images are in guest memory.
        Some(VideoModel::Virtio) => 8 * MIB,
        _ => 0,
    }
}

/// Returns the size of a BAR for a graphics card's memory, in bytes. `default` is QEMU's, in MiB.
fn video_bar(kib: Option<u32>, default: u64) -> u64 {
    bar(kib.map_or(default * MIB, |kib| u64::from(kib) << 10))
}
