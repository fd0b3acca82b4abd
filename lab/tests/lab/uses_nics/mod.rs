//! Network cards in use, on the real kernel: every way in which a host can need a card.
//!
//! No test binds a card: `bind --dry-run` prints the same decision.

mod carried;
mod peers;
mod routes;
mod support;
