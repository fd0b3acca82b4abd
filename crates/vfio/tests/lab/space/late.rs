//! A device that is attached after memory is mapped, and narrows the usable IOVAs.

use std::sync::Arc;

use passthru_lab::devices::EDU;
use passthru_vfio::Failed;
use passthru_vfio::address_space::{AddressSpace, Error, Memory, Note, Pages, Section, Span};
use passthru_vfio::container::{AttachOptions, Container, Dma, IommufdContainer};

use super::PAGE;
use super::reader::{Reader, poke};
use crate::taken::{iommufd, take};

/// Address of interrupts on x86, which no device can use for memory.
const RESERVED: u64 = 0xfee0_0000;

/// Adds the third and fourth page of a memory.
fn add(space: &AddressSpace, span: Span, memory: &Arc<Memory>) -> Result<Vec<Note>, Error> {
    let mut change = space.begin();
    change.add(Section::ram(span, memory, 2 * PAGE)?);
    change.commit()
}

#[test]
fn reserved_iovas_refuse_device_or_section() {
    let taken = take(EDU);
    let container = Arc::new(IommufdContainer::new(&iommufd(), None).unwrap());
    let space = AddressSpace::default();
    space.join(Arc::clone(&container) as Arc<dyn Dma>).unwrap();
    let memory = Arc::new(Memory::anonymous(4 * PAGE, Pages::Base).unwrap());
    let reserved = Span::new(RESERVED, 2 * PAGE).unwrap();
    let low = Span::new(0x10_0000, 2 * PAGE).unwrap();
    // Without a device, the IOMMU has no reserved addresses yet.
    add(&space, reserved, &memory).unwrap();
    add(&space, low, &memory).unwrap();
    let Err(Failed { state, error }) =
        container.attach(taken.source().into(), AttachOptions::default())
    else {
        panic!("the device is attached")
    };

    assert!(error.io().is_some(), "{error}");

    let dma = Arc::clone(&container) as Arc<dyn Dma>;
    assert_eq!(space.mappings(&dma).unwrap(), [low, reserved]);

    let mut change = space.begin();
    change.del(reserved);
    change.commit().unwrap();
    let member = container.attach(state, AttachOptions::default()).unwrap();
    let error = add(&space, reserved, &memory).unwrap_err();
    assert!(
        matches!(&error, Error::UnusableIova { span, .. } if *span == reserved),
        "{error}"
    );
    assert!(
        error.to_string().contains("-0xfedfffff, 0xfef00000-"),
        "{error}"
    );
    assert_eq!(space.mappings(&dma).unwrap(), [low]);

    poke(&memory, 2 * PAGE, 0x1a7e);
    assert_eq!(Reader::new(member.device(), &space).read(0x10_0000), 0x1a7e);
}
