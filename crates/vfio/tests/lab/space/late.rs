//! A device that comes to a container which an address space has filled: it can narrow the IOVAs
//! that can be used.

use std::sync::Arc;

use passthru_lab::devices::EDU;
use passthru_vfio::Failed;
use passthru_vfio::address_space::{AddressSpace, Error, Memory, Pages, Section, Span};
use passthru_vfio::container::{AttachOptions, Container, Dma, IommufdContainer};

use super::PAGE;
use super::reader::{Reader, poke};
use crate::taken::{iommufd, take};

/// Where interrupts are written to: no device's memory can be there.
const RESERVED: u64 = 0xfee0_0000;

#[test]
fn reserved_iovas_refuse_device_or_section() {
    let taken = take(EDU);
    let container = Arc::new(IommufdContainer::new(&iommufd(), None).unwrap());
    let space = AddressSpace::default();
    space.join(Arc::clone(&container) as Arc<dyn Dma>).unwrap();
    let memory = Arc::new(Memory::anonymous(4 * PAGE, Pages::Base).unwrap());
    let at = |address: u64| {
        Section::ram(Span::new(address, 2 * PAGE).unwrap(), &memory, 2 * PAGE).unwrap()
    };
    let add = |section: Section| {
        let mut change = space.begin();
        change.add(section);
        change.commit()
    };
    // Without a device, the IOMMU has no reserved addresses yet.
    add(at(RESERVED)).unwrap();
    add(at(0x10_0000)).unwrap();
    let Err(Failed { state, error }) =
        container.attach(taken.source().into(), AttachOptions::default())
    else {
        panic!("it is attached")
    };
    assert!(error.io().is_some(), "{error}");
    let mappings = || {
        space
            .mappings(&(Arc::clone(&container) as Arc<dyn Dma>))
            .unwrap()
    };
    assert_eq!(mappings(), [at(0x10_0000).span(), at(RESERVED).span()]);

    let mut change = space.begin();
    change.del(at(RESERVED).span());
    change.commit().unwrap();
    let member = container.attach(state, AttachOptions::default()).unwrap();
    let error = add(at(RESERVED)).unwrap_err();
    assert!(
        matches!(&error, Error::UnusableIova { span, .. } if *span == at(RESERVED).span()),
        "{error}"
    );
    assert!(
        error.to_string().contains("-0xfedfffff, 0xfef00000-"),
        "{error}"
    );
    assert_eq!(mappings(), [at(0x10_0000).span()]);
    poke(&memory, 2 * PAGE, 0x1a7e);
    assert_eq!(Reader::new(member.device(), &space).read(0x10_0000), 0x1a7e);
}
