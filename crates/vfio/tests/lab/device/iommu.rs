//! The IOMMU behind a device of the virtual host: its registers and page tables.

use std::fs;
use std::sync::Arc;

use passthru_iommufd::{
    BoundDevice, HwInfo, HwInfoData, Hwpt, HwptOptions, Ioas, Viommu, ViommuKind,
};
use passthru_lab::devices::EDU;
use rustix::io::Errno;

use crate::taken::{iommufd, take};

/// Reads a register of the virtual host's IOMMU from sysfs.
fn register(name: &str) -> u64 {
    let text = fs::read_to_string(format!("/sys/class/iommu/dmar0/intel-iommu/{name}")).unwrap();
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn vtd_registers_match_sysfs() {
    let taken = take(EDU);
    let info = HwInfo::query(&taken.bound()).unwrap();
    let HwInfoData::IntelVtd { cap, ecap, .. } = info.iommu else {
        panic!("{info:?}")
    };
    assert_eq!((cap, ecap), (register("cap"), register("ecap")));
    assert_eq!(info.max_pasid_log2, 0);
}

#[test]
fn missing_nesting_and_viommu_are_refused() {
    let taken = take(EDU);
    let context = iommufd();
    let bound = taken.bind(&context);
    let ioas = Arc::new(Ioas::alloc(&context).unwrap());
    let nest_parent = HwptOptions {
        nest_parent: true,
        ..HwptOptions::default()
    };
    let plain = Arc::new(Hwpt::alloc(&bound, &ioas, &HwptOptions::default()).unwrap());
    let errors = [
        Hwpt::alloc(&bound, &ioas, &nest_parent).unwrap_err(),
        Viommu::alloc(&bound, &plain, &ViommuKind::ArmSmmuv3).unwrap_err(),
    ];
    for error in errors {
        let errno = error.io().and_then(Errno::from_io_error);
        assert_eq!(errno, Some(Errno::OPNOTSUPP), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("device {}", bound.id())),
            "{error}"
        );
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("its kernel driver")),
            "{error}"
        );
    }
}
