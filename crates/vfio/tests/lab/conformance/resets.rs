//! Hot resets: the affected devices, the proof that the caller owns them, and refusals.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use passthru_lab::devices::{EDU, IGB, NVME, SHARED_COMPANION, SHARED_FREE, TWO_PORT_NIC};
use passthru_vfio::container::{AttachOptions, Backend, Error, HotResetProof, Member};
use passthru_vfio::device::{AffectedDevice, HotResetInfo, HotResetOwner, Region};
use rustix::io::Errno;

use super::{at, attach, container, on_both_backends, take, take_two};
use crate::device::token::{TOKEN, VirtualFunctions};
use crate::edu::enable;

on_both_backends! {
    device_alone_on_bus_is_hot_reset
    devices_of_one_group_reset_together
    devices_of_several_groups_reset_when_all_are_owned
    physical_function_is_not_reset_beside_its_vfs
    hot_reset_of_unowned_device_is_refused
}

/// Interrupt mask of an NVMe controller: bits that are set stay set until a reset.
const INTMS: u64 = 0xc;
/// Register with the address of a ring of an e1000, and of an igb. 0 after a reset.
const E1000_RING: u64 = 0x3800;
const IGB_RING: u64 = 0xe000;

/// Sets a register of a device. Returns a function that checks whether the device was reset since.
fn mark(member: &Member, register: u64, value: u32) -> impl Fn() -> bool + use<> {
    let device = member.device().clone();
    enable(&device);
    let bar = device.region(Region::BAR0).unwrap();
    bar.write(register, value).unwrap();
    assert_eq!(bar.read::<u32>(register).unwrap(), value);
    move || {
        enable(&device);
        bar.read::<u32>(register).unwrap() == 0
    }
}

/// Returns the devices that a hot reset affects, and their addresses in rising order.
fn affected(member: &Member) -> (HotResetInfo, Vec<String>) {
    let affected = member.device().hot_reset_info().unwrap();
    let mut addresses: Vec<_> = affected
        .devices
        .iter()
        .map(|device| device.address.to_string())
        .collect();
    addresses.sort();
    (affected, addresses)
}

fn refused(member: &Member, files: &[BorrowedFd<'_>]) -> Option<Errno> {
    let error = member.device().hot_reset(files).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    Errno::from_io_error(error.io()?)
}

fn device_alone_on_bus_is_hot_reset(backend: Backend) {
    let taken = take(NVME);
    let container = container(backend);
    let nvme = attach(&container, NVME);
    let was_reset = mark(&nvme, INTMS, 5);
    let (affected, addresses) = affected(&nvme);
    assert_eq!(addresses, [NVME]);
    let proof = container.hot_reset_proof(&affected).unwrap();
    nvme.device().hot_reset(&proof.files()).unwrap();
    assert!(was_reset());
    drop((was_reset, nvme, taken));
}

fn devices_of_one_group_reset_together(backend: Backend) {
    let taken = take_two(SHARED_FREE, SHARED_COMPANION);
    let container = container(backend);
    let one = attach(&container, SHARED_FREE);
    let other = attach(&container, SHARED_COMPANION);
    let (affected, addresses) = affected(&one);
    assert!(addresses.contains(&SHARED_COMPANION.into()));
    let proof = container.hot_reset_proof(&affected).unwrap();
    assert_eq!(
        proof.files().len(),
        if backend == Backend::Type1 { 1 } else { 0 }
    );
    let was_reset = mark(&other, E1000_RING, 0x1000);
    // Neither backend accepts the other's proof, or any other file.
    let file = File::open("/dev/null").unwrap();
    assert_eq!(refused(&one, &[file.as_fd()]), Some(Errno::INVAL));
    if backend == Backend::Type1 {
        assert_eq!(refused(&one, &[]), Some(Errno::INVAL));
    }
    assert!(!was_reset());
    one.device().hot_reset(&proof.files()).unwrap();
    assert!(was_reset());
    drop((was_reset, proof, one, other, taken));
}

fn devices_of_several_groups_reset_when_all_are_owned(backend: Backend) {
    let [first, second] = TWO_PORT_NIC;
    let taken = take_two(first, second);
    let container = container(backend);
    let one = attach(&container, first);
    let was_reset = mark(&one, IGB_RING, 0x1000);
    let (before, addresses) = affected(&one);
    assert_eq!(addresses, [first, second]);
    let error = container.hot_reset_proof(&before).unwrap_err();
    assert!(
        matches!(&error, Error::NotOwned { devices } if devices == &[second]),
        "{error}"
    );
    // A reset with a proof of only some devices is refused.
    let devices = before
        .devices
        .iter()
        .filter(|device| device.address.to_string() == first);
    let here = HotResetInfo {
        devices: devices.copied().collect(),
        owned: before.owned.map(|_| true),
    };
    let part = container.hot_reset_proof(&here).unwrap();
    assert_eq!(refused(&one, &part.files()), Some(Errno::INVAL));
    assert!(!was_reset());

    let other = attach(&container, second);
    let (all, _) = affected(&one);
    let proof = container.hot_reset_proof(&all).unwrap();
    assert_eq!(
        proof.files().len(),
        if backend == Backend::Type1 { 2 } else { 0 }
    );
    one.device().hot_reset(&proof.files()).unwrap();
    assert!(was_reset());
    drop((was_reset, part, proof, one, other, taken));
}

/// The kernel counts virtual functions as affected, and never resets a bus that has some.
fn physical_function_is_not_reset_beside_its_vfs(backend: Backend) {
    let taken = take(IGB);
    let container = container(backend);
    let physical = attach(&container, IGB);
    let functions = VirtualFunctions::new();
    physical.device().set_vf_token(TOKEN).unwrap();
    let (_, addresses) = affected(&physical);
    assert_eq!(addresses, [IGB, "0000:02:10.0", "0000:02:10.2"]);
    let mut virtual_members = Vec::new();
    for address in &addresses[1..] {
        let options = AttachOptions {
            token: Some(TOKEN),
            ..AttachOptions::default()
        };
        virtual_members.push(container.attach(at(address), options).unwrap());
    }

    let (all, _) = affected(&physical);
    let files = container.hot_reset_proof(&all);
    let files = files.as_ref().map(HotResetProof::files).unwrap_or_default();
    assert_eq!(refused(&physical, &files), Some(Errno::INVAL));
    drop((virtual_members, physical, functions, taken));
}

fn hot_reset_of_unowned_device_is_refused(backend: Backend) {
    let container = container(backend);
    let address = EDU.parse().unwrap();
    let owner = if backend == Backend::Type1 {
        HotResetOwner::Group(4711)
    } else {
        HotResetOwner::NotOwned
    };
    let owned = (backend == Backend::Iommufd).then_some(false);
    let affected = HotResetInfo {
        devices: vec![AffectedDevice { address, owner }],
        owned,
    };
    let error = container.hot_reset_proof(&affected).unwrap_err();
    assert!(
        matches!(error, Error::NotOwned { .. }) && error.to_string().contains(EDU),
        "{error}"
    );
    assert!(error.hint().is_some());
}
