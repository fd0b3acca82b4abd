//! The choice of the backend.

use passthru_domain::device::hostdev::Hostdev;
use passthru_domain::{Backend, Domain};
use passthru_host::{Error as HostError, Host};
use passthru_qemu::Capabilities;

use super::notices::Notices;
use crate::commands::backend_argument::BackendPolicy;
use crate::error::Error;

/// Chooses the backend of the devices whose XML names none. If there are such devices, prints the
/// backend and the reason for it.
///
/// # Errors
/// If `auto` has to choose and the host has no IOMMU, which both backends need, then
/// [`HostError::NoIommu`].
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
    let (backend, reason) = match policy {
        BackendPolicy::Named(backend) => (backend, "as requested".to_owned()),
        BackendPolicy::Auto => match host.capabilities().missing() {
            Some(error @ HostError::NoIommu) if has_unsaid => return Err(error.into()),
            Some(lack) => (Backend::Type1, lack.to_string()),
            None if !capabilities.has_iommufd() => (
                Backend::Type1,
                format!(
                    "QEMU {} has no iommufd (8.2 and later have)",
                    capabilities.version()
                ),
            ),
            None => match on_type1(domain) {
                Some(hostdev) => (
                    Backend::Type1,
                    format!("{} has it, and QEMU does not mix them", hostdev.host_name()),
                ),
                None => (Backend::Iommufd, "kernel and QEMU have it".to_owned()),
            },
        },
    };
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

/// Returns a device whose XML names type1.
fn on_type1(domain: &Domain) -> Option<&Hostdev> {
    let mut hostdevs = domain.devices.assigned();
    hostdevs.find(|hostdev| domain.backend(hostdev) == Some(Backend::Type1))
}
