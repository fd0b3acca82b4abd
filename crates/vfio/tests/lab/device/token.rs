//! Virtual functions whose physical function is assigned too, and their token.

use std::fs;
use std::path::Path;

use passthru_lab::devices::{EDU, IGB};
use passthru_vfio::Failed;
use passthru_vfio::device::{Feature, Source};
use rustix::io::Errno;

use super::{assert_hint, errno};
use crate::taken::{iommufd, take};

pub(crate) const VF: &str = "0000:02:10.0";
pub(crate) const TOKEN: [u8; 16] = *b"passthru's token";

/// Two virtual functions of the igb, until dropped.
pub(crate) struct VirtualFunctions;

impl VirtualFunctions {
    pub(crate) fn new() -> Self {
        fs::write("/sys/module/vfio_pci/parameters/enable_sriov", "1").unwrap();
        write(2).unwrap();
        Self
    }
}

/// Sets the number of virtual functions.
fn write(count: u32) -> std::io::Result<()> {
    fs::write(
        format!("/sys/bus/pci/devices/{IGB}/sriov_numvfs"),
        count.to_string(),
    )
}

impl Drop for VirtualFunctions {
    fn drop(&mut self) {
        write(0).unwrap();
    }
}

fn virtual_function() -> Source {
    Source::Pci(VF.parse().unwrap())
}

#[test]
fn virtual_function_binds_only_with_token() {
    let taken = take(IGB);
    let context = iommufd();
    let physical = taken.bind(&context);
    assert!(physical.device().supports(Feature::VfToken).unwrap());

    let functions = VirtualFunctions::new();
    assert!(
        Path::new("/sys/bus/pci/devices")
            .join(VF)
            .join("physfn")
            .exists()
    );

    physical.device().set_vf_token(TOKEN).unwrap();

    let unbound = virtual_function().open().unwrap();
    let Failed { state, error } = unbound.bind(&context, None).unwrap_err();
    assert_hint(
        &error,
        Errno::ACCESS,
        "give the token of its physical or virtual functions",
    );
    let Failed { state, error } = state.bind(&context, Some([7; 16])).unwrap_err();
    assert_hint(
        &error,
        Errno::ACCESS,
        "give the token that the physical function has",
    );
    let bound = state.bind(&context, Some(TOKEN)).unwrap();
    assert!(bound.device().info().unwrap().regions > 0);

    // While the virtual function is open, the physical function needs the token too.
    drop(physical);
    let Failed { state, error } = taken
        .source()
        .open()
        .unwrap()
        .bind(&context, None)
        .unwrap_err();
    assert_hint(
        &error,
        Errno::ACCESS,
        "give the token of its physical or virtual functions",
    );
    let physical = state.bind(&context, Some(TOKEN)).unwrap();
    drop(bound);
    drop(physical);
    drop(functions);
}

#[test]
fn unneeded_token_is_refused_at_bind() {
    let taken = take(EDU);
    let context = iommufd();
    let Failed { state, error } = taken
        .source()
        .open()
        .unwrap()
        .bind(&context, Some(TOKEN))
        .unwrap_err();
    assert_hint(&error, Errno::INVAL, "leave the token out");
    let bound = state.bind(&context, None).unwrap();
    let error = bound.device().set_vf_token(TOKEN).unwrap_err();
    assert_hint(&error, Errno::NOTTY, "physical function");

    assert!(errno(&error).is_some());
}
