//! What `complete` and `validate` must know of the machine that a guest runs on: supplied by the
//! emulator's crate, so that this one knows none.

use crate::error::Error;
use crate::model::device::chardev::CharTargetType;
use crate::model::device::controller::ControllerModel;
use crate::model::device::interface::InterfaceModel;
use crate::model::domain::Domain;
use crate::model::os::Arch;

/// An emulator with its machines: defaults by architecture and machine, and what exists.
pub trait Platform {
    /// Architecture of a guest that names none.
    fn arch(&self) -> Arch;

    /// Path of the emulator for an architecture.
    fn emulator(&self, arch: Arch) -> String;

    /// The machine type of that name, or the architecture's default one.
    ///
    /// # Errors
    /// Where there is no such machine, or not for this architecture: with the names nearest to it.
    fn machine(&self, arch: Arch, name: Option<&str>) -> Result<Machine, Error>;
}

/// Boards that differ in what is soldered on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// The PC with a conventional PCI bus: Intel 440FX and PIIX.
    I440fx,
    /// The PC with PCI Express: Intel Q35 and ICH9.
    Q35,
    /// The PC without PCI.
    Isapc,
    /// A minimal machine with virtio-mmio.
    Microvm,
    /// Arm's virtual machine, PCI Express.
    Virt,
    /// IBM Z, with channel devices.
    S390Ccw,
    /// Any other: nothing is known of it but its name.
    Other,
}

/// A machine type, and what its guests get when they do not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Name, as the guest said or as the emulator's default.
    pub name: String,
    /// Board.
    pub board: Board,
    /// Architecture.
    pub arch: Arch,
    /// Model of the USB controller that a guest gets unasked; none where it gets none.
    pub usb: Option<ControllerModel>,
    /// Model of network cards.
    pub interface: InterfaceModel,
    /// CPU model, where the emulator's own default is to be spelled out.
    pub cpu: Option<String>,
    /// What serial ports are.
    pub serial: CharTargetType,
}

impl Machine {
    /// Returns the machine of a domain: the one that `<os><type>` names, or the platform's default.
    ///
    /// # Errors
    /// If the platform does not have such a machine; the error's span is that of `<type>`.
    pub(crate) fn for_domain(domain: &Domain, platform: &dyn Platform) -> Result<Self, Error> {
        let kind = &domain.os.kind;
        let arch = kind.arch.unwrap_or(platform.arch());
        let machine = platform.machine(arch, kind.machine.as_deref());
        machine.map_err(|error| match error.span {
            Some(_) => error,
            None => error.at(kind.span.0.clone()),
        })
    }

    /// Returns the model of the root PCI bus.
    pub(crate) const fn root_bus(&self) -> ControllerModel {
        if self.is_express() {
            ControllerModel::PcieRoot
        } else {
            ControllerModel::PciRoot
        }
    }

    /// Whether the root bus is PCI Express.
    pub const fn is_express(&self) -> bool {
        matches!(self.board, Board::Q35 | Board::Virt)
    }

    /// Whether there is a PCI bus.
    pub const fn has_pci(&self) -> bool {
        matches!(
            self.board,
            Board::I440fx | Board::Q35 | Board::Virt | Board::S390Ccw
        )
    }
}
