//! The folder of a running guest, `/run/passthru/domain-NAME`: its lock, its journal, its
//! domain, and the socket of its monitor.

mod error;
mod guest_folder;
mod live_domain;
mod survivor;

pub use error::FolderError;
pub(crate) use guest_folder::{FOLDER_PREFIX, GuestFolder, has_manager};
pub use guest_folder::{RUN_DIR, folder_path};
pub use live_domain::live_domain;
pub(crate) use live_domain::{domain_path, read_domain, write_domain};
pub(crate) use survivor::{LivingVmm, Remains, check_remains, read_remains};
