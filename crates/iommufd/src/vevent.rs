//! [`VeventQueue`]: events of a physical IOMMU that a guest handles.

use std::array;
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

/// A queue of events of one type from the physical IOMMU behind a virtual IOMMU (vEVENTQ).
///
/// The queue can be polled: it is readable while it has events. Its descriptor does not block. The
/// queue holds the virtual IOMMU. Drop destroys the queue and logs a failure;
/// [`VeventQueue::close`] returns the failure.
///
/// ```no_run
/// use passthru_iommufd::{Error, VeventData, VeventKind, VeventQueue, Viommu};
/// use std::sync::Arc;
///
/// /// Forwards pending events to the guest's event queue.
/// fn forward(viommu: &Arc<Viommu>, guest: impl Fn([u64; 4])) -> Result<(), Error> {
///     let queue = VeventQueue::alloc(viommu, VeventKind::ArmSmmuv3, 128)?;
///     // Once the queue is readable:
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
    // Dropped first: the kernel refuses to destroy a queue whose file is open.
    file: OwnedFd,
    object: Object,
    kind: VeventKind,
    viommu: Arc<Viommu>,
}

/// Type of events (`enum iommu_veventq_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VeventKind {
    /// Event records of an Arm SMMUv3 (`IOMMU_VEVENTQ_TYPE_ARM_SMMUV3`).
    ArmSmmuv3,
    /// Errors of virtual command queues of an NVIDIA Tegra241
    /// (`IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV`).
    Tegra241Cmdqv,
    /// A type that this crate does not decode.
    Raw {
        /// Number of the type (`enum iommu_veventq_type`).
        veventq_type: u32,
        /// Length of the kernel's struct for an event, in bytes; at most 4096.
        length: usize,
    },
}

/// An event, or a report that events were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vevent {
    /// Sequence number in the queue: starts at 0 and wraps from 2³¹ - 1 to 0.
    pub sequence: u32,
    /// Contents of the event. `None` reports lost events: the queue was full, and `sequence` is
    /// that of the last event lost.
    pub data: Option<VeventData>,
}

/// Contents of an event, by type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VeventData {
    /// Event record, four doublewords in the byte order of this machine.
    ///
    /// Its stream id is the guest's ([`Vdevice::virt_id`](crate::Vdevice::virt_id)).
    ArmSmmuv3([u64; 4]),
    /// Bitmap of the virtual command queues with errors, in the byte order of this machine.
    Tegra241Cmdqv([u64; 2]),
    /// Struct of a type that this crate does not decode.
    Raw(Vec<u8>),
}

/// Size of the header before each event, in bytes.
const HEADER_SIZE: usize = size_of::<iommufd_vevent_header>();

/// Largest accepted struct of an event, in bytes; those of Linux 7.3 have at most 32.
const LONGEST_EVENT: usize = 4096;

impl VeventQueue {
    /// Allocates a queue for up to `depth` events, 1 to 2¹⁹ (`IOMMU_VEVENTQ_ALLOC`).
    ///
    /// A virtual IOMMU has at most one queue for each type.
    ///
    /// # Errors
    /// [`Error::VeventQueueAlloc`]:
    /// - If the virtual IOMMU has a queue of this type, `EEXIST`.
    /// - If `depth` is out of range, `EINVAL`.
    /// - If the struct of [`VeventKind::Raw`] is longer than 4096 bytes, `E2BIG`.
    /// - If the IOMMU has no events of this type, `EOPNOTSUPP`.
    pub fn alloc(viommu: &Arc<Viommu>, kind: VeventKind, depth: u32) -> Result<Self, Error> {
        let (veventq_type, length) = kind.number_and_length();
        let fd = viommu.object().fd();
        let viommu_id = viommu.id();
        let answer = if length > LONGEST_EVENT {
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

    /// Returns the virtual IOMMU that the queue belongs to.
    pub fn viommu(&self) -> &Arc<Viommu> {
        &self.viommu
    }

    /// Takes pending events out of the queue, in order. Returns an empty list if there are none.
    ///
    /// # Errors
    /// - [`Error::Read`]: if the kernel cannot copy the events.
    pub fn read(&self) -> Result<Vec<Vevent>, Error> {
        let (_, event_length) = self.kind.number_and_length();
        let mut buffer = vec![0; 64 * (HEADER_SIZE + event_length)];
        let length = rustix::io::read(&self.file, &mut buffer).map_err(|e| Error::Read {
            queue: self.id(),
            source: e.into(),
        })?;
        buffer.truncate(length);
        Ok(self.kind.decode_all(&buffer))
    }

    /// Destroys the queue (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// - [`Error::Destroy`]: if a duplicate of its descriptor is still open, `EBUSY`. The queue
    ///   then lasts until the context ends.
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
    /// Returns the number of events lost since the event with the sequence number `previous`. Pass
    /// `None` for the first event of a queue.
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
        while let Some((header, rest)) = bytes.split_at_checked(HEADER_SIZE) {
            bytes = rest;
            let mut event = Vevent {
                sequence: u32_at(header, 4),
                data: None,
            };
            let is_lost = u32_at(header, 0) & LOST_EVENTS != 0;
            if !is_lost {
                let (_, length) = self.number_and_length();
                let (data, rest) = bytes.split_at(length.min(bytes.len()));
                event.data = Some(self.decode(data));
                bytes = rest;
            }
            events.push(event);
        }

        events
    }

    fn decode(self, data: &[u8]) -> VeventData {
        match self {
            Self::ArmSmmuv3 => VeventData::ArmSmmuv3(decode_words(data)),
            Self::Tegra241Cmdqv => VeventData::Tegra241Cmdqv(decode_words(data)),
            Self::Raw { .. } => VeventData::Raw(data.into()),
        }
    }
}

/// Returns the first `N` little-endian doublewords of `data`.
fn decode_words<const N: usize>(data: &[u8]) -> [u64; N] {
    array::from_fn(|index| u64::from_le_bytes(array_at(data, index * 8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u32, sequence: u32) -> Vec<u8> {
        [flags.to_ne_bytes(), sequence.to_ne_bytes()].concat()
    }

    fn event(sequence: u32) -> Vevent {
        Vevent {
            sequence,
            data: Some(VeventData::Raw(vec![])),
        }
    }

    #[test]
    fn lost_events_are_decoded_without_data() {
        let record: Vec<u8> = (0..32).collect();
        let bytes = [header(0, 3), record, header(1, 5)].concat();
        let words = [0, 8, 16, 24].map(|at| u64::from_le_bytes(array::from_fn(|i| at + i as u8)));
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
    fn unknown_type_is_kept_as_data() {
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
        fn decoding_consumes_all_whole_events(bytes: Vec<u8>, length in 0_usize..40) {
            let events = VeventKind::Raw { veventq_type: 9, length }.decode_all(&bytes);
            let data = events.iter().map(|event| match &event.data {
                Some(VeventData::Raw(data)) => data.len(),
                _ => 0,
            });
            let left = bytes.len() - events.len() * HEADER_SIZE - data.sum::<usize>();
            proptest::prop_assert!(left < HEADER_SIZE);
            VeventKind::ArmSmmuv3.decode_all(&bytes);
        }
    }

    #[test]
    fn gaps_in_the_sequence_count_as_lost_events() {
        assert_eq!(event(0).lost_since(None), 0);
        assert_eq!(event(2).lost_since(None), 2);
        assert_eq!(event(4).lost_since(Some(3)), 0);
        assert_eq!(event(7).lost_since(Some(3)), 3);

        let lost = Vevent {
            sequence: 4,
            data: None,
        };
        assert_eq!(lost.lost_since(Some(3)), 1);
        assert_eq!(event(1).lost_since(Some(i32::MAX as u32)), 1);
    }
}
