//! Helpers of the tests: a platform with the boards and defaults of a recent emulator, and guests.

#![allow(clippy::panic, reason = "a helper of tests")]

use passthru_domain::device::chardev::CharTargetType;
use passthru_domain::device::controller::ControllerModel;
use passthru_domain::device::interface::InterfaceModel;
use passthru_domain::{Arch, Board, Domain, Error, Errors, Machine, Platform};

/// An emulator with a few machines of each architecture.
pub(crate) struct Emulator;

impl Platform for Emulator {
    fn arch(&self) -> Arch {
        Arch::X86_64
    }

    fn emulator(&self, arch: Arch) -> String {
        format!("/usr/bin/qemu-system-{arch}")
    }

    fn machine(&self, arch: Arch, name: Option<&str>) -> Result<Machine, Error> {
        let default = if arch == Arch::Aarch64 { "virt" } else { "pc" };
        let name = name.unwrap_or(default);
        let board = match name {
            "q35" | "pc-q35-9.2" => Board::Q35,
            "pc" => Board::I440fx,
            "virt" => Board::Virt,
            "microvm" => Board::Microvm,
            "s390-ccw-virtio" => Board::S390Ccw,
            _ => return Err(Error::new(format!("there is no machine '{name}'"))),
        };
        let virt = board == Board::Virt;
        Ok(Machine {
            name: name.into(),
            board,
            arch,
            usb: match board {
                Board::I440fx => Some(ControllerModel::Piix3Uhci),
                Board::Q35 => Some(ControllerModel::QemuXhci),
                _ => None,
            },
            interface: if virt {
                InterfaceModel::Virtio
            } else {
                InterfaceModel::E1000e
            },
            serial: if virt {
                CharTargetType::SystemSerial
            } else {
                CharTargetType::IsaSerial
            },
        })
    }

    fn cpu(&self, machine: &Machine, _: &str) -> Option<String> {
        (machine.board != Board::Virt).then(|| "qemu64".into())
    }
}

/// Returns the XML of a guest with these devices on a machine.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn guest(machine: &str, devices: &str) -> String {
    let arch = match machine {
        "virt" => "aarch64",
        "s390-ccw-virtio" => "s390x",
        _ => "x86_64",
    };
    format!(
        "<domain type='kvm'>\n<name>t</name>\n<memory>1048576</memory>\n\
         <os><type arch='{arch}' machine='{machine}'>hvm</type></os>\n\
         <devices>\n{devices}\n</devices>\n</domain>"
    )
}

/// Parses, completes and validates a guest.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn check(xml: &str) -> Result<Domain, Errors> {
    let domain = Domain::parse(xml)?.complete(&Emulator)?;
    domain.validate(&Emulator)?;
    Ok(domain)
}

/// Parses, completes and validates a guest without errors.
#[allow(dead_code, reason = "not every test file needs it")]
#[track_caller]
pub(crate) fn accepted(xml: &str) -> Domain {
    check(xml).unwrap_or_else(|e| panic!("{e}"))
}

/// Asserts that a guest is refused with a message that contains `words`, at a position whose text
/// starts with `at`.
#[allow(dead_code, reason = "not every test file needs it")]
#[track_caller]
pub(crate) fn refused(xml: &str, words: &str, at: &str) {
    let Err(errors) = check(xml) else {
        panic!("accepted, expected: {words}")
    };
    let found = errors.iter().find(|e| e.message.contains(words));
    let found = found.unwrap_or_else(|| panic!("expected '{words}', found: {errors}"));
    let span = found
        .span
        .clone()
        .unwrap_or_else(|| panic!("no position: {found}"));
    assert!(
        xml[span.clone()].starts_with(at),
        "'{words}' is reported at: {}",
        &xml[span]
    );
}
