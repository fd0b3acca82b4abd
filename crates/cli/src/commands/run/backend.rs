//! The choice of the backend.

use passthru_domain::{Backend, Domain};
use passthru_host::Host;
use passthru_qemu::Capabilities;

use super::notices::Notices;
use crate::commands::backend_argument::BackendPolicy;
use crate::error::Error;
use crate::exit::Code;
use crate::hint::host_hint;

/// Chooses the backend of the devices whose XML names none. If there are such devices, prints the
/// backend and the reason for it.
///
/// # Errors
/// If such devices would get type1, which `run` does not support, then an error with exit code 4.
pub(super) fn choose_backend(
    policy: BackendPolicy,
    domain: &Domain,
    host: &Host,
    capabilities: &Capabilities,
    notices: &mut Notices,
) -> Result<Backend, Error> {
    let has_unsaid = domain
        .devices
        .assigned()
        .any(|hostdev| hostdev.is_vfio() && domain.backend(hostdev).is_none());
    let lack = host.capabilities().missing();
    let (backend, reason) = match (policy, &lack) {
        (BackendPolicy::Named(backend), _) => (backend, "as requested".to_owned()),
        (BackendPolicy::Auto, Some(lack)) => (Backend::Type1, lack.to_string()),
        (BackendPolicy::Auto, None) if !capabilities.has_iommufd() => (
            Backend::Type1,
            format!(
                "QEMU {} has no iommufd (8.2 and later have)",
                capabilities.version()
            ),
        ),
        (BackendPolicy::Auto, None) => (Backend::Iommufd, "kernel and QEMU have it".to_owned()),
    };
    if has_unsaid && backend == Backend::Type1 {
        let error = format!(
            "devices that name no backend would get type1 ({reason}), which `run` does not support \
             yet"
        );
        return Err(Error::new(Code::Host, error).hint(lack.as_ref().and_then(host_hint)));
    }

    if let Some(disk) = domain.devices.nvme_functions().first() {
        notices.say(format!(
            "passthru: backend type1 for {}: QEMU's own NVMe driver has no other",
            disk.owner_name()
        ));
    }

    if has_unsaid {
        let backend = backend.as_str();
        notices.say(format!(
            "passthru: backend {backend} for the devices that name none: {reason}"
        ));
    }

    Ok(backend)
}
