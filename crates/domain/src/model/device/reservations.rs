//! `<reservations>` of a disk: the helper for persistent reservations.

use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The kind of a `<source type=…>`.
    pub enum DiskSourceType {
        /// A Unix socket.
        Unix = "unix",
        /// A PCI function.
        Pci = "pci",
    }
}

words! {
    /// The emulator's role at the socket of a reservation helper.
    pub enum ReservationsMode {
        /// The emulator connects.
        Client = "client",
        /// The emulator listens.
        Server = "server",
    }
}

/// `<reservations>`: the helper for persistent reservations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reservations {
    /// Start of a helper for the guest.
    pub managed: Option<bool>,
    /// Socket of the helper.
    pub source: Option<ReservationsSource>,
}

/// `<source>` of reservations: the socket of the helper.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReservationsSource {
    /// Kind of the socket.
    pub kind: Option<DiskSourceType>,
    /// Path of the socket.
    pub path: Option<String>,
    /// The emulator's role at the socket.
    pub mode: Option<ReservationsMode>,
}

impl Element for Reservations {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("managed", &mut self.managed);
        v.child("source", &mut self.source);
        match (self.managed, &self.source) {
            (None, _) => v.error("<reservations> needs the attribute 'managed'".into()),
            (Some(false), None) => {
                v.error(
                    "<reservations managed='no'> needs a \
                     <source type='unix' path='…' mode='client'/>"
                        .into(),
                );
            }
            _ => {}
        }
    }
}

impl Element for ReservationsSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
        v.attr("mode", &mut self.mode);
        if self.path.is_none() {
            v.error("<source> of <reservations> needs the attribute 'path'".into());
        }
    }
}
