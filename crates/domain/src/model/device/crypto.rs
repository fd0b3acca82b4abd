//! `<crypto>`: a crypto device.

use super::Info;
use super::virtio::VirtioOptions;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Model of a crypto device.
    pub enum CryptoModel {
        /// virtio-crypto.
        Virtio = "virtio",
    }
}

words! {
    /// The implementation of a crypto device.
    pub enum CryptoType {
        /// QEMU.
        Qemu = "qemu",
    }
}

words! {
    /// The provider of the cryptography.
    pub enum CryptoBackendModel {
        /// The emulator.
        Builtin = "builtin",
        /// The host's kernel.
        Lkcf = "lkcf",
    }
}

/// A crypto device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Crypto {
    /// Alias and address of the device.
    pub info: Info,
    /// Model.
    pub model: Option<CryptoModel>,
    /// Implementation of the device.
    pub kind: Option<CryptoType>,
    /// Provider of the cryptography.
    pub backend: Option<CryptoBackend>,
    /// Options of the virtio device.
    pub driver: Option<VirtioOptions>,
}

/// `<backend>` of a crypto device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CryptoBackend {
    /// Provider of the cryptography.
    pub model: Option<CryptoBackendModel>,
    /// Number of queues.
    pub queues: Option<u32>,
}

impl Element for Crypto {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.attr("type", &mut self.kind);
        v.child("backend", &mut self.backend);
        v.child("driver", &mut self.driver);
        self.info.visit(v);
        if self.backend.is_none_or(|b| b.model.is_none()) {
            v.error("<crypto> needs a <backend model='…'/>".into());
        }
    }
}

impl Element for CryptoBackend {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.attr("queues", &mut self.queues);
    }
}
