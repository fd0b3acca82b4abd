//! Detach.
