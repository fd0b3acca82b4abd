//! The part of a domain by which its firmware is chosen.

use passthru_domain::firmware::{Firmware, FirmwareFeatureName, Loader, LoaderType};
use passthru_domain::os::Os;
use passthru_domain::security::{LaunchSecurity, LaunchSecurityType};
use passthru_domain::toggle::OnOff;
use passthru_domain::{Domain, Machine};

use super::descriptor::{FirmwareDescriptor, Target};
use super::glob;
use crate::capabilities::{Capabilities, Version, target_of_arch};
use crate::section::firmware::varstore_driver;

/// Bit of an SEV policy that asks for SEV-ES.
const SEV_ES_POLICY: u64 = 1 << 2;

/// The part of a domain by which its firmware is chosen.
pub(super) struct Request<'a> {
    pub(super) os: &'a Os,
    /// Interface of the firmware (`FirmwareOSInterface`).
    pub(super) interface: &'static str,
    /// QEMU's name of the architecture.
    architecture: &'static str,
    /// Machine type, with its version.
    machine: String,
    /// Name of QEMU's device that keeps the variables of firmware.
    pub(super) varstore_driver: &'static str,
    /// Whether the emulator has that device.
    pub(super) has_varstore: bool,
    pub(super) smm: Option<OnOff>,
    /// Features that the firmware must have.
    pub(super) needed: Vec<&'static str>,
    /// Features that the firmware must not have.
    pub(super) unwanted: Vec<&'static str>,
}

impl<'a> Request<'a> {
    /// Returns the request of a domain.
    ///
    /// `None` if the domain runs with the machine's own BIOS, or with a file in read-only memory:
    /// nothing goes with that. Flash memory alone, without a file, asks for no choice either.
    pub(super) fn for_domain(
        domain: &'a Domain,
        machine: &Machine,
        capabilities: &Capabilities,
    ) -> Option<Self> {
        let os = &domain.os;
        let named = os.loader.as_ref().filter(|loader| loader.path.is_some());
        let kind = named.and_then(|loader| loader.kind);
        let interface = match (os.firmware, kind) {
            (Some(Firmware::Efi), _) | (None, Some(LoaderType::Pflash)) => "uefi",
            (Some(Firmware::Bios), _) => "bios",
            (None, _) => return None,
        };
        let features = domain.features.as_ref();
        let smm = features.and_then(|features| features.smm.as_ref());
        let varstore_driver = varstore_driver(machine.arch);
        let mut request = Self {
            os,
            interface,
            architecture: target_of_arch(machine.arch),
            machine: with_version(&machine.name, capabilities.version()),
            varstore_driver,
            has_varstore: capabilities.has_type(varstore_driver),
            smm: smm.map(|smm| smm.state.unwrap_or(OnOff::On)),
            needed: Vec::new(),
            unwanted: Vec::new(),
        };
        request.add_wishes();
        request.add_sleep_states(domain);
        if let Some(security) = &domain.launch_security {
            request.needed.extend(protection(security));
        }
        Some(request)
    }

    /// Returns the path of the firmware that the domain names.
    pub(super) fn path(&self) -> Option<&str> {
        self.loader()?.path.as_deref()
    }

    pub(super) const fn loader(&self) -> Option<&Loader> {
        self.os.loader.as_ref()
    }

    /// Returns whether a descriptor is for this architecture and machine type.
    pub(super) fn is_for(&self, descriptor: &FirmwareDescriptor) -> bool {
        descriptor.targets().iter().any(|t| self.is_target(t))
    }

    fn is_target(&self, target: &Target) -> bool {
        let mut machines = target.machines.iter();
        target.architecture == self.architecture
            && machines.any(|pattern| glob::matches(pattern, &self.machine))
    }

    /// Adds the features of `<firmware>`.
    fn add_wishes(&mut self) {
        let Some(features) = &self.os.features else {
            return;
        };
        for name in FirmwareFeatureName::ALL {
            match features.wish(*name) {
                Some(true) => self.needed.push(name.as_str()),
                Some(false) => self.unwanted.push(name.as_str()),
                None => {}
            }
        }
    }

    /// Adds the sleep states that the guest sees.
    fn add_sleep_states(&mut self, domain: &Domain) {
        let Some(pm) = &domain.pm else { return };
        for (state, feature) in [
            (&pm.suspend_to_mem, "acpi-s3"),
            (&pm.suspend_to_disk, "acpi-s4"),
        ] {
            if state.as_ref().and_then(|state| state.enabled) == Some(true) {
                self.needed.push(feature);
            }
        }
    }
}

/// Returns the features that firmware needs for protected memory.
fn protection(security: &LaunchSecurity) -> Vec<&'static str> {
    match security.kind {
        Some(LaunchSecurityType::Sev) => {
            let policy = security.policy.unwrap_or_default();
            if policy & SEV_ES_POLICY == 0 {
                vec!["amd-sev"]
            } else {
                vec!["amd-sev", "amd-sev-es"]
            }
        }
        Some(LaunchSecurityType::SevSnp) => vec!["amd-sev-snp"],
        Some(LaunchSecurityType::Tdx) => vec!["intel-tdx"],
        Some(LaunchSecurityType::S390Pv) | None => Vec::new(),
    }
}

/// Returns a machine type with its version: patterns of descriptors match no alias.
fn with_version(name: &str, version: Version) -> String {
    let family = match name {
        "q35" => "pc-q35",
        "pc" => "pc-i440fx",
        "virt" => "virt",
        _ => return name.to_owned(),
    };
    format!("{family}-{}.{}", version.major, version.minor)
}
