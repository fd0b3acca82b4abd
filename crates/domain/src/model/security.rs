//! `<launchSecurity>`, `<keywrap>`, `<seclabel>`: protected memory, wrapped keys, security labels.

use crate::model::toggle::OnOff;
use crate::xml::span::SourceSpan;
use crate::xml::value::{Hex, words};
use crate::xml::{Element, Visitor};

words! {
    /// The technology that protects the guest's memory from the host.
    pub enum LaunchSecurityType {
        /// AMD SEV: encrypted memory.
        Sev = "sev",
        /// AMD SEV-SNP: encrypted memory with integrity protection.
        SevSnp = "sev-snp",
        /// IBM Z protected virtualization.
        S390Pv = "s390-pv",
        /// Intel TDX: trust domains.
        Tdx = "tdx",
    }
}

/// `<launchSecurity>`: protection of the guest's memory from the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaunchSecurity {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Technology.
    pub kind: Option<LaunchSecurityType>,
    /// Measurement of kernel, initial RAM disk and command line.
    pub kernel_hashes: Option<bool>,
    /// Presence of the owner's author key (SNP).
    pub author_key: Option<bool>,
    /// Signature of reports by the chip's own key (SNP).
    pub vcek: Option<bool>,
    /// Number of the address bit that marks an encrypted page (SEV, SNP).
    pub cbitpos: Option<u32>,
    /// Number of physical address bits that encryption takes (SEV, SNP).
    pub reduced_phys_bits: Option<u32>,
    /// Policy for host and guest (SEV, SNP), or attributes of the trust domain (TDX).
    pub policy: Option<u64>,
    /// Owner's certificate for the key exchange (SEV).
    pub dh_cert: Option<String>,
    /// Owner's session data (SEV).
    pub session: Option<String>,
    /// Workarounds that the guest sees (SNP).
    pub guest_visible_workarounds: Option<String>,
    /// Expected identity of the guest (SNP).
    pub id_block: Option<String>,
    /// Signature of the identity (SNP).
    pub id_auth: Option<String>,
    /// Data from the host that the guest finds in its reports (SNP).
    pub host_data: Option<String>,
    /// Id of the configuration that the owner does not define (TDX).
    pub mr_config_id: Option<String>,
    /// Id of the guest's owner (TDX).
    pub mr_owner: Option<String>,
    /// Id of the configuration that the owner defines (TDX).
    pub mr_owner_config: Option<String>,
    /// Service that signs reports (TDX).
    pub quote_generation_service: Option<QuoteGenerationService>,
}

/// `<quoteGenerationService>`: the service that signs reports (TDX).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuoteGenerationService {
    /// Path of the service's socket.
    pub path: Option<String>,
}

/// `<keywrap>`: keys that the host wraps for the guest (Z).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keywrap {
    /// Settings by cipher.
    pub ciphers: Vec<Cipher>,
}

words! {
    /// A cipher for wrapped keys.
    pub enum CipherName {
        /// AES.
        Aes = "aes",
        /// DEA.
        Dea = "dea",
    }
}

/// `<cipher>` of `<keywrap>`: the setting of one cipher.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cipher {
    /// Name of the cipher.
    pub name: Option<CipherName>,
    /// On or off.
    pub state: Option<OnOff>,
}

words! {
    /// The origin of a security label.
    pub enum SeclabelType {
        /// Chosen by the manager.
        Dynamic = "dynamic",
        /// Given by the user.
        Static = "static",
        /// No label.
        None = "none",
    }
}

/// `<seclabel>`: a label of the host's access control. The element has no effect: guests are
/// separated by user, namespaces and a system call filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seclabel {
    /// Origin of the label.
    pub kind: Option<SeclabelType>,
    /// Name of the access control.
    pub model: Option<String>,
    /// Relabelling of files.
    pub relabel: Option<bool>,
    /// The label.
    pub label: Option<String>,
    /// Label of files.
    pub imagelabel: Option<String>,
    /// Label from which a dynamic label is made.
    pub baselabel: Option<String>,
}

impl Element for LaunchSecurity {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("type", &mut self.kind);
        v.yes_no("kernelHashes", &mut self.kernel_hashes);
        v.yes_no("authorKey", &mut self.author_key);
        v.yes_no("vcek", &mut self.vcek);
        v.leaf("cbitpos", &mut self.cbitpos);
        v.leaf("reducedPhysBits", &mut self.reduced_phys_bits);
        let mut policy = self.policy.map(Hex::<u64, 4>);
        v.leaf("policy", &mut policy);
        self.policy = policy.map(|policy| policy.0);
        v.leaf("dhCert", &mut self.dh_cert);
        v.leaf("session", &mut self.session);
        v.leaf(
            "guestVisibleWorkarounds",
            &mut self.guest_visible_workarounds,
        );
        v.leaf("idBlock", &mut self.id_block);
        v.leaf("idAuth", &mut self.id_auth);
        v.leaf("hostData", &mut self.host_data);
        v.leaf("mrConfigId", &mut self.mr_config_id);
        v.leaf("mrOwner", &mut self.mr_owner);
        v.leaf("mrOwnerConfig", &mut self.mr_owner_config);
        v.child("quoteGenerationService", &mut self.quote_generation_service);
        let needs_policy = matches!(
            self.kind,
            Some(LaunchSecurityType::Sev | LaunchSecurityType::SevSnp)
        );
        if self.kind.is_none() {
            v.error("<launchSecurity> needs the attribute 'type'".into());
        } else if needs_policy && self.policy.is_none() {
            v.error("<launchSecurity> of this type needs a <policy>".into());
        }
    }
}

impl Element for QuoteGenerationService {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("path", &mut self.path);
    }
}

impl Element for Keywrap {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("cipher", &mut self.ciphers);
    }
}

impl Element for Cipher {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.attr("state", &mut self.state);
        if self.name.is_none() || self.state.is_none() {
            v.error("<cipher> of <keywrap> needs the attributes 'name' and 'state'".into());
        }
    }
}

impl Element for Seclabel {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("model", &mut self.model);
        v.yes_no("relabel", &mut self.relabel);
        v.leaf("label", &mut self.label);
        v.leaf("imagelabel", &mut self.imagelabel);
        v.leaf("baselabel", &mut self.baselabel);
    }
}
