//! `<tpm>`: a trusted platform module.

use super::Info;
use super::chardev::CharBackend;
use crate::model::uuid::Uuid;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// How the guest talks to a TPM.
    pub enum TpmModel {
        /// TIS.
        Tis = "tpm-tis",
        /// CRB.
        Crb = "tpm-crb",
        /// Power's.
        Spapr = "tpm-spapr",
        /// Power's, for guests of the guest.
        SpaprProxy = "tpm-spapr-proxy",
    }
}

words! {
    /// What a TPM is.
    pub enum TpmBackendType {
        /// The host's own.
        Passthrough = "passthrough",
        /// swtpm, started for the guest.
        Emulator = "emulator",
        /// swtpm, started by somebody else.
        External = "external",
    }
}

words! {
    /// Version of a TPM.
    pub enum TpmVersion {
        /// 1.2.
        V1_2 = "1.2",
        /// 2.0.
        V2_0 = "2.0",
    }
}

words! {
    /// Where an emulated TPM keeps its state.
    pub enum TpmSourceType {
        /// In a file.
        File = "file",
        /// In a folder.
        Dir = "dir",
    }
}

words! {
    /// What becomes of algorithms that a host must not use.
    pub enum RemoveDisabled {
        /// They are taken out where that can be checked.
        Check = "check",
        /// They are taken out.
        FipsHost = "fips-host",
    }
}

/// A TPM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tpm {
    /// Alias and address.
    pub info: Info,
    /// How the guest talks to it.
    pub model: Option<TpmModel>,
    /// What it is.
    pub backend: Option<TpmBackend>,
}

/// `<backend>` of a TPM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TpmBackend {
    /// What it is.
    pub kind: Option<TpmBackendType>,
    /// Version of an emulated one.
    pub version: Option<TpmVersion>,
    /// Whether the state stays when the guest is gone for good.
    pub persistent_state: Option<bool>,
    /// How much an emulated one writes to its log.
    pub debug: Option<u32>,
    /// The host's own one.
    pub device: Option<String>,
    /// The secret that the state is encrypted with.
    pub encryption: Option<Uuid>,
    /// Where an emulated one keeps its state.
    pub storage: Option<TpmStorage>,
    /// The banks that are active at start.
    pub active_pcr_banks: Option<PcrBanks>,
    /// What an emulated one is made to be.
    pub profile: Option<TpmProfile>,
    /// Where somebody else's is.
    pub external: Option<CharBackend>,
}

/// `<source>` of an emulated TPM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TpmStorage {
    /// A file or a folder.
    pub kind: Option<TpmSourceType>,
    /// Its path.
    pub path: Option<String>,
}

/// `<active_pcr_banks>`.
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

/// `<profile>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TpmProfile {
    /// Name of a built-in profile, or `local:` and the name of one of the host's.
    pub source: Option<String>,
    /// What becomes of algorithms that a host must not use.
    pub remove_disabled: Option<RemoveDisabled>,
    /// Name that the profile gave itself.
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
                        "a <tpm> of type 'external' needs a <source type='unix' mode='connect' path='…'/>"
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

/// The `<source>` of an external TPM holds what elsewhere stands in two elements.
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
