//! The only way to open a path for a guest.
//!
//! This program runs as root, and paths lead through folders that others can write to. The opener
//! follows a symbolic link, of a file or of a folder, only if root alone can have made the link.
//! Below a folder that another user owns or can write to, it follows none. It walks a path
//! component by component (`openat2`) and opens the very object that it found, whatever is renamed
//! meanwhile.

mod folder;
mod mode;
mod object;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod opener;
mod own_folder;
mod socket;
#[cfg(test)]
mod socket_tests;
#[cfg(test)]
mod tests;
mod trusted;
mod walk;

pub(crate) use folder::Folder;
pub(crate) use mode::OpenMode;
pub(crate) use opener::Opener;
pub(crate) use socket::is_listened_on;
pub(crate) use trusted::TrustedFiles;
pub use walk::RefusedLink;
