//! `<rng>`: a random number generator.

use super::Info;
use super::chardev::CharBackend;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Where its numbers come from.
    pub enum RngBackendModel {
        /// A file of the host, `/dev/random` when none is named.
        Random = "random",
        /// The emulator itself.
        Builtin = "builtin",
        /// A daemon that gathers entropy.
        Egd = "egd",
    }
}

/// A random number generator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rng {
    /// Alias and address.
    pub info: Info,
    /// Model.
    pub model: Option<VirtioModel>,
    /// How fast the guest may take numbers.
    pub rate: Option<RngRate>,
    /// Where the numbers come from.
    pub backend: Option<RngBackend>,
    /// Options of a virtio device.
    pub driver: Option<VirtioOptions>,
}

/// `<rate>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RngRate {
    /// Bytes of a period.
    pub bytes: u64,
    /// Length of a period in milliseconds; a second when absent.
    pub period: Option<u64>,
}

/// `<backend>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RngBackend {
    /// Its kind.
    pub model: Option<RngBackendModel>,
    /// The file.
    pub path: Option<String>,
    /// Where the daemon is.
    pub daemon: Option<CharBackend>,
}

impl Element for Rng {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.child("rate", &mut self.rate);
        v.child("backend", &mut self.backend);
        v.child("driver", &mut self.driver);
        self.info.visit(v);
        if self.model.is_none() {
            v.error("<rng> needs the attribute 'model'".into());
        }
        if self.backend.as_ref().is_none_or(|b| b.model.is_none()) {
            v.error("<rng> needs a <backend model='…'>".into());
        }
    }
}

impl Element for RngRate {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("bytes", &mut self.bytes);
        v.attr("period", &mut self.period);
    }
}

impl Element for RngBackend {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        match self.model {
            Some(RngBackendModel::Egd) => self.daemon.get_or_insert_default().visit(v),
            _ => v.text(&mut self.path),
        }
    }
}
