//! Usage of network interfaces, by netlink in every network namespace that can be inspected.
//!
//! [`NamespaceSurvey`](namespace::NamespaceSurvey) finds the namespaces. A
//! [`NetworkSnapshot`](snapshot::NetworkSnapshot) holds the netlink lists of one namespace. The
//! [`InterfaceStack`](stack::InterfaceStack) knows the carriers of an interface. The
//! [`Rules`](rules::Rules) decide which interfaces the host needs. A device is in use if it carries
//! such an interface.
//!
//! The netlink messages are parsed here rather than by a crate: fifteen kinds of attributes are
//! needed, and rustix has the sockets. A parser that rejects unknown attributes would fail on newer
//! kernels.

mod connection;
mod flow;
mod interface;
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

pub(crate) use network::Network;
pub use purpose::{NetworkPurpose, NetworkUsage};
