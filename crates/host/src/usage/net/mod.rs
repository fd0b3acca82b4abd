//! HostSurvey of network interfaces, by netlink in every network namespace that can be inspected.
//!
//! [`NamespaceSurvey`](namespace::NamespaceSurvey) finds the namespaces. [`NetworkSnapshot`](snapshot::NetworkSnapshot) holds what
//! netlink lists in one namespace. [`InterfaceStack`](stack::InterfaceStack) knows the interfaces that carry an
//! interface, and [`Rules`](rules::Rules) has the rules. A device is in use if it carries an
//! interface that has a purpose.
//!
//! The netlink messages are parsed here rather than by a crate. Fifteen kinds of attributes are
//! needed, rustix has the sockets, and a parser that rejects other attributes fails on newer
//! kernels.

mod connection;
mod flow;
mod link;
mod namespace;
mod network;
mod purpose;
mod route;
mod rules;
#[cfg(test)]
mod scene;
mod snapshot;
mod socket;
mod stack;
mod storage;
mod wire;
mod wireguard;

pub(crate) use network::{Network, TUNNELS};
pub use purpose::{NetworkPurpose, NetworkUsage};
