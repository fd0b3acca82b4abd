//! `<shmem>`: memory shared between guests.

use super::Info;
use crate::model::memory::Memory;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The model of a shared memory device.
    pub enum ShmemModel {
        /// ivshmem; no longer in QEMU.
        Ivshmem = "ivshmem",
        /// Memory without interrupts.
        Plain = "ivshmem-plain",
        /// Memory with interrupts between guests.
        Doorbell = "ivshmem-doorbell",
    }
}

words! {
    /// The handling of the memory in a migration.
    pub enum ShmemRole {
        /// The memory migrates with the guest.
        Master = "master",
        /// The memory does not migrate.
        Peer = "peer",
    }
}

/// `<shmem>`: memory shared between guests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shmem {
    /// Alias and address of the device.
    pub info: Info,
    /// Name, equal in all guests that share the memory.
    pub name: Option<String>,
    /// Handling in a migration.
    pub role: Option<ShmemRole>,
    /// Model.
    pub model: Option<ShmemModel>,
    /// Size of the memory.
    pub size: Option<ShmemSize>,
    /// Server that distributes the memory.
    pub server: Option<ShmemServer>,
    /// Interrupts between guests.
    pub msi: Option<ShmemMsi>,
}

/// `<size>`: the size of the memory, written in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShmemSize(pub Memory);

/// `<server>`: the server that distributes the memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShmemServer {
    /// Path of the server's socket.
    pub path: Option<String>,
}

/// `<msi>`: interrupts between guests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShmemMsi {
    /// Presence of interrupts.
    pub enabled: Option<bool>,
    /// Number of interrupt vectors.
    pub vectors: Option<u32>,
    /// Direct interrupts that bypass the emulator.
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
