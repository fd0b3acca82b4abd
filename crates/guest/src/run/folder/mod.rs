//! The folder of a running guest, `/run/passthru/domain-NAME`: its lock, the note on its VMM's
//! process, and the socket of its monitor.

mod error;
mod guest_folder;
mod vmm_note;

pub use error::FolderError;
pub use guest_folder::RUN_DIR;
pub(crate) use guest_folder::{FOLDER_PREFIX, GuestFolder, folder_path, has_manager};
pub(crate) use vmm_note::find_survivor;
