//! `<shmem>`: memory that guests share.

use super::Info;
use crate::model::memory::Memory;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Model of shared memory.
    pub enum ShmemModel {
        /// The first one; gone.
        Ivshmem = "ivshmem",
        /// Memory alone.
        Plain = "ivshmem-plain",
        /// Memory, and interrupts among the guests.
        Doorbell = "ivshmem-doorbell",
    }
}

words! {
    /// What becomes of the memory when the guest moves.
    pub enum ShmemRole {
        /// It moves with the guest.
        Master = "master",
        /// It stays.
        Peer = "peer",
    }
}

/// Shared memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shmem {
    /// Alias and address.
    pub info: Info,
    /// Name, the same in all guests that share it.
    pub name: Option<String>,
    /// What becomes of it when the guest moves.
    pub role: Option<ShmemRole>,
    /// Model.
    pub model: Option<ShmemModel>,
    /// Its size.
    pub size: Option<ShmemSize>,
    /// The server that hands it out.
    pub server: Option<ShmemServer>,
    /// Interrupts.
    pub msi: Option<ShmemMsi>,
}

/// `<size>`, written in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShmemSize(pub Memory);

/// `<server>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShmemServer {
    /// Path of its socket.
    pub path: Option<String>,
}

/// `<msi>`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShmemMsi {
    /// Whether there are interrupts.
    pub enabled: Option<bool>,
    /// Their number.
    pub vectors: Option<u32>,
    /// Whether they go past the emulator.
    pub ioeventfd: Option<bool>,
}

impl Element for Shmem {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.attr("role", &mut self.role);
        v.child_word("model", "type", &mut self.model);
        v.child("size", &mut self.size);
        v.child("server", &mut self.server);
        v.child("msi", &mut self.msi);
        self.info.visit(v);
        if self
            .name
            .as_ref()
            .is_none_or(|name| name.is_empty() || name.contains('/'))
        {
            v.error("<shmem> needs the attribute 'name', without a slash".into());
        }
    }
}

impl Element for ShmemSize {
    fn visit(&mut self, v: &mut dyn Visitor) {
        const MIB: u64 = 1 << 20;
        let whole = self.0.bytes() / MIB;
        if v.reading() || !self.0.bytes().is_multiple_of(MIB) {
            return self.0.visit(v);
        }
        v.attr("unit", &mut Some("M".to_owned()));
        v.text(&mut Some(whole));
    }
}

impl Element for ShmemServer {
    fn visit(&mut self, v: &mut dyn Visitor) {
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
    }
}

impl Element for ShmemMsi {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.on_off("enabled", &mut self.enabled);
        v.attr("vectors", &mut self.vectors);
        v.on_off("ioeventfd", &mut self.ioeventfd);
    }
}
