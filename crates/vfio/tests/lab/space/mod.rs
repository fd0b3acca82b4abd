//! Address spaces over the kernel's containers, on both backends.

mod bar;
mod dirty;
mod failures;
mod huge;
mod late;
mod random;
mod reader;
mod sharing;
mod threads;

use std::sync::Arc;

use passthru_lab::devices::EDU;
use passthru_vfio::address_space::{AddressSpace, Memory, Section, Span};
use passthru_vfio::container::{
    AttachOptions, Container, Dma, IommufdContainer, Member, Type1Container,
};

use crate::taken::{Taken, iommufd, take};

const PAGE: u64 = 0x1000;

/// A container that `edu` is attached to.
struct Guest {
    container: Arc<dyn Dma>,
    member: Member,
    _taken: Taken,
}

impl Guest {
    fn iommufd() -> Self {
        Self::new(take(EDU), IommufdContainer::new(&iommufd(), None).unwrap())
    }

    fn type1() -> Self {
        Self::new(take(EDU), Type1Container::open(None).unwrap())
    }

    fn new(taken: Taken, container: impl Container + 'static) -> Self {
        let member = container.attach(taken.source().into(), AttachOptions::default());
        Self {
            container: Arc::new(container),
            member: member.unwrap(),
            _taken: taken,
        }
    }
}

/// Adds a section of a whole memory.
fn add(space: &AddressSpace, at: u64, memory: &Arc<Memory>) {
    let mut change = space.begin();
    change.add(Section::ram(Span::new(at, memory.len()).unwrap(), memory, 0).unwrap());
    change.commit().unwrap();
}
