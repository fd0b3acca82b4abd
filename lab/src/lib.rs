//! The virtual host.
