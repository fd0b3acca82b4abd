//! Address spaces on the kernel, on either backend.

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

/// A container with `edu` in it.
struct Guest {
    container: Arc<dyn Dma>,
    member: Member,
    _taken: Taken,
}

impl Guest {
    fn iommufd() -> Self {
        Self::over(take(EDU), IommufdContainer::new(&iommufd(), None).unwrap())
    }

    fn type1() -> Self {
        Self::over(take(EDU), Type1Container::open(None).unwrap())
    }

    fn over(taken: Taken, container: impl Container + 'static) -> Self {
        let member = container.attach(taken.source().into(), AttachOptions::default());
        Self {
            container: Arc::new(container),
            member: member.unwrap(),
            _taken: taken,
        }
    }
}

fn add(space: &AddressSpace, at: u64, memory: &Arc<Memory>) {
    let mut change = space.begin();
    change.add(Section::ram(Span::new(at, memory.len()).unwrap(), memory, 0).unwrap());
    change.commit().unwrap();
}
