//! The folder of a running guest, `/run/passthru/domain-NAME`: its lock, its journal, and the
//! socket of its monitor.

mod error;
mod guest_folder;
mod survivor;

pub use error::FolderError;
pub use guest_folder::RUN_DIR;
pub(crate) use guest_folder::{FOLDER_PREFIX, GuestFolder, folder_path, has_manager};
pub(crate) use survivor::read_remains;
