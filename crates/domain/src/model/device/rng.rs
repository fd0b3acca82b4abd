//! `<rng>`: a random number generator.

use super::Info;
use super::chardev::CharBackend;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The source of random numbers on the host.
    pub enum RngBackendModel {
        /// A file of the host; `/dev/random` without a path.
        Random = "random",
        /// The emulator itself.
        Builtin = "builtin",
        /// An entropy gathering daemon (EGD).
        Egd = "egd",
    }
}

/// `<rng>`: a random number generator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rng {
    /// Alias and address of the device.
    pub info: Info,
    /// Model.
    pub model: Option<VirtioModel>,
    /// Limit of the rate.
    pub rate: Option<RngRate>,
    /// Source of the numbers on the host.
    pub backend: Option<RngBackend>,
    /// Options of the virtio device.
    pub driver: Option<VirtioOptions>,
}

/// `<rate>`: the limit of the rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RngRate {
    /// Number of bytes per period.
    pub bytes: u64,
    /// Length of a period in milliseconds. If it is absent, one second.
    pub period: Option<u64>,
}

/// `<backend>`: the source of the numbers on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RngBackend {
    /// Kind of the source.
    pub model: Option<RngBackendModel>,
    /// Path of the file.
    pub path: Option<String>,
    /// Connection to the daemon.
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
