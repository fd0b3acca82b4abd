//! A BAR that another device reaches by its dma-buf, which is withdrawn while its device loses it:
//! directly, and behind a virtual IOMMU.

use std::sync::Arc;

use passthru_lab::devices::{CMB_NVME, EDU};
use passthru_vfio::address_space::{
    AddressSpace, Backing, Memory, Note, NoteKind, Pages, Section, SectionKind, Span, Translation,
    VirtualIommu,
};
use passthru_vfio::container::{Access, AttachOptions, Container, IommufdContainer, Member};
use passthru_vfio::device::Device;

use super::reader::{Reader, poke};
use super::{PAGE, add};
use crate::edu::{decode, enable};
use crate::taken::{Taken, iommufd, take_two};

/// The disk's BAR with its memory buffer, and where the guest has it.
const BUFFER: u32 = 2;
const BAR: u64 = 0x20_0000;
/// Where devices have it behind the virtual IOMMU, and a pattern.
const IOVA: u64 = 0x30_0000;
const PATTERN: u64 = 0x10_0000;

/// `edu`, and a disk with a memory buffer that it is to reach.
struct Peers {
    system: Arc<AddressSpace>,
    viommu: Option<VirtualIommu>,
    edu: Member,
    disk: Device,
    pattern: Arc<Memory>,
    _taken: [Taken; 2],
}

impl Peers {
    fn new(behind: bool) -> Self {
        let taken = take_two(EDU, CMB_NVME);
        let context = iommufd();
        let container = IommufdContainer::new(&context, None).unwrap();
        let edu = container
            .attach(taken[0].source().into(), AttachOptions::default())
            .unwrap();
        let disk = taken[1].bind(&context).device().clone();
        enable(&disk);
        let system = Arc::new(AddressSpace::default());
        let viommu = behind.then(|| VirtualIommu::new(&system));
        let pattern = Arc::new(Memory::anonymous(PAGE, Pages::Base).unwrap());
        let new = Self {
            system,
            viommu,
            edu,
            disk,
            pattern,
            _taken: taken,
        };
        new.space().join(Arc::new(container)).unwrap();
        add(new.space(), PATTERN, &new.pattern);
        let mut change = new.system.begin();
        change.add(new.bar());
        assert!(change.commit().unwrap().is_empty());
        new.map();
        new
    }

    /// The BAR, as a VMM makes a section of it.
    fn bar(&self) -> Section {
        let buf = self.disk.region(BUFFER).unwrap().dma_buf(0..PAGE).unwrap();
        let memory = Arc::new(Memory::from_file(buf, 0, PAGE, Box::new(self.disk.clone())));
        let kind = SectionKind::Bar(Backing { memory, offset: 0 });
        Section::new(Self::place(), kind, Access::ReadWrite).unwrap()
    }

    fn place() -> Span {
        Span::new(BAR, PAGE).unwrap()
    }

    fn space(&self) -> &AddressSpace {
        self.viommu
            .as_ref()
            .map_or(&*self.system, VirtualIommu::space)
    }

    /// The guest maps the BAR, where it has a virtual IOMMU.
    fn map(&self) {
        let iova = Span::new(IOVA, PAGE).unwrap();
        let translation = Translation {
            iova,
            target: BAR,
            access: Access::ReadWrite,
        };
        self.viommu
            .iter()
            .for_each(|viommu| assert!(viommu.map(translation).unwrap().is_empty()));
    }

    /// Whether what `edu` writes to the BAR comes there.
    fn reaches(&self, pattern: u64) -> bool {
        poke(&self.pattern, 0, pattern);
        let reader = Reader::new(self.edu.device(), self.space());
        reader.copy(PATTERN, if self.viommu.is_some() { IOVA } else { BAR });
        reader.close(self.space());
        self.disk.region(BUFFER).unwrap().read::<u64>(0).unwrap() == pattern
    }
}

/// While it is withdrawn, the device loses it and gets it back; then it is mapped as it is.
fn survives(behind: bool, lose: impl FnOnce(&Device), regain: impl FnOnce(&Device)) {
    let peers = Peers::new(behind);
    assert!(peers.reaches(0x11));
    peers.system.withdraw(Peers::place()).unwrap();
    peers.map();
    assert!(!peers.reaches(0x22));
    lose(&peers.disk);
    peers.map();
    regain(&peers.disk);
    enable(&peers.disk);
    assert!(peers.system.restore(Peers::place()).unwrap().is_empty());
    assert!(peers.reaches(0x33));
}

#[test]
fn restored_bar_is_reached_after_reset() {
    survives(false, |disk| disk.reset().unwrap(), |_| ());
}

#[test]
fn restored_bar_is_reached_after_decode_off() {
    survives(false, |disk| decode(disk, false), |disk| decode(disk, true));
}

#[test]
fn restored_bar_is_reached_behind_viommu_after_reset() {
    survives(true, |disk| disk.reset().unwrap(), |_| ());
}

#[test]
fn restored_bar_is_reached_behind_viommu_after_decode_off() {
    survives(true, |disk| decode(disk, false), |disk| decode(disk, true));
}

#[test]
fn bar_restored_without_decode_is_noted_and_mapped_later() {
    for behind in [false, true] {
        let peers = Peers::new(behind);
        peers.system.withdraw(Peers::place()).unwrap();
        decode(&peers.disk, false);
        let notes = peers.system.restore(Peers::place()).unwrap();
        let is_missing = |note: &Note| matches!(note.kind, NoteKind::NotMapped(_));
        let found = notes.iter().any(|note| match &note.kind {
            NoteKind::BehindViommu(note) => behind && is_missing(note),
            _ => !behind && is_missing(note),
        });
        assert!(found, "{notes:?}");
        decode(&peers.disk, true);
        enable(&peers.disk);
        assert!(peers.system.restore(Peers::place()).unwrap().is_empty());
        assert!(peers.reaches(0x44));
    }
}

#[test]
fn bar_not_withdrawn_before_reset_is_lost_until_restored() {
    for behind in [false, true] {
        let peers = Peers::new(behind);
        peers.disk.reset().unwrap();
        enable(&peers.disk);
        assert!(!peers.reaches(0x55));
        peers.system.withdraw(Peers::place()).unwrap();
        peers.system.restore(Peers::place()).unwrap();
        assert!(peers.reaches(0x66));
    }
}
