//! [`Irq`]: the interrupts of a device, one kind at a time.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use vfio_bindings::bindings::vfio::*;

use crate::device::{Device, Error};
use crate::sys::device::{IrqData, Irqs, irq_info, set_irqs};

/// Interrupts of one kind, by its index. It keeps the device open. What is set stays set until it
/// is disabled or the device is closed; the kernel keeps references of its own to the eventfds,
/// which belong to the caller.
///
/// ```no_run
/// # use passthru_vfio::device::{Device, Event, Irq};
/// # use std::os::fd::AsFd;
/// # fn with(device: &Device) -> Result<(), Box<dyn std::error::Error>> {
/// let msi = device.irq(Irq::MSI)?;
/// let event = Event::new()?;
/// msi.set_triggers(0, &[Some(event.as_fd())])?;
/// assert_eq!(event.wait(std::time::Duration::from_secs(1))?, 1);
/// msi.disable()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Irq {
    device: Device,
    index: u32,
    flags: u32,
    count: u32,
}

impl Irq {
    /// `VFIO_PCI_INTX_IRQ_INDEX`: the one line, which the kernel masks each time that it is raised.
    pub const INTX: u32 = VFIO_PCI_INTX_IRQ_INDEX;
    /// `VFIO_PCI_MSI_IRQ_INDEX`.
    pub const MSI: u32 = VFIO_PCI_MSI_IRQ_INDEX;
    /// `VFIO_PCI_MSIX_IRQ_INDEX`.
    pub const MSIX: u32 = VFIO_PCI_MSIX_IRQ_INDEX;
    /// `VFIO_PCI_ERR_IRQ_INDEX`: the device reported an error that cannot be corrected. Before
    /// Linux 7.3 only PCI Express devices have it.
    pub const ERR: u32 = VFIO_PCI_ERR_IRQ_INDEX;
    /// `VFIO_PCI_REQ_IRQ_INDEX`: the host asks for the device back.
    pub const REQ: u32 = VFIO_PCI_REQ_IRQ_INDEX;

    /// Returns the index of its kind.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns how many there are; 0 where the device has none of this kind.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether eventfds can be signalled by it (`VFIO_IRQ_INFO_EVENTFD`).
    pub fn eventfd(&self) -> bool {
        self.flags & VFIO_IRQ_INFO_EVENTFD != 0
    }

    /// Whether it can be masked (`VFIO_IRQ_INFO_MASKABLE`).
    pub fn maskable(&self) -> bool {
        self.flags & VFIO_IRQ_INFO_MASKABLE != 0
    }

    /// Whether it is masked each time that it is raised (`VFIO_IRQ_INFO_AUTOMASKED`).
    pub fn automasked(&self) -> bool {
        self.flags & VFIO_IRQ_INFO_AUTOMASKED != 0
    }

    /// Whether interrupts can be added while others are enabled; else all that will be used are set
    /// at once (`VFIO_IRQ_INFO_NORESIZE` is not set).
    pub fn resizable(&self) -> bool {
        self.flags & VFIO_IRQ_INFO_NORESIZE == 0
    }

    /// Lets interrupts signal these eventfds, from `start` on; `None` leaves one out, or takes its
    /// eventfd away (`VFIO_IRQ_SET_ACTION_TRIGGER`). PCI devices have one kind of INTx, MSI and
    /// MSI-X enabled at a time.
    ///
    /// # Errors
    /// [`Error::Irq`]; [`Error::FewIrqs`] where the machine has fewer left. Where this was to
    /// enable the kind, it is then disabled.
    pub fn set_triggers(
        &self,
        start: u32,
        eventfds: &[Option<BorrowedFd<'_>>],
    ) -> Result<(), Error> {
        // With a count of 0, the kernel takes it for something else.
        match eventfds {
            [] => Ok(()),
            _ => self.set(
                start,
                eventfds.len(),
                Action::Trigger,
                &IrqData::Eventfds(eventfds),
            ),
        }
    }

    /// Disables all of this kind.
    ///
    /// # Errors
    /// [`Error::Irq`], also where none is enabled.
    pub fn disable(&self) -> Result<(), Error> {
        self.set(0, 0, Action::Trigger, &IrqData::None)
    }

    /// Signals eventfds of `count` interrupts from `start` on, as if the device had raised them
    /// (`VFIO_IRQ_SET_DATA_NONE`).
    ///
    /// # Errors
    /// [`Error::Irq`], also where the kind is not enabled.
    pub fn raise(&self, start: u32, count: u32) -> Result<(), Error> {
        match count {
            0 => Ok(()),
            _ => self.set(start, count as usize, Action::Trigger, &IrqData::None),
        }
    }

    /// As [`Irq::raise`], for those that are true (`VFIO_IRQ_SET_DATA_BOOL`).
    ///
    /// # Errors
    /// [`Error::Irq`], also where the kind is not enabled.
    pub fn raise_some(&self, start: u32, which: &[bool]) -> Result<(), Error> {
        self.set(start, which.len(), Action::Trigger, &IrqData::Bools(which))
    }

    /// Masks the first (`VFIO_IRQ_SET_ACTION_MASK`): INTx alone, with today's kernels.
    ///
    /// # Errors
    /// [`Error::Irq`].
    pub fn mask(&self) -> Result<(), Error> {
        self.set(0, 1, Action::Mask, &IrqData::None)
    }

    /// Unmasks the first (`VFIO_IRQ_SET_ACTION_UNMASK`), which is signalled at once where it is
    /// pending.
    ///
    /// # Errors
    /// [`Error::Irq`].
    pub fn unmask(&self) -> Result<(), Error> {
        self.set(0, 1, Action::Unmask, &IrqData::None)
    }

    /// Unmasks the first each time that this eventfd is signalled, as KVM's resampling does; `None`
    /// ends that.
    ///
    /// # Errors
    /// [`Error::Irq`].
    pub fn set_resample(&self, eventfd: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        self.set(0, 1, Action::Unmask, &IrqData::Eventfds(&[eventfd]))
    }

    fn set(
        &self,
        start: u32,
        count: usize,
        action: Action,
        data: &IrqData<'_>,
    ) -> Result<(), Error> {
        let (index, device) = (self.index, || self.device.name());
        let irqs = Irqs {
            index,
            start,
            count: count as u32,
        };
        match set_irqs(self.device.as_fd(), irqs, action as u32, data) {
            Ok(0) => Ok(()),
            Ok(available) => Err(Error::FewIrqs {
                device: device(),
                index,
                start,
                count,
                available,
            }),
            Err(e) => Err(Error::Irq {
                device: device(),
                index,
                start,
                count,
                source: e.into(),
            }),
        }
    }
}

#[derive(Clone, Copy)]
enum Action {
    Mask = VFIO_IRQ_SET_ACTION_MASK as isize,
    Unmask = VFIO_IRQ_SET_ACTION_UNMASK as isize,
    Trigger = VFIO_IRQ_SET_ACTION_TRIGGER as isize,
}

impl Device {
    /// Asks for the interrupts with this index (`VFIO_DEVICE_GET_IRQ_INFO`).
    ///
    /// # Errors
    /// [`Error::IrqInfo`], also for an index that the device does not know.
    pub fn irq(&self, index: u32) -> Result<Irq, Error> {
        let failed = |e: Errno| Error::IrqInfo {
            device: self.name(),
            index,
            source: e.into(),
        };
        let info = irq_info(self.as_fd(), index).map_err(failed)?;
        Ok(Irq {
            device: self.clone(),
            index,
            flags: info.flags,
            count: info.count,
        })
    }
}
