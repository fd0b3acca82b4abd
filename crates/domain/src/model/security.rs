//! `<launchSecurity>`, `<keywrap>`, `<seclabel>`: memory that the host cannot read, keys that it
//! wraps, and labels.

use crate::xml::span::SourceSpan;
use crate::xml::value::{Hex, words};
use crate::xml::{Element, Visitor};

words! {
    /// How the guest's memory is kept from the host.
    pub enum LaunchSecurityType {
        /// AMD's encrypted memory.
        Sev = "sev",
        /// The same with integrity.
        SevSnp = "sev-snp",
        /// Z's protected guests.
        S390Pv = "s390-pv",
        /// Intel's trust domains.
        Tdx = "tdx",
    }
}

/// `<launchSecurity>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaunchSecurity {
    /// Where the element stands.
    pub span: SourceSpan,
    /// How.
    pub kind: Option<LaunchSecurityType>,
    /// Whether hashes of kernel, initial RAM disk and command line are measured.
    pub kernel_hashes: Option<bool>,
    /// Whether the guest brings its own key for signing (SNP).
    pub author_key: Option<bool>,
    /// Whether the key of this one chip signs (SNP).
    pub vcek: Option<bool>,
    /// Bit of an address that says that a page is encrypted.
    pub cbitpos: Option<u32>,
    /// Bits of an address that are lost.
    pub reduced_phys_bits: Option<u32>,
    /// What host and guest may do.
    pub policy: Option<u64>,
    /// The owner's key for the exchange.
    pub dh_cert: Option<String>,
    /// The owner's session.
    pub session: Option<String>,
    /// What the guest sees of workarounds (SNP).
    pub guest_visible_workarounds: Option<String>,
    /// The expected identity (SNP).
    pub id_block: Option<String>,
    /// Its signature (SNP).
    pub id_auth: Option<String>,
    /// Data of the host's that is measured (SNP).
    pub host_data: Option<String>,
    /// Configuration that is measured (TDX).
    pub mr_config_id: Option<String>,
    /// Owner that is measured (TDX).
    pub mr_owner: Option<String>,
    /// The owner's configuration that is measured (TDX).
    pub mr_owner_config: Option<String>,
    /// Who signs reports (TDX).
    pub quote_generation_service: Option<QuoteGenerationService>,
}

/// `<quoteGenerationService>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuoteGenerationService {
    /// Path of its socket.
    pub path: Option<String>,
}

/// `<keywrap>`: keys that Z wraps for the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keywrap {
    /// By cipher.
    pub ciphers: Vec<Cipher>,
}

words! {
    /// A cipher of wrapped keys.
    pub enum CipherName {
        /// AES.
        Aes = "aes",
        /// DEA.
        Dea = "dea",
    }
}

/// `<cipher>` of `<keywrap>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cipher {
    /// Which.
    pub name: Option<CipherName>,
    /// Whether the guest can use it.
    pub state: Option<crate::model::toggle::OnOff>,
}

words! {
    /// Who chooses a label.
    pub enum SeclabelType {
        /// The manager.
        Dynamic = "dynamic",
        /// The user.
        Static = "static",
        /// Nobody: there is none.
        None = "none",
    }
}

/// `<seclabel>`: a label of the host's access control. Guests here are kept apart by user,
/// namespace and system call filter, and nothing comes of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seclabel {
    /// Who chooses it.
    pub kind: Option<SeclabelType>,
    /// Access control that it is for.
    pub model: Option<String>,
    /// Whether files are labelled.
    pub relabel: Option<bool>,
    /// The label.
    pub label: Option<String>,
    /// The label of files.
    pub imagelabel: Option<String>,
    /// What a label is made from.
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
