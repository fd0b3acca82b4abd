//! [`Irq`]: the interrupts of a device, of one kind.

use std::os::fd::{AsFd, BorrowedFd};

use vfio_bindings::bindings::vfio::*;

use crate::device::{Device, Error};
use crate::sys::device::{IrqData, Irqs, irq_info, set_irqs};

/// The interrupts of one kind, by its index. It keeps the device open.
///
/// Settings stay until they are disabled or the device is closed. The kernel holds references of
/// its own to the eventfds, which belong to the caller.
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
    /// Interrupt line, which the kernel masks each time that it is raised
    /// (`VFIO_PCI_INTX_IRQ_INDEX`).
    pub const INTX: u32 = VFIO_PCI_INTX_IRQ_INDEX;
    /// MSI (`VFIO_PCI_MSI_IRQ_INDEX`).
    pub const MSI: u32 = VFIO_PCI_MSI_IRQ_INDEX;
    /// MSI-X (`VFIO_PCI_MSIX_IRQ_INDEX`).
    pub const MSIX: u32 = VFIO_PCI_MSIX_IRQ_INDEX;
    /// Uncorrectable error of the device (`VFIO_PCI_ERR_IRQ_INDEX`). Before Linux 7.3 only PCI
    /// Express devices have it.
    pub const ERR: u32 = VFIO_PCI_ERR_IRQ_INDEX;
    /// Request of the host to give the device back (`VFIO_PCI_REQ_IRQ_INDEX`).
    pub const REQ: u32 = VFIO_PCI_REQ_IRQ_INDEX;

    /// Returns the index of the kind.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns the number of interrupts; 0 if the device has none of this kind.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns whether the interrupts can signal eventfds (`VFIO_IRQ_INFO_EVENTFD`).
    pub fn eventfd(&self) -> bool {
        self.flags & VFIO_IRQ_INFO_EVENTFD != 0
    }

    /// Returns whether the interrupts can be masked (`VFIO_IRQ_INFO_MASKABLE`).
    pub fn maskable(&self) -> bool {
        self.flags & VFIO_IRQ_INFO_MASKABLE != 0
    }

    /// Returns whether an interrupt is masked each time that it is raised
    /// (`VFIO_IRQ_INFO_AUTOMASKED`).
    pub fn automasked(&self) -> bool {
        self.flags & VFIO_IRQ_INFO_AUTOMASKED != 0
    }

    /// Returns whether interrupts can be added while others are enabled (`VFIO_IRQ_INFO_NORESIZE`
    /// is not set). If not, enable all that will be used at once.
    pub fn resizable(&self) -> bool {
        self.flags & VFIO_IRQ_INFO_NORESIZE == 0
    }

    /// Sets the eventfds that interrupts signal, from interrupt `start` on
    /// (`VFIO_IRQ_SET_ACTION_TRIGGER`).
    ///
    /// `None` skips an interrupt, or removes its eventfd. A PCI device can have one of INTx, MSI
    /// and MSI-X enabled at a time.
    ///
    /// # Errors
    /// - If the machine has fewer interrupts left, [`Error::FewIrqs`].
    /// - If the kernel refuses, [`Error::Irq`].
    ///
    /// If this call was to enable the kind, then the kind stays disabled.
    pub fn set_triggers(
        &self,
        start: u32,
        eventfds: &[Option<BorrowedFd<'_>>],
    ) -> Result<(), Error> {
        // The kernel would disable all interrupts for a count of 0.
        if eventfds.is_empty() {
            return Ok(());
        }
        let data = IrqData::Eventfds(eventfds);
        self.set(start, eventfds.len(), Action::Trigger, &data)
    }

    /// Disables all interrupts of this kind.
    ///
    /// # Errors
    /// [`Error::Irq`], also if none is enabled.
    pub fn disable(&self) -> Result<(), Error> {
        self.set(0, 0, Action::Trigger, &IrqData::None)
    }

    /// Signals the eventfds of `count` interrupts from `start` on, as if the device had raised them
    /// (`VFIO_IRQ_SET_DATA_NONE`).
    ///
    /// # Errors
    /// [`Error::Irq`], also if the kind is not enabled.
    pub fn raise(&self, start: u32, count: u32) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        self.set(start, count as usize, Action::Trigger, &IrqData::None)
    }

    /// Signals the eventfds of the interrupts from `start` on whose entry is true
    /// (`VFIO_IRQ_SET_DATA_BOOL`).
    ///
    /// # Errors
    /// [`Error::Irq`], also if the kind is not enabled.
    pub fn raise_some(&self, start: u32, raised: &[bool]) -> Result<(), Error> {
        let data = IrqData::Bools(raised);
        self.set(start, raised.len(), Action::Trigger, &data)
    }

    /// Masks the first interrupt (`VFIO_IRQ_SET_ACTION_MASK`). Today's kernels do that only for
    /// INTx.
    ///
    /// # Errors
    /// [`Error::Irq`].
    pub fn mask(&self) -> Result<(), Error> {
        self.set(0, 1, Action::Mask, &IrqData::None)
    }

    /// Unmasks the first interrupt (`VFIO_IRQ_SET_ACTION_UNMASK`). If it is pending, then it is
    /// signalled at once.
    ///
    /// # Errors
    /// [`Error::Irq`].
    pub fn unmask(&self) -> Result<(), Error> {
        self.set(0, 1, Action::Unmask, &IrqData::None)
    }

    /// Sets the eventfd whose signal unmasks the first interrupt, as KVM's resampling needs; `None`
    /// removes it.
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
        let index = self.index;
        let irqs = Irqs {
            index,
            start,
            count: count as u32,
        };
        match set_irqs(self.device.as_fd(), irqs, action as u32, data) {
            Ok(0) => Ok(()),
            Ok(available) => Err(Error::FewIrqs {
                device: self.device.name(),
                index,
                start,
                count,
                available,
            }),
            Err(e) => Err(Error::Irq {
                device: self.device.name(),
                index,
                start,
                count,
                source: e.into(),
            }),
        }
    }
}

/// Action on interrupts (`VFIO_IRQ_SET_ACTION_…`).
#[derive(Clone, Copy)]
enum Action {
    Mask = VFIO_IRQ_SET_ACTION_MASK as isize,
    Unmask = VFIO_IRQ_SET_ACTION_UNMASK as isize,
    Trigger = VFIO_IRQ_SET_ACTION_TRIGGER as isize,
}

impl Device {
    /// Returns the interrupts with this index (`VFIO_DEVICE_GET_IRQ_INFO`).
    ///
    /// # Errors
    /// [`Error::IrqInfo`]; `EINVAL` if the device does not know the index.
    pub fn irq(&self, index: u32) -> Result<Irq, Error> {
        let info = irq_info(self.as_fd(), index).map_err(|e| Error::IrqInfo {
            device: self.name(),
            index,
            source: e.into(),
        })?;
        Ok(Irq {
            device: self.clone(),
            index,
            flags: info.flags,
            count: info.count,
        })
    }
}
