//! `<auth>`: as whom a server of storage is asked, and which secret proves it. The secret itself is
//! elsewhere.

use crate::model::uuid::Uuid;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// What a secret is for.
    pub enum SecretType {
        /// A volume's key.
        Volume = "volume",
        /// Ceph's.
        Ceph = "ceph",
        /// iSCSI's (CHAP).
        Iscsi = "iscsi",
        /// TLS's.
        Tls = "tls",
        /// A TPM's.
        Vtpm = "vtpm",
        /// A passphrase.
        Passphrase = "passphrase",
    }
}

/// As whom a server is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Auth {
    /// Name of the user.
    pub username: String,
    /// Which secret proves it.
    pub secret: Option<Secret>,
}

/// Which secret it is, by one of two names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Secret {
    /// What it is for.
    pub kind: Option<SecretType>,
    /// Its UUID.
    pub uuid: Option<Uuid>,
    /// What it is used by.
    pub usage: Option<String>,
}

impl Element for Auth {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("username", &mut self.username);
        v.child("secret", &mut self.secret);
    }
}

impl Element for Secret {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("uuid", &mut self.uuid);
        v.attr("usage", &mut self.usage);
        if self.uuid.is_some() == self.usage.is_some() {
            v.error("<secret> needs either 'uuid' or 'usage'".into());
        }
    }
}
