//! Model and capabilities of the IOMMU behind a device.

use passthru_iommufd::{HwCapabilities, HwInfo, HwInfoData};
use rustix::io::Errno;

use crate::mock::{self, Device, words};
use crate::{assert_hint, ioas};

#[test]
fn unknown_iommu_has_data_and_capabilities() {
    let ioas = ioas();
    let info = HwInfo::query(&Device::attach(&ioas).unwrap()).unwrap();
    let data = words(&[0, mock::HW_INFO_REGISTER]);
    assert_eq!(
        info.iommu,
        HwInfoData::Unknown {
            data_type: mock::HW_INFO,
            data
        }
    );
    assert!(
        info.capabilities.contains(HwCapabilities::DIRTY_TRACKING),
        "{info:?}"
    );
    assert_eq!(info.max_pasid_log2, 0);
}

#[test]
fn capabilities_differ_between_devices() {
    let ioas = ioas();
    let untracked = HwInfo::query(&Device::with(&ioas, mock::NO_DIRTY_TRACKING).unwrap()).unwrap();
    assert!(
        !untracked
            .capabilities
            .contains(HwCapabilities::DIRTY_TRACKING),
        "{untracked:?}"
    );

    let pasid = HwInfo::query(&Device::with(&ioas, mock::PASID).unwrap()).unwrap();
    assert_eq!(pasid.max_pasid_log2, 20);
}

#[test]
fn query_of_a_type_returns_that_type_or_fails() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    assert_eq!(
        HwInfo::query_type(&device, mock::HW_INFO).unwrap(),
        HwInfo::query(&device).unwrap()
    );

    let error = HwInfo::query_type(&device, HwInfoData::TEGRA241_CMDQV).unwrap_err();
    assert_hint(&error, Errno::OPNOTSUPP, "no data of this one");
    assert!(error.to_string().contains("data of type 3"), "{error}");
}
