//! The control socket of a guest.
//!
//! The socket is open to every user. The server reads each client's [`Peer`] once, at its
//! connection, and [`Access`] says what that client may ask for.

mod peer;

pub use peer::{Access, Members, Peer, Right};
