//! The knowledge about machines that `complete` and `validate` need. The emulator's crate supplies
//! it, so that this crate knows no emulator.

use crate::error::Error;
use crate::model::device::chardev::CharTargetType;
use crate::model::device::controller::ControllerModel;
use crate::model::device::interface::InterfaceModel;
use crate::model::domain::Domain;
use crate::model::firmware::FirmwareFormat;
use crate::model::os::Arch;

/// An emulator: its machines and their defaults.
pub trait Platform {
    /// Returns the architecture of a guest that names none.
    fn arch(&self) -> Arch;

    /// Returns the path of the emulator for an architecture.
    fn emulator(&self, arch: Arch) -> String;

    /// Returns the machine of a name, or the default machine of the architecture.
    ///
    /// # Errors
    /// If the architecture does not have this machine, an error with the most similar names.
    fn machine(&self, arch: Arch, name: Option<&str>) -> Result<Machine, Error>;

    /// Returns the CPU model of a guest that names none; `None` leaves it to the emulator, whose
    /// path is given.
    fn cpu(&self, machine: &Machine, emulator: &str) -> Option<String>;

    /// Returns the firmware for a domain, whose machine is `machine`. `None` leaves the domain as
    /// it is.
    ///
    /// A domain asks for a choice with `<os firmware=…>`. A domain that names the file of its
    /// firmware lacks only what goes with that file, such as the template of the variables.
    ///
    /// # Errors
    /// If no firmware fits what the domain asks for, an error with the reasons.
    fn firmware(&self, _: &Domain, _: &Machine) -> Result<Option<FirmwareChoice>, Error> {
        Ok(None)
    }
}

/// A firmware that a platform chose for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareChoice {
    /// Path of the code.
    pub loader: String,
    /// Mapping into the guest, with what goes with it.
    pub mapping: FirmwareMapping,
    /// Need of System Management Mode, whose code alone then writes the variables.
    pub requires_smm: bool,
}

/// The mapping of a firmware into the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirmwareMapping {
    /// Flash memory that the guest cannot write.
    Flash {
        /// Format of the code.
        format: FirmwareFormat,
        /// Path and format of the template of the variables, for firmware that keeps any.
        template: Option<(String, FirmwareFormat)>,
    },
    /// Read-only memory.
    Rom {
        /// Path of the template of `<varstore>`, if the emulator keeps the variables. The template
        /// can be absent.
        varstore: Option<Option<String>>,
    },
}

/// A family of machine types with the same built-in devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// PC with conventional PCI: Intel 440FX and PIIX.
    I440fx,
    /// PC with PCI Express: Intel Q35 and ICH9.
    Q35,
    /// PC without PCI.
    Isapc,
    /// Minimal machine with virtio-mmio.
    Microvm,
    /// Arm virtual machine (`virt`) with PCI Express.
    Virt,
    /// IBM Z with channel devices.
    S390Ccw,
    /// Any other machine, of which only the name is known.
    Other,
}

/// A machine type with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Name: the one in the document, or the emulator's default.
    pub name: String,
    /// Board.
    pub board: Board,
    /// Architecture.
    pub arch: Arch,
    /// Model of the default USB controller. `None` means no default controller.
    pub usb: Option<ControllerModel>,
    /// Default model of network cards.
    pub interface: InterfaceModel,
    /// Default kind of serial ports.
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

    /// Returns whether the root bus is PCI Express.
    pub const fn is_express(&self) -> bool {
        matches!(self.board, Board::Q35 | Board::Virt)
    }

    /// Returns whether the machine has a PCI bus.
    pub const fn has_pci(&self) -> bool {
        matches!(
            self.board,
            Board::I440fx | Board::Q35 | Board::Virt | Board::S390Ccw
        )
    }
}
