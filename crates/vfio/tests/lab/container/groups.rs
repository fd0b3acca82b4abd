//! IOMMU groups of type1.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use passthru_lab::devices::{EDU, IGB, NVME, SHARED_COMPANION, SHARED_FREE, TWO_PORT_NIC};
use passthru_lab::{HeldResources, each_failure};
use passthru_vfio::Failed;
use passthru_vfio::container::{
    Access, AttachOptions, Backend, Blocker, Container, Containers, Error, Group, KvmVfio, Options,
    Policy, Type1Container,
};
use passthru_vfio::device::Source;
use rustix::io::Errno;

use crate::conformance::{PAGE, at, attach, container, map, memory};
use crate::device::token::{TOKEN, VF, VirtualFunctions};
use crate::taken::{mtty_two, take, take_two};

fn group(address: &str) -> u32 {
    Source::Pci(address.parse().unwrap())
        .locate()
        .unwrap()
        .group()
        .unwrap()
}

/// A device that is bound to vfio-pci whatever its group, until dropped.
struct Bound(&'static str);

impl Bound {
    fn new(address: &'static str) -> Self {
        let _host = passthru_lab::host();
        set_override(address, "vfio-pci");
        fs::write("/sys/bus/pci/drivers_probe", address).unwrap();
        Self(address)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        fs::write("/sys/bus/pci/drivers/vfio-pci/unbind", self.0).unwrap();
        set_override(self.0, "\n");
    }
}

fn set_override(address: &str, driver: &str) {
    fs::write(
        format!("/sys/bus/pci/devices/{address}/driver_override"),
        driver,
    )
    .unwrap();
}

#[test]
fn group_with_host_device_is_not_viable_and_names_it() {
    let bound = Bound::new(SHARED_FREE);
    let error = Group::open(group(SHARED_FREE))
        .unwrap()
        .check_viable()
        .unwrap_err();
    let Error::NotViable { blockers, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        blockers,
        &[Blocker {
            device: SHARED_COMPANION.into(),
            driver: "e1000".into()
        }]
    );
    assert!(error.hint().unwrap().contains("vfio-pci"));

    let named = error.to_string();
    for backend in [Backend::Type1, Backend::Iommufd] {
        let Failed { error, .. } = container(backend)
            .attach(at(SHARED_FREE), AttachOptions::default())
            .unwrap_err();
        assert!(
            matches!(error, Error::NotViable { .. }) && error.to_string() == named,
            "{error}"
        );
    }

    drop(bound);
}

/// A device of the host that is moved to another driver, and goes back to its own when dropped.
struct Moved {
    address: &'static str,
    own: &'static str,
}

impl Moved {
    fn bind_to(&self, driver: &str) {
        fs::write(
            format!("/sys/bus/pci/devices/{}/driver/unbind", self.address),
            self.address,
        )
        .unwrap();
        set_override(self.address, driver);
        fs::write("/sys/bus/pci/drivers_probe", self.address).unwrap();
        let link = fs::read_link(format!("/sys/bus/pci/devices/{}/driver", self.address)).unwrap();
        assert!(link.ends_with(driver), "{}", link.display());
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        self.bind_to(self.own);
        set_override(self.address, "\n");
    }
}

/// Compares the driver rule with the kernel's own answer, `VFIO_GROUP_GET_STATUS`.
#[test]
fn group_is_viable_where_the_driver_rule_says_so() {
    let bound = Bound::new(SHARED_FREE);
    let companion = Moved {
        address: SHARED_COMPANION,
        own: "e1000",
    };
    for driver in ["pci-stub", "vfio-pci", "e1000"] {
        companion.bind_to(driver);
        let answer = Group::open(group(SHARED_FREE)).unwrap().check_viable();
        assert_eq!(
            answer.is_ok(),
            passthru_pci::leaves_group_viable(driver),
            "{driver}"
        );
    }

    drop((companion, bound));
}

#[test]
fn container_holds_several_groups() {
    let taken = take_two(EDU, NVME);
    let container = Type1Container::open(None).unwrap();
    let [edu, nvme] = [EDU, NVME].map(|address| {
        container
            .attach(at(address), AttachOptions::default())
            .unwrap()
    });
    assert_eq!(container.groups(), [group(EDU), group(NVME)]);

    let before = container.info().unwrap();
    map(&container, memory(1), 0x10_0000, Access::Read).unwrap();
    let after = container.info().unwrap();
    assert_eq!(
        after.mappings_left.unwrap(),
        before.mappings_left.unwrap() - 1
    );
    assert_eq!(after.dirty.unwrap().page_sizes, PAGE);

    edu.detach().unwrap();
    assert_eq!(container.groups(), [group(NVME)]);

    drop((nvme, taken));
}

#[test]
fn group_joins_one_container_at_a_time() {
    let taken = take(EDU);
    let one = container(Backend::Type1);
    let other = container(Backend::Type1);
    let member = attach(&one, EDU);
    let Failed { state, error } = other.attach(at(EDU), AttachOptions::default()).unwrap_err();

    assert_eq!(
        error.io().and_then(Errno::from_io_error),
        Some(Errno::BUSY),
        "{error}"
    );
    assert!(
        error
            .hint()
            .unwrap()
            .contains("the other process or container")
    );

    member.detach().unwrap();
    other.attach(state, AttachOptions::default()).unwrap();
    drop(taken);
}

#[test]
fn container_left_by_last_device_is_not_reused() {
    let taken = take(EDU);
    let mut containers = Containers::new(Options {
        policy: Policy::Type1,
        ..Options::default()
    });
    let first = containers
        .attach(at(EDU), &AttachOptions::default())
        .unwrap();
    map(&*first.container, memory(1), 0x10_0000, Access::Read).unwrap();
    first.member.detach().unwrap();
    let second = containers
        .attach(at(EDU), &AttachOptions::default())
        .unwrap();

    assert!(second.is_new && !Arc::ptr_eq(&first.container, &second.container));
    assert_eq!(containers.choices().len(), 1);
    assert_eq!(second.container.unmap_all().unwrap(), 0);

    drop((second, taken));
}

#[test]
fn device_with_other_handles_is_not_detached() {
    let taken = take(EDU);
    let container = container(Backend::Type1);
    let member = attach(&container, EDU);
    let handle = member.device().clone();
    map(&*container, memory(1), 0x10_0000, Access::Read).unwrap();
    let Failed { state, error } = member.detach().unwrap_err();

    assert!(
        matches!(error, Error::InUse { .. }) && error.hint().is_some(),
        "{error}"
    );
    assert_eq!(container.unmap_all().unwrap(), PAGE);

    drop(handle);
    state.detach().unwrap();
    assert!(matches!(container.iova_ranges(), Err(Error::NoDevice)));

    drop(taken);
}

#[test]
fn device_with_group_in_proof_is_not_detached() {
    let taken = take(NVME);
    let container = container(Backend::Type1);
    let member = attach(&container, NVME);
    let proof = container
        .hot_reset_proof(&member.device().hot_reset_info().unwrap())
        .unwrap();
    let Failed { state, error } = member.detach().unwrap_err();

    assert!(
        matches!(error, Error::InUse { .. }) && error.to_string().contains("hot reset"),
        "{error}"
    );
    assert!(container.iova_ranges().is_ok());

    drop(proof);
    state.detach().unwrap();
    assert!(matches!(container.iova_ranges(), Err(Error::NoDevice)));

    drop(taken);
}

/// A KVM that refuses the second group, which then gets a container of its own.
#[derive(Debug, Default)]
struct RefusesSecondGroup(AtomicU32);

impl KvmVfio for RefusesSecondGroup {
    fn add(&self, _: BorrowedFd<'_>) -> io::Result<()> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 1 {
            Err(io::ErrorKind::InvalidInput.into())
        } else {
            Ok(())
        }
    }

    fn remove(&self, _: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn bus_resets_across_containers() {
    let [first, second] = TWO_PORT_NIC;
    let taken = take_two(first, second);
    let kvm: Option<Arc<dyn KvmVfio>> = Some(Arc::new(RefusesSecondGroup::default()));
    let mut containers = Containers::new(Options {
        policy: Policy::Type1,
        kvm,
        ..Options::default()
    });
    let one = containers
        .attach(at(first), &AttachOptions::default())
        .unwrap();
    let affected = one.member.device().hot_reset_info().unwrap();
    let error = containers.hot_reset_proof(&affected).unwrap_err();

    assert!(
        matches!(&error, Error::NotOwned { devices } if devices == &[second]),
        "{error}"
    );

    let other = containers
        .attach(at(second), &AttachOptions::default())
        .unwrap();
    assert!(other.is_new);

    let affected = one.member.device().hot_reset_info().unwrap();
    let proof = containers.hot_reset_proof(&affected).unwrap();
    assert_eq!(containers.choices().len(), 2);
    assert_eq!(proof.files().len(), 2);

    one.member.device().hot_reset(&proof.files()).unwrap();
    drop((proof, one, other, taken));
}

#[test]
fn group_without_vfio_device_cannot_be_opened() {
    let _host = passthru_lab::host();
    let error = Group::open(4711).unwrap_err();
    assert!(
        matches!(error, Error::Open { .. }) && error.hint().unwrap().contains("VFIO driver"),
        "{error}"
    );
}

fn with_token(token: Option<[u8; 16]>) -> AttachOptions {
    AttachOptions {
        token,
        ..AttachOptions::default()
    }
}

#[test]
fn virtual_function_opens_only_with_token() {
    let taken = take(IGB);
    let container = container(Backend::Type1);
    let physical = attach(&container, IGB);
    let functions = VirtualFunctions::new();
    physical.device().set_vf_token(TOKEN).unwrap();
    for (token, words) in [
        (None, "set on its physical function"),
        (Some([7; 16]), "set on the physical function"),
    ] {
        let Failed { error, .. } = container.attach(at(VF), with_token(token)).unwrap_err();
        assert_eq!(
            error.io().and_then(Errno::from_io_error),
            Some(Errno::ACCESS),
            "{error}"
        );
        assert!(error.hint().unwrap().contains(words), "{error}");
    }

    let function = container.attach(at(VF), with_token(Some(TOKEN))).unwrap();

    assert!(function.device().info().unwrap().regions > 0);

    drop((function, physical, functions, taken));
}

/// Uses a mediated device, for the reason in `conformance/failures.rs`.
#[test]
fn failed_group_call_can_be_repeated() {
    let [taken, _other] = mtty_two();
    let number = taken.source().locate().unwrap().group().unwrap();
    let container = Type1Container::open(None).unwrap();
    let host = passthru_lab::host();
    let mut failed = 0;
    let before = HeldResources::read().unwrap();
    each_failure(host, |failure| {
        failed += u32::from(
            failure
                .during(|| Group::open(number)?.check_viable())
                .is_err(),
        );
        Group::open(number).unwrap().check_viable().unwrap();
    });

    assert!(failed > 0 && HeldResources::read().unwrap() == before);

    let member = container
        .attach(taken.source().into(), AttachOptions::default())
        .unwrap();
    let info = container.info().unwrap();
    failed = 0;
    each_failure(host, |failure| {
        failed += u32::from(failure.during(|| container.info()).is_err());
        assert_eq!(container.info().unwrap(), info);
    });
    assert!(failed > 0);

    drop(member);
}
