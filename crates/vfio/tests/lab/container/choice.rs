//! The choice of a backend, and its reason.

use std::sync::Arc;

use passthru_lab::devices::{EDU, UPLINK};
use passthru_vfio::Failed;
use passthru_vfio::container::{
    AttachOptions, Backend, BackendReason, Error, Options, Policy, open,
};
use passthru_vfio::device::Source;

use crate::conformance::choose;
use crate::taken::{iommufd, take};

#[test]
fn auto_chooses_iommufd_where_available() {
    let taken = take(EDU);
    let choice = open(&Options::default(), &[taken.source().locate().unwrap()]).unwrap();
    assert_eq!(choice.backend, Backend::Iommufd);
    assert_eq!(choice.to_string(), "iommufd: /dev/iommu is available");

    let choice = choose(Options {
        iommufd: Some(iommufd()),
        ..Options::default()
    });
    assert_eq!(choice.to_string(), "iommufd: an iommufd was given");
}

#[test]
fn auto_chooses_type1_without_cdev() {
    let _host = passthru_lab::host();
    let without = Source::Pci(UPLINK.parse().unwrap()).locate().unwrap();
    let choice = open(&Options::default(), &[without]).unwrap();
    assert_eq!(choice.backend, Backend::Type1);
    assert!(
        matches!(&choice.reason, BackendReason::NoCdev(device) if device == UPLINK),
        "{choice}"
    );
    assert_eq!(
        choice.to_string(),
        format!("type1: {UPLINK} has no VFIO character device")
    );
}

#[test]
fn requested_backend_is_opened() {
    let _host = passthru_lab::host();
    for (policy, backend) in [
        (Policy::Iommufd, Backend::Iommufd),
        (Policy::Type1, Backend::Type1),
    ] {
        let choice = choose(Options {
            policy,
            ..Options::default()
        });
        assert_eq!(choice.backend, backend);
        assert_eq!(choice.container.capabilities().backend, backend);
        assert_eq!(choice.to_string(), format!("{backend}: as requested"));
    }
}

#[test]
fn only_iommufd_takes_device_by_descriptor() {
    let taken = take(EDU);
    let passed = taken.source().open().unwrap();
    let type1 = choose(Options {
        policy: Policy::Type1,
        ..Options::default()
    })
    .container;
    let Failed { state, error } = type1
        .attach(Source::Fd(passed.into()).into(), AttachOptions::default())
        .unwrap_err();

    assert!(
        matches!(
            error,
            Error::Unsupported {
                backend: Backend::Type1,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("iommufd"));

    choose(Options::default())
        .container
        .attach(state, AttachOptions::default())
        .unwrap();
}

#[test]
fn two_containers_share_one_iommufd() {
    let _host = passthru_lab::host();
    let context = iommufd();
    let options = Options {
        iommufd: Some(Arc::clone(&context)),
        ..Options::default()
    };
    let one = choose(options.clone()).container;
    let other = choose(options).container;
    let one = one.ioas().unwrap();
    let other = other.ioas().unwrap();

    assert_ne!(one.id(), other.id());
    assert!(Arc::ptr_eq(one.context(), other.context()));
}
