//! Discards of memory: allowed beside mediated devices only, which then keep other devices out.

use passthru_lab::devices::{EDU, NVME};
use passthru_vfio::Failed;
use passthru_vfio::container::{AttachOptions, Backend, Containers, Error, Options};

use super::{at, container, on_both_backends, take};
use crate::taken::{mtty_two, take_beside};

on_both_backends! {
    discards_are_allowed_beside_mediated_devices_only
    containers_share_discard_state
    reset_proof_blocks_discards
}

fn discards_are_allowed_beside_mediated_devices_only(backend: Backend) {
    let [one, other] = mtty_two();
    let edu = take_beside(&one, EDU);
    let container = container(backend);
    let discards = container.discards();
    let mediated = container
        .attach(one.source().into(), AttachOptions::default())
        .unwrap();
    assert!(discards.allowed());
    let discarding = discards.begin().unwrap();
    let Failed { state, error } = container
        .attach(at(EDU), AttachOptions::default())
        .unwrap_err();
    assert!(
        matches!(&error, Error::Discarding { device } if device == EDU),
        "{error}"
    );
    let another = container
        .attach(other.source().into(), AttachOptions::default())
        .unwrap();
    drop(discarding);
    // A device counts only while it is attached.
    let with_token = AttachOptions {
        token: Some([1; 16]),
        ..AttachOptions::default()
    };
    let Failed { state, .. } = container.attach(state, with_token).unwrap_err();
    assert!(discards.allowed());
    let member = container.attach(state, AttachOptions::default()).unwrap();
    assert!(!discards.allowed());
    let error = discards.begin().unwrap_err();
    assert!(
        matches!(&error, Error::Pinned { devices } if devices == &[EDU]),
        "{error}"
    );
    let handle = member.device().clone();
    drop(member);
    // On type1 the device is attached until its last handle is dropped.
    assert_eq!(discards.allowed(), backend == Backend::Iommufd);
    drop(handle);
    assert!(discards.allowed());
    drop((another, mediated, edu, other, one));
}

fn containers_share_discard_state(backend: Backend) {
    let [one, other] = mtty_two();
    let edu = take_beside(&one, EDU);
    let mut containers = Containers::new(Options {
        policy: super::only(backend),
        ..Options::default()
    });
    let mediated = containers
        .attach(other.source().into(), &AttachOptions::default())
        .unwrap();
    assert!(containers.discards().allowed() && mediated.container.discards().allowed());
    let placed = containers
        .attach(at(EDU), &AttachOptions::default())
        .unwrap();
    assert!(!containers.discards().allowed() && !mediated.container.discards().allowed());
    drop(placed);
    assert!(containers.discards().begin().is_ok());
    drop((mediated, edu, other, one));
}

fn reset_proof_blocks_discards(backend: Backend) {
    let taken = take(NVME);
    let container = container(backend);
    let member = container
        .attach(at(NVME), AttachOptions::default())
        .unwrap();
    let proof = container
        .hot_reset_proof(&member.device().hot_reset_info().unwrap())
        .unwrap();
    drop(member);
    // On type1 the proof keeps the group, and so the mappings.
    assert_eq!(container.discards().allowed(), backend == Backend::Iommufd);
    drop(proof);
    assert!(container.discards().allowed());
    drop(taken);
}
