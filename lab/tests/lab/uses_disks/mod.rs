//! Disks in use on the host: `bind` refuses each, and `list` names its use.

mod binding;
mod multipath;
mod support;
mod unknown;
mod used;
