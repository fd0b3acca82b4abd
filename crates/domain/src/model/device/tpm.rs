//! `<tpm>`: a trusted platform module.

use super::Info;
use super::chardev::CharBackend;
use crate::model::uuid::Uuid;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The interface between guest and TPM.
    pub enum TpmModel {
        /// TPM Interface Specification (TIS).
        Tis = "tpm-tis",
        /// Command Response Buffer (CRB).
        Crb = "tpm-crb",
        /// Interface of Power.
        Spapr = "tpm-spapr",
        /// Interface of Power for nested guests.
        SpaprProxy = "tpm-spapr-proxy",
    }
}

words! {
    /// The implementation of a TPM.
    pub enum TpmBackendType {
        /// A TPM of the host.
        Passthrough = "passthrough",
        /// swtpm, started with the guest.
        Emulator = "emulator",
        /// A running swtpm.
        External = "external",
    }
}

words! {
    /// The version of the TPM specification.
    pub enum TpmVersion {
        /// 1.2.
        V1_2 = "1.2",
        /// 2.0.
        V2_0 = "2.0",
    }
}

words! {
    /// The storage of an emulated TPM's state.
    pub enum TpmSourceType {
        /// A file.
        File = "file",
        /// A directory.
        Dir = "dir",
    }
}

words! {
    /// The handling of algorithms that the host forbids (FIPS).
    pub enum RemoveDisabled {
        /// The algorithms are removed if the check for FIPS mode succeeds.
        Check = "check",
        /// The algorithms are removed.
        FipsHost = "fips-host",
    }
}

/// `<tpm>`: a trusted platform module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tpm {
    /// Alias and address of the device.
    pub info: Info,
    /// Interface between guest and TPM.
    pub model: Option<TpmModel>,
    /// Implementation of the TPM.
    pub backend: Option<TpmBackend>,
}

/// `<backend>` of a TPM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TpmBackend {
    /// Kind of the implementation.
    pub kind: Option<TpmBackendType>,
    /// Version of an emulated TPM.
    pub version: Option<TpmVersion>,
    /// Retention of the state when the guest is undefined.
    pub persistent_state: Option<bool>,
    /// Verbosity of the log of an emulated TPM.
    pub debug: Option<u32>,
    /// TPM device of the host.
    pub device: Option<String>,
    /// Secret for the encryption of the state.
    pub encryption: Option<Uuid>,
    /// Storage of an emulated TPM's state.
    pub storage: Option<TpmStorage>,
    /// PCR banks that are active at start.
    pub active_pcr_banks: Option<PcrBanks>,
    /// Profile of an emulated TPM.
    pub profile: Option<TpmProfile>,
    /// Connection to a running swtpm.
    pub external: Option<CharBackend>,
}

/// `<source>` of an emulated TPM: the storage of its state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TpmStorage {
    /// Kind of the storage.
    pub kind: Option<TpmSourceType>,
    /// Path of the file or directory.
    pub path: Option<String>,
}

/// `<active_pcr_banks>`: PCR banks that are active at start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PcrBanks {
    /// SHA-1.
    pub sha1: bool,
    /// SHA-256.
    pub sha256: bool,
    /// SHA-384.
    pub sha384: bool,
    /// SHA-512.
    pub sha512: bool,
}

/// `<profile>`: the profile of an emulated TPM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TpmProfile {
    /// Name of a built-in profile, or `local:` and the name of one of the host's profiles.
    pub source: Option<String>,
    /// Handling of algorithms that the host forbids.
    pub remove_disabled: Option<RemoveDisabled>,
    /// Name by which the profile calls itself.
    pub name: Option<String>,
}

impl Element for Tpm {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.child("backend", &mut self.backend);
        self.info.visit(v);
        if self.backend.is_none() {
            v.error("<tpm> needs a <backend type='…'>".into());
        }
    }
}

impl Element for TpmBackend {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        match self.kind {
            None => v.error("<backend> of a <tpm> needs the attribute 'type'".into()),
            Some(TpmBackendType::Passthrough) => {
                visit_as::<FilePath>(&mut self.device, |path| {
                    v.child_word("device", "path", path);
                });
            }
            Some(TpmBackendType::Emulator) => self.visit_emulator(v),
            Some(TpmBackendType::External) => {
                let mut external = self.external.take().map(External);
                v.child("source", &mut external);
                self.external = external.map(|e| e.0);
                if self.external.is_none() {
                    v.error(
                        "a <tpm> of type 'external' needs a \
                         <source type='unix' mode='connect' path='…'/>"
                            .into(),
                    );
                }
            }
        }
    }
}

impl TpmBackend {
    fn visit_emulator(&mut self, v: &mut dyn Visitor) {
        v.attr("version", &mut self.version);
        v.yes_no("persistent_state", &mut self.persistent_state);
        v.attr("debug", &mut self.debug);
        v.child_word("encryption", "secret", &mut self.encryption);
        v.child("source", &mut self.storage);
        v.child("active_pcr_banks", &mut self.active_pcr_banks);
        v.child("profile", &mut self.profile);
    }
}

/// `<source>` of an external TPM, which combines the `<source>` and the type of a character device.
#[derive(Default)]
struct External(CharBackend);

impl Element for External {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut source = self.0.sources.pop().unwrap_or_default();
        v.attr("type", &mut self.0.kind);
        source.visit(v);
        if source.path.is_none() {
            v.error("<source> of a <tpm> needs the attribute 'path'".into());
        }
        self.0.sources.push(source);
    }
}

impl Element for TpmStorage {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
    }
}

impl Element for PcrBanks {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.flag("sha1", &mut self.sha1);
        v.flag("sha256", &mut self.sha256);
        v.flag("sha384", &mut self.sha384);
        v.flag("sha512", &mut self.sha512);
    }
}

impl Element for TpmProfile {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("source", &mut self.source);
        v.attr("removeDisabled", &mut self.remove_disabled);
        v.attr("name", &mut self.name);
    }
}
