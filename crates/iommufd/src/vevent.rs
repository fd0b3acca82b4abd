//! [`VeventQueue`]: events of a physical IOMMU that are a guest's to handle.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use iommufd_bindings::iommufd::{
    iommu_vevent_arm_smmuv3, iommu_vevent_tegra241_cmdqv,
    iommu_veventq_flag_IOMMU_VEVENTQ_FLAG_LOST_EVENTS as LOST_EVENTS,
    iommu_veventq_type_IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 as ARM_SMMUV3,
    iommu_veventq_type_IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV as TEGRA241_CMDQV, iommufd_vevent_header,
};
use rustix::io::Errno;

use crate::bytes::{array_at, u32_at};
use crate::object::Object;
use crate::viommu::Viommu;
use crate::{Error, sys};

/// Where events of one kind arrive from the physical IOMMU behind a virtual one (vEVENTQ). It can
/// be polled: readable once there are events. It keeps the virtual IOMMU, and is destroyed on drop;
/// a failure of that is logged, and [`VeventQueue::close`] gives it.
///
/// ```no_run
/// use passthru_iommufd::{Error, VeventData, VeventKind, VeventQueue, Viommu};
/// use std::sync::Arc;
///
/// /// Hands what has arrived to the guest's event queue.
/// fn forward(viommu: &Arc<Viommu>, guest: impl Fn([u64; 4])) -> Result<(), Error> {
///     let queue = VeventQueue::alloc(viommu, VeventKind::ArmSmmuv3, 128)?;
///     // Once it is readable:
///     for event in queue.read()? {
///         if let Some(VeventData::ArmSmmuv3(record)) = event.data {
///             guest(record);
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct VeventQueue {
    // The kernel's object is in use for as long as its file is open: closed first.
    file: OwnedFd,
    object: Object,
    kind: VeventKind,
    viommu: Arc<Viommu>,
}

/// A kind of events (`enum iommu_veventq_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VeventKind {
    /// Event records of an Arm SMMUv3.
    ArmSmmuv3,
    /// Errors of a Tegra241's virtual command queues.
    Tegra241Cmdqv,
    /// A kind that this crate does not know.
    Raw {
        /// The kind's number.
        veventq_type: u32,
        /// How long the kind's struct is, in bytes, up to 4096.
        length: usize,
    },
}

/// An event, or word of lost ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vevent {
    /// Its number in the queue, from 0 on; after 2³¹ - 1 comes 0 again.
    pub sequence: u32,
    /// What happened; `None` for the last one of events that were lost since the queue was full.
    pub data: Option<VeventData>,
}

/// What happened, by the kind of events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VeventData {
    /// An event record, as numbers of this machine; its stream id is the guest's
    /// ([`Vdevice::virt_id`](crate::Vdevice::virt_id)).
    ArmSmmuv3([u64; 4]),
    /// Which of the virtual command queues have errors, a bit each, as numbers of this machine.
    Tegra241Cmdqv([u64; 2]),
    /// The struct of a kind that this crate does not know.
    Raw(Vec<u8>),
}

const HEADER: usize = size_of::<iommufd_vevent_header>();

/// The longest struct of a kind: those of Linux 7.3 have 32 bytes at most.
const LONGEST: usize = 4096;

impl VeventQueue {
    /// Allocates a queue for at most `depth` events, up to 2¹⁹ (`IOMMU_VEVENTQ_ALLOC`). A virtual
    /// IOMMU has one of each kind.
    ///
    /// # Errors
    /// [`Error::VeventQueueAlloc`], also where the kind's struct is too long.
    pub fn alloc(viommu: &Arc<Viommu>, kind: VeventKind, depth: u32) -> Result<Self, Error> {
        let (veventq_type, length) = kind.number_and_length();
        let (fd, viommu_id) = (viommu.object().fd(), viommu.id());
        let answer = if length > LONGEST {
            Err(Errno::TOOBIG)
        } else {
            sys::viommu::veventq_alloc(fd, viommu_id, veventq_type, depth)
        };
        let (id, file) = answer.map_err(|e| Error::VeventQueueAlloc {
            viommu: viommu_id,
            veventq_type,
            depth,
            source: e.into(),
        })?;
        let object = Object::new(Arc::clone(viommu.context()), id);
        Ok(Self {
            file,
            object,
            kind,
            viommu: Arc::clone(viommu),
        })
    }

    /// Returns the kernel's id, which is unique in the context.
    pub fn id(&self) -> u32 {
        self.object.id()
    }

    /// Returns the virtual IOMMU that it belongs to.
    pub fn viommu(&self) -> &Arc<Viommu> {
        &self.viommu
    }

    /// Takes events that have arrived, in order; none where there are none. It does not wait.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read(&self) -> Result<Vec<Vevent>, Error> {
        let mut buffer = vec![0; 64 * (HEADER + self.kind.number_and_length().1)];
        let length = rustix::io::read(&self.file, &mut buffer).map_err(|e| Error::Read {
            queue: self.id(),
            source: e.into(),
        })?;
        buffer.truncate(length);
        Ok(self.kind.decode_all(&buffer))
    }

    /// Destroys it (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// [`Error::Destroy`] where its file is open in a copy still: it then stays in the kernel until
    /// the context ends.
    pub fn close(self) -> Result<(), Error> {
        drop(self.file);
        self.object.close()
    }
}

impl AsFd for VeventQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Vevent {
    /// Returns how many events were lost between the one before, by its sequence, and this; `None`
    /// for the queue's first.
    pub fn lost_since(&self, previous: Option<u32>) -> u32 {
        let next = previous.map_or(0, |sequence| sequence.wrapping_add(1));
        let gap = self.sequence.wrapping_sub(next) & i32::MAX as u32;
        if self.data.is_none() { gap + 1 } else { gap }
    }
}

impl VeventKind {
    fn number_and_length(self) -> (u32, usize) {
        match self {
            Self::ArmSmmuv3 => (ARM_SMMUV3, size_of::<iommu_vevent_arm_smmuv3>()),
            Self::Tegra241Cmdqv => (TEGRA241_CMDQV, size_of::<iommu_vevent_tegra241_cmdqv>()),
            Self::Raw {
                veventq_type,
                length,
            } => (veventq_type, length),
        }
    }

    fn decode_all(self, mut bytes: &[u8]) -> Vec<Vevent> {
        let mut events = Vec::new();
        while let Some((header, rest)) = bytes.split_at_checked(HEADER) {
            let lost = u32_at(header, 0) & LOST_EVENTS != 0;
            let length = if lost {
                0
            } else {
                self.number_and_length().1.min(rest.len())
            };
            let (data, rest) = rest.split_at(length);
            let data = (!lost).then(|| self.decode(data));
            events.push(Vevent {
                sequence: u32_at(header, 4),
                data,
            });
            bytes = rest;
        }
        events
    }

    fn decode(self, data: &[u8]) -> VeventData {
        let word = |index: usize| u64::from_le_bytes(array_at(data, index * 8));
        match self {
            Self::ArmSmmuv3 => VeventData::ArmSmmuv3([0, 1, 2, 3].map(word)),
            Self::Tegra241Cmdqv => VeventData::Tegra241Cmdqv([0, 1].map(word)),
            Self::Raw { .. } => VeventData::Raw(data.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u32, sequence: u32) -> Vec<u8> {
        [flags.to_ne_bytes(), sequence.to_ne_bytes()].concat()
    }

    #[test]
    fn events_and_word_of_lost_ones_are_told_apart() {
        let record: Vec<u8> = (0..32).collect();
        let bytes = [header(0, 3), record, header(1, 5)].concat();
        let words =
            [0, 8, 16, 24].map(|at| u64::from_le_bytes(std::array::from_fn(|i| at + i as u8)));
        let data = Some(VeventData::ArmSmmuv3(words));
        let lost = Vevent {
            sequence: 5,
            data: None,
        };
        assert_eq!(
            VeventKind::ArmSmmuv3.decode_all(&bytes),
            [Vevent { sequence: 3, data }, lost]
        );
    }

    #[test]
    fn a_kind_of_the_future_is_data() {
        let kind = VeventKind::Raw {
            veventq_type: 9,
            length: 3,
        };
        let bytes = [header(0, 0), vec![1, 2, 3], header(0, 1), vec![4, 5, 6]].concat();
        let data = kind
            .decode_all(&bytes)
            .into_iter()
            .map(|event| event.data.unwrap())
            .collect::<Vec<_>>();
        assert_eq!(
            data,
            [
                VeventData::Raw(vec![1, 2, 3]),
                VeventData::Raw(vec![4, 5, 6])
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_read_is_split_to_its_last_byte(bytes: Vec<u8>, length in 0_usize..40) {
            let events = VeventKind::Raw { veventq_type: 9, length }.decode_all(&bytes);
            let data = events.iter().map(|event| match &event.data {
                Some(VeventData::Raw(data)) => data.len(),
                _ => 0,
            });
            let left = bytes.len() - events.len() * HEADER - data.sum::<usize>();
            proptest::prop_assert!(left < HEADER);
            VeventKind::ArmSmmuv3.decode_all(&bytes);
        }
    }

    #[test]
    fn lost_events_are_counted() {
        let event = |sequence| Vevent {
            sequence,
            data: Some(VeventData::Raw(vec![])),
        };
        assert_eq!(
            (event(0).lost_since(None), event(2).lost_since(None)),
            (0, 2)
        );
        assert_eq!(
            (event(4).lost_since(Some(3)), event(7).lost_since(Some(3))),
            (0, 3)
        );
        assert_eq!(
            Vevent {
                sequence: 4,
                data: None
            }
            .lost_since(Some(3)),
            1
        );
        assert_eq!(event(1).lost_since(Some(i32::MAX as u32)), 1);
    }
}
