//! `<encryption>` of a disk image.

use super::secret::Secret;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The encryption of an image's contents.
    pub enum EncryptionFormat {
        /// The usual encryption of the image's format.
        Default = "default",
        /// Encryption of qcow, which is insecure.
        Qcow = "qcow",
        /// LUKS.
        Luks = "luks",
        /// LUKS 2.
        Luks2 = "luks2",
        /// LUKS or LUKS 2.
        LuksAny = "luks-any",
    }
}

words! {
    /// The implementation of the decryption.
    pub enum EncryptionEngine {
        /// The emulator.
        Qemu = "qemu",
        /// Ceph's library.
        Librbd = "librbd",
    }
}

/// `<encryption>`: the encryption of an image's contents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encryption {
    /// Kind of encryption.
    pub format: Option<EncryptionFormat>,
    /// Implementation of the decryption.
    pub engine: Option<EncryptionEngine>,
    /// Secrets with the keys.
    pub secrets: Vec<Secret>,
}

impl Element for Encryption {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("format", &mut self.format);
        v.attr("engine", &mut self.engine);
        v.children("secret", &mut self.secrets);
    }
}
