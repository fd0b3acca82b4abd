//! `<auth>`: the login to a storage server, with a reference to the secret. The domain does not
//! hold the secret itself.

use crate::model::uuid::Uuid;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The purpose of a secret.
    pub enum SecretType {
        /// Key of a volume.
        Volume = "volume",
        /// Login to Ceph.
        Ceph = "ceph",
        /// Login to iSCSI (CHAP).
        Iscsi = "iscsi",
        /// Key of a TLS certificate.
        Tls = "tls",
        /// Key of a TPM's state.
        Vtpm = "vtpm",
        /// A passphrase.
        Passphrase = "passphrase",
    }
}

/// `<auth>`: the login to a storage server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Auth {
    /// User name.
    pub username: String,
    /// Reference to the secret.
    pub secret: Option<Secret>,
}

/// `<secret>`: a reference to a secret, by UUID or by usage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Secret {
    /// Purpose of the secret.
    pub kind: Option<SecretType>,
    /// UUID of the secret.
    pub uuid: Option<Uuid>,
    /// Usage of the secret, such as the name of a volume.
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
