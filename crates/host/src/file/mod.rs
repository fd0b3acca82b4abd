//! Files and folders that only this program's user may change.

mod bounded;
mod own;
mod replace;

pub use bounded::read_bounded;
pub use own::{check_owner, make_own_folder, read_own, read_own_within};
pub use replace::replace;
