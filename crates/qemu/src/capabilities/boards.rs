//! Machine types: the board of each name, and the devices on the board.

use passthru_domain::device::chardev::CharTargetType;
use passthru_domain::device::controller::ControllerModel;
use passthru_domain::device::interface::InterfaceModel;
use passthru_domain::{Arch, Board, Machine};

/// Arm boards other than `virt` and its versions. Their names are accepted, but the devices on
/// them are not known.
const ARM_BOARDS: &[&str] = &[
    "akita",
    "ast1030-evb",
    "ast2500-evb",
    "ast2600-evb",
    "ast2700a1-evb",
    "ast2700a2-evb",
    "b-l475e-iot01a",
    "bananapi_m2u",
    "bletchley-bmc",
    "borzoi",
    "bpim2u",
    "canon-a1100",
    "cheetah",
    "collie",
    "connex",
    "cubieboard",
    "emcraft-sf2",
    "fby35-bmc",
    "fp5280g2-bmc",
    "fuji-bmc",
    "g220a-bmc",
    "highbank",
    "imx25-pdk",
    "imx8mm-evk",
    "imx8mp-evk",
    "integratorcp",
    "kudo-bmc",
    "kzm",
    "lm3s6965evb",
    "lm3s811evb",
    "mainstone",
    "max78000fthr",
    "mcimx6ul-evk",
    "mcimx7d-sabre",
    "microbit",
    "midway",
    "mori-bmc",
    "mps2-an385",
    "mps2-an386",
    "mps2-an500",
    "mps2-an505",
    "mps2-an511",
    "mps2-an521",
    "mps3-an524",
    "mps3-an536",
    "mps3-an547",
    "musca-a",
    "musca-b1",
    "musicpal",
    "netduino2",
    "netduinoplus2",
    "npcm750-evb",
    "npcm845-evb",
    "nuri",
    "olimex-stm32-h405",
    "orangepi-pc",
    "palmetto-bmc",
    "qcom-dc-scm-v1-bmc",
    "qcom-firework-bmc",
    "quanta-gbs-bmc",
    "quanta-gsj",
    "quanta-q71l-bmc",
    "rainier-bmc",
    "raspi0",
    "raspi1ap",
    "raspi2b",
    "raspi3ap",
    "raspi3b",
    "raspi4b",
    "realview-eb",
    "realview-eb-mpcore",
    "realview-pb-a8",
    "realview-pbx-a9",
    "romulus-bmc",
    "sabrelite",
    "sbsa-ref",
    "smdkc210",
    "sonorapass-bmc",
    "spitz",
    "stm32vldiscovery",
    "supermicro-x11spi-bmc",
    "supermicrox11-bmc",
    "sx1",
    "sx1-v1",
    "terrier",
    "tiogapass-bmc",
    "tosa",
    "verdex",
    "versatileab",
    "versatilepb",
    "vexpress-a15",
    "vexpress-a9",
    "witherspoon-bmc",
    "x-remote",
    "xilinx-zynq-a9",
    "xlnx-versal-virt",
    "xlnx-versal2-virt",
    "xlnx-zcu102",
    "yosemitev2-bmc",
    "z2",
];

/// Returns the architecture that QEMU calls by a name.
pub(super) fn arch_of_target(target: &str) -> Option<Arch> {
    match target {
        "i386" => Some(Arch::I686),
        "x86_64" => Some(Arch::X86_64),
        "aarch64" => Some(Arch::Aarch64),
        "s390x" => Some(Arch::S390x),
        _ => None,
    }
}

/// Returns QEMU's name of an architecture, as in `qemu-system-i386`.
pub(crate) const fn target_of_arch(arch: Arch) -> &'static str {
    match arch {
        Arch::I686 => "i386",
        _ => arch.as_str(),
    }
}

/// Returns the machine type of a guest whose domain names none.
pub(super) const fn default_machine(arch: Arch) -> &'static str {
    match arch {
        Arch::I686 | Arch::X86_64 => "pc",
        Arch::Aarch64 => "virt",
        Arch::S390x => "s390-ccw-virtio",
    }
}

/// Returns the names of families of machine types.
pub(super) const fn families(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::I686 | Arch::X86_64 => &["pc", "q35", "isapc", "microvm"],
        Arch::Aarch64 => &["virt"],
        Arch::S390x => &["s390-ccw-virtio"],
    }
}

/// Returns whether a recent QEMU has a machine type, in any version.
pub(super) fn is_known(arch: Arch, name: &str) -> bool {
    board(arch, name) != Board::Other || (arch == Arch::Aarch64 && ARM_BOARDS.contains(&name))
}

/// Returns the board of a machine type, with or without a version in its name.
pub(super) fn board(arch: Arch, name: &str) -> Board {
    match arch {
        Arch::I686 | Arch::X86_64 if is_version(name, "q35") || is_version(name, "pc-q35") => {
            Board::Q35
        }
        Arch::I686 | Arch::X86_64 if name == "isapc" => Board::Isapc,
        Arch::I686 | Arch::X86_64 if name == "microvm" => Board::Microvm,
        Arch::I686 | Arch::X86_64 if is_i440fx(name) => Board::I440fx,
        Arch::Aarch64 if is_version(name, "virt") => Board::Virt,
        Arch::S390x if is_version(name, "s390-ccw-virtio") => Board::S390Ccw,
        _ => Board::Other,
    }
}

/// Returns whether a name is that of a family of machine types, or of one of its versions.
fn is_version(name: &str, family: &str) -> bool {
    let Some(rest) = name.strip_prefix(family) else {
        return false;
    };
    rest.is_empty() || (rest.starts_with('-') && rest.len() > 1)
}

/// Returns whether a machine type is an i440FX. The versions `pc-0.12` to `pc-1.3` do not have the
/// board in their names.
fn is_i440fx(name: &str) -> bool {
    let is_early = name.starts_with("pc-0.") || name.starts_with("pc-1.");
    name == "pc" || is_version(name, "pc-i440fx") || is_early
}

/// Returns a machine with its defaults for guests.
pub(super) fn machine(arch: Arch, name: &str) -> Machine {
    let board = board(arch, name);
    Machine {
        name: name.into(),
        board,
        arch,
        usb: usb(board),
        interface: interface(board),
        serial: serial(arch),
    }
}

const fn usb(board: Board) -> Option<ControllerModel> {
    match board {
        Board::I440fx => Some(ControllerModel::Piix3Uhci),
        Board::Q35 => Some(ControllerModel::QemuXhci),
        _ => None,
    }
}

const fn interface(board: Board) -> InterfaceModel {
    match board {
        Board::I440fx | Board::Q35 | Board::Isapc => InterfaceModel::Rtl8139,
        _ => InterfaceModel::Virtio,
    }
}

/// Returns the default CPU model of a machine, if it is to be spelled out. A 32-bit guest usually
/// runs in the 64-bit emulator. The other emulator (`is_i386`) has 32-bit CPUs alone.
pub(super) const fn cpu(arch: Arch, board: Board, is_i386: bool) -> Option<&'static str> {
    match arch {
        Arch::I686 if is_i386 => Some("qemu32"),
        Arch::X86_64 | Arch::I686 => Some("qemu64"),
        Arch::Aarch64 if matches!(board, Board::Virt) => Some("cortex-a15"),
        Arch::Aarch64 => None,
        Arch::S390x => Some("qemu"),
    }
}

const fn serial(arch: Arch) -> CharTargetType {
    match arch {
        Arch::I686 | Arch::X86_64 => CharTargetType::IsaSerial,
        Arch::S390x => CharTargetType::SclpSerial,
        _ => CharTargetType::SystemSerial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_machine_type_have_its_board() {
        for (name, expected) in [
            ("pc", Board::I440fx),
            ("pc-0.12", Board::I440fx),
            ("pc-i440fx-2.12", Board::I440fx),
            ("q35", Board::Q35),
            ("pc-q35-rhel9.4.0", Board::Q35),
            ("pc-q35-", Board::Other),
            ("pcx", Board::Other),
            ("virt", Board::Other),
        ] {
            assert_eq!(board(Arch::X86_64, name), expected, "{name}");
        }

        assert_eq!(board(Arch::Aarch64, "virt-4.0"), Board::Virt);
        assert_eq!(board(Arch::Aarch64, "q35"), Board::Other);
    }

    #[test]
    fn default_machine_of_each_architecture_is_known() {
        for arch in Arch::ALL {
            assert!(is_known(*arch, default_machine(*arch)), "{arch}");
        }
    }
}
