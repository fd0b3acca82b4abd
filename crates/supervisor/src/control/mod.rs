//! The control socket of a guest.
//!
//! A client sends one [`Request`] a line, and the server sends one [`Response`] a line. The first
//! line of the server is a [`Hello`]. Each request ends with a result or an error. The server takes
//! a client's next request after that. Descriptors go with the first byte of their line.
//!
//! The socket is open to every user. The server reads each client's [`Peer`] once, at its
//! connection, and [`Access`] says what that client may ask for.
//!
//! [`Server`] is a part of a poll loop. [`Client`] waits for each answer:
//!
//! ```no_run
//! use passthru_supervisor::control::{Client, Reply, Request};
//! use std::path::Path;
//!
//! let mut client = Client::connect(Path::new("/run/passthru"), "vm")?;
//! let stop = Request::Stop { timeout: None, force: false };
//! for reply in client.request(&stop, &[])? {
//!     if let Reply::Progress(progress) = reply? {
//!         println!("{} of {}: {}", progress.at, progress.of, progress.op);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod client_error;
mod connection;
mod fd_stream;
mod line_buffer;
mod output;
mod peer;
mod request;
mod response;
mod server;

pub use client::{Answer, Client, Replies, Reply};
pub use client_error::ClientError;
pub use connection::{MAX_LONG_REQUEST, MAX_REQUEST, MAX_WAITING};
pub use fd_stream::MAX_FDS;
pub use peer::{Access, Members, Peer, Right};
pub use request::Request;
pub use response::{ErrorKind, ErrorMessage, Hello, PROTOCOL, Progress, Response};
pub use server::{ClientId, Incoming, MAX_CLIENTS, PollEntry, Server, Source};
