//! The folder of a running guest, `/run/passthru/domain-NAME`: its lock, its journal, its
//! domain, and the socket of its monitor.

mod error;
mod guest_folder;
mod live_domain;
mod survivor;

pub use error::FolderError;
pub(crate) use guest_folder::{FOLDER_PREFIX, GuestFolder, has_manager};
pub use guest_folder::{RUN_DIR, folder_path};
pub(crate) use live_domain::{domain_path, write_domain};
pub(crate) use survivor::read_remains;
