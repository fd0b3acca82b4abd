//! The argument `--backend`.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use passthru_domain::{Backend, Domain, Errors};

/// Choice of the backend of devices whose XML names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackendPolicy {
    /// iommufd if the kernel and QEMU have it, else type1.
    Auto,
    /// The backend that the user named.
    Named(Backend),
}

/// Parses the name of a backend.
pub(super) fn backend() -> impl TypedValueParser<Value = Backend> {
    let values = PossibleValuesParser::new([iommufd(), type1()]);
    values.map(|name| backend_named(&name))
}

/// Parses the name of a backend, or `auto`.
pub(super) fn policy() -> impl TypedValueParser<Value = BackendPolicy> {
    let values = PossibleValuesParser::new([
        PossibleValue::new("auto").help("iommufd if the kernel and QEMU have it, else type1"),
        iommufd(),
        type1(),
    ]);
    values.map(|name| {
        if name == "auto" {
            BackendPolicy::Auto
        } else {
            BackendPolicy::Named(backend_named(&name))
        }
    })
}

/// Checks that the disks of a domain can have the backend of `--backend`.
///
/// # Errors
/// If the backend is iommufd and the domain has NVMe disks, then an error for each disk.
pub(super) fn check_disk_backend(domain: &Domain, backend: Backend) -> Result<(), Errors> {
    let request = format!("--backend {}", backend.as_str());
    domain.check_disk_backend(backend, &request)
}

fn iommufd() -> PossibleValue {
    PossibleValue::new(Backend::Iommufd.as_str())
        .help("/dev/iommu, with a character device for each VFIO device")
}

fn type1() -> PossibleValue {
    PossibleValue::new(Backend::Type1.as_str()).help("VFIO's groups and containers")
}

/// Returns the backend of a name that clap has checked.
fn backend_named(name: &str) -> Backend {
    if name == Backend::Iommufd.as_str() {
        Backend::Iommufd
    } else {
        Backend::Type1
    }
}
