//! Obligations of both backends: each test runs on `iommufd` and on `type1`. DMA of the device
//! `edu` shows what the IOMMU lets through.
#![allow(unsafe_code, reason = "memory is mapped by its address")]

mod devices;
mod dirty;
mod discards;
mod failures;
mod limits;
mod mapping;
mod resets;

use std::sync::Arc;

use passthru_iommufd::DmaMemory;
use passthru_lab::devices::EDU;
use passthru_vfio::container::{
    Access, AttachOptions, Backend, Candidate, Choice, Container, Dma, Error, Member, Options,
    Policy, open,
};
use passthru_vfio::device::Source;
use rustix::io::Errno;

use crate::edu::Edu;
use crate::taken::{Taken, take, take_two};

pub(crate) const PAGE: u64 = 0x1000;

/// Makes two tests of each function: one for each backend.
macro_rules! on_both_backends {
    ($($name:ident)*) => {
        mod iommufd {
            $(#[test] fn $name() { super::$name(passthru_vfio::container::Backend::Iommufd) })*
        }
        mod type1 {
            $(#[test] fn $name() { super::$name(passthru_vfio::container::Backend::Type1) })*
        }
    };
}
pub(crate) use on_both_backends;

/// Opens an empty container.
pub(crate) fn container(backend: Backend) -> Arc<dyn Container> {
    let _host = passthru_lab::host();
    choose(Options {
        policy: only(backend),
        ..Options::default()
    })
    .container
}

pub(crate) fn choose(options: Options) -> Choice {
    open(&options, &[]).unwrap()
}

pub(crate) fn only(backend: Backend) -> Policy {
    match backend {
        Backend::Iommufd => Policy::Iommufd,
        Backend::Type1 => Policy::Type1,
    }
}

pub(crate) fn at(address: &str) -> Candidate {
    Source::Pci(address.parse().unwrap()).into()
}

pub(crate) fn attach(container: &Arc<dyn Container>, address: &str) -> Member {
    container
        .attach(at(address), AttachOptions::default())
        .unwrap()
}

/// A container that `edu` is attached to.
pub(crate) struct Setup {
    pub(crate) container: Arc<dyn Container>,
    pub(crate) member: Member,
    _taken: Taken,
}

pub(crate) fn with_edu(backend: Backend) -> Setup {
    let taken = take(EDU);
    let container = container(backend);
    let member = attach(&container, EDU);
    Setup {
        container,
        member,
        _taken: taken,
    }
}

impl Setup {
    pub(crate) fn reaches(&self, from: Place, to: Place) -> bool {
        reaches(&self.member, from, to)
    }
}

/// Memory, and the IOVA to map it at.
pub(crate) type Place = (&'static DmaMemory, u64);

/// Returns whether `edu` copies a page from one place to another.
pub(crate) fn reaches(edu: &Member, from: Place, to: Place) -> bool {
    let edu = Edu::new(edu.device());
    let sent = pattern(from.1.to_be_bytes()[5]);
    let mut received = vec![0; PAGE as usize];
    from.0.write(0, &sent);
    to.0.write(0, &received);
    edu.load(from.1, PAGE);
    edu.store(to.1, PAGE);
    to.0.read(0, &mut received);
    sent == received
}

/// Allocates memory that is never freed, so that any mapping of it is sound.
pub(crate) fn memory(pages: u64) -> &'static DmaMemory {
    Box::leak(Box::new(DmaMemory::alloc((pages * PAGE) as usize).unwrap()))
}

/// Returns the contents of a page, which depend on `seed`.
fn pattern(seed: u8) -> Vec<u8> {
    (0..PAGE)
        .map(|byte| (byte as u8).wrapping_mul(7).wrapping_add(seed))
        .collect()
}

pub(crate) fn map(
    dma: &(impl Dma + ?Sized),
    memory: &'static DmaMemory,
    iova: u64,
    access: Access,
) -> Result<(), Error> {
    // SAFETY: the memory is never freed, and is accessed by atomic operations alone.
    unsafe { dma.map(memory.as_ptr(), memory.len() as u64, iova, access) }
}

pub(crate) fn errno(error: &Error) -> Option<Errno> {
    Errno::from_io_error(error.io()?)
}

#[track_caller]
pub(crate) fn assert_unsupported<T>(result: Result<T, Error>) {
    let Err(error) = result else {
        panic!("the call is supported")
    };
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}
