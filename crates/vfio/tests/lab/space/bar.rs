//! A BAR that another device reaches through a dma-buf, and that is withdrawn while its device is
//! reset or loses memory decode.

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

/// Index of the disk's BAR with its memory buffer, and its guest physical address.
const BUFFER: u32 = 2;
const BAR: u64 = 0x20_0000;
/// IOVAs of the BAR behind the virtual IOMMU, and of a page with a pattern.
const IOVA: u64 = 0x30_0000;
const PATTERN: u64 = 0x10_0000;

/// `edu`, and a disk whose memory buffer `edu` reaches.
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

    /// Makes a section of the BAR, as a VMM does.
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

    /// Maps the BAR in the virtual IOMMU, if there is one.
    fn map(&self) {
        let translation = Translation {
            iova: Span::new(IOVA, PAGE).unwrap(),
            target: BAR,
            access: Access::ReadWrite,
        };
        if let Some(viommu) = &self.viommu {
            assert!(viommu.map(translation).unwrap().is_empty());
        }
    }

    /// Returns whether a write of `edu` reaches the BAR.
    fn reaches(&self, pattern: u64) -> bool {
        poke(&self.pattern, 0, pattern);
        let reader = Reader::new(self.edu.device(), self.space());
        reader.copy(PATTERN, if self.viommu.is_some() { IOVA } else { BAR });
        reader.close(self.space());
        self.disk.region(BUFFER).unwrap().read::<u64>(0).unwrap() == pattern
    }
}

/// Withdraws the BAR, lets the device lose and regain it, restores it, and checks that `edu`
/// reaches the BAR again.
fn assert_survives(behind: bool, lose: impl FnOnce(&Device), regain: impl FnOnce(&Device)) {
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
    assert_survives(false, |disk| disk.reset().unwrap(), |_| ());
}

#[test]
fn restored_bar_is_reached_after_decode_off() {
    assert_survives(false, |disk| decode(disk, false), |disk| decode(disk, true));
}

#[test]
fn restored_bar_is_reached_behind_viommu_after_reset() {
    assert_survives(true, |disk| disk.reset().unwrap(), |_| ());
}

#[test]
fn restored_bar_is_reached_behind_viommu_after_decode_off() {
    assert_survives(true, |disk| decode(disk, false), |disk| decode(disk, true));
}

fn is_missing(note: &Note) -> bool {
    matches!(note.kind, NoteKind::NotMapped(_))
}

#[test]
fn bar_restored_without_decode_is_noted_and_mapped_later() {
    for behind in [false, true] {
        let peers = Peers::new(behind);
        peers.system.withdraw(Peers::place()).unwrap();
        decode(&peers.disk, false);
        let notes = peers.system.restore(Peers::place()).unwrap();
        let is_noted = notes.iter().any(|note| match &note.kind {
            NoteKind::BehindViommu(note) => behind && is_missing(note),
            _ => !behind && is_missing(note),
        });
        assert!(is_noted, "{notes:?}");
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
