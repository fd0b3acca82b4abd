//! Virtual IOMMUs: number, machine, and attributes of each model.

use super::check::{Check, duplicates};
use crate::model::backend::Backend;
use crate::model::device::Iommu;
use crate::model::device::controller::{ControllerModel, ControllerType};
use crate::model::device::iommu::{AutoNumber, AutoOnOff, IommuDriver, IommuModel};
use crate::model::domain::CPUS_WITHOUT_EIM;
use crate::model::features::IoapicDriver;
use crate::model::os::Arch;
use crate::platform::Board;

/// Most bits of a substream id or PASID.
const MAX_SSID_BITS: u8 = 20;
/// Bits of output addresses of an SMMUv3 without acceleration.
const EMULATED_OAS: u8 = 44;
/// Bits of output addresses that QEMU's SMMUv3 can have.
const OAS: [u8; 2] = [EMULATED_OAS, 48];

pub(super) fn check(check: &mut Check<'_>) {
    let iommus = &check.domain.devices.iommus;
    check_several(check);
    check_many_cpus(check);
    for iommu in iommus {
        match iommu.model {
            Some(IommuModel::Intel) => check_intel(check, iommu),
            Some(IommuModel::Amd) => {
                check_board(check, iommu, &[Board::Q35]);
                check_split_irqchip(check, iommu);
            }
            Some(IommuModel::Virtio) => {
                check_board(check, iommu, &[Board::Q35, Board::Virt]);
                check_acpi(check, iommu);
            }
            Some(IommuModel::Smmuv3 | IommuModel::Smmuv3Dev) => check_smmuv3(check, iommu),
            None => {}
        }
        check_foreign_attributes(check, iommu);
    }
}

/// Checks that a PC with more than 255 CPUs has an IOMMU in the extended interrupt mode.
fn check_many_cpus(check: &mut Check<'_>) {
    let domain = check.domain;
    let board = check.machine.board;
    if !domain.needs_eim() || !matches!(check.machine.arch, Arch::X86_64 | Arch::I686) {
        return;
    }
    if board != Board::Q35 {
        let name = &check.machine.name;
        let message = format!("the machine '{name}' has at most {CPUS_WITHOUT_EIM} CPUs");
        check.error_with_hint(
            &domain.place_of("vcpu"),
            message,
            "use the machine 'q35' for more",
        );
        return;
    }

    let mut drivers = domain
        .devices
        .iommus
        .iter()
        .filter_map(|iommu| iommu.driver.as_ref());
    if !drivers.any(|d| d.eim == Some(true) || d.xtsup == Some(true)) {
        let message = format!(
            "more than {CPUS_WITHOUT_EIM} CPUs need an IOMMU with the extended interrupt mode"
        );
        check.error_with_hint(
            &domain.place_of("vcpu"),
            message,
            "add <iommu model='intel'><driver intremap='on' eim='on'/>",
        );
    }
}

/// Checks that several IOMMUs of a guest are SMMUv3s, each with a PCI bus of its own.
fn check_several(check: &mut Check<'_>) {
    let iommus = &check.domain.devices.iommus;
    if iommus.len() < 2 {
        return;
    }
    for iommu in iommus {
        if let Some(model) = iommu.model.filter(|m| *m != IommuModel::Smmuv3) {
            let message = format!("an IOMMU of model '{model}' must be the only one of the guest");
            check.error(&iommu.info.span, message);
        } else if iommu.pci_bus().is_none() {
            let message = "each of several SMMUv3s needs its own PCI bus".to_owned();
            check.error_with_hint(
                &iommu.info.span,
                message,
                "set <driver pciBus='INDEX'/> to the index of a pcie-expander-bus",
            );
        }
    }

    for (_, second) in duplicates(iommus.iter().filter_map(|i| Some((i.pci_bus()?, i)))) {
        let bus = second.pci_bus().unwrap_or_default();
        check.error(
            &second.info.span,
            format!("two SMMUv3 serve the PCI bus {bus}"),
        );
    }
}

/// Checks that the machine supports the model of an IOMMU.
fn check_board(check: &mut Check<'_>, iommu: &Iommu, boards: &[Board]) {
    if boards.contains(&check.machine.board) {
        return;
    }
    let model = iommu.model.map_or("", IommuModel::as_str);
    let name = &check.machine.name;
    let machines: Vec<_> = boards
        .iter()
        .map(|board| match board {
            Board::Q35 => "q35",
            _ => "virt",
        })
        .collect();
    let machines = machines.join(" and ");
    let message = format!(
        "an IOMMU of model '{model}' is for the machines {machines} only, not for '{name}'"
    );
    check.error(&iommu.info.span, message);
}

/// Checks that the guest has ACPI: an ACPI table lists the devices behind a virtio IOMMU.
fn check_acpi(check: &mut Check<'_>, iommu: &Iommu) {
    if !check
        .domain
        .features
        .as_ref()
        .is_some_and(|features| features.acpi)
    {
        let message = "an IOMMU of model 'virtio' needs ACPI".to_owned();
        check.error_with_hint(
            &iommu.info.span,
            message,
            "add <features><acpi/></features>",
        );
    }
}

/// Checks an IOMMU of model `intel`.
fn check_intel(check: &mut Check<'_>, iommu: &Iommu) {
    check_board(check, iommu, &[Board::Q35]);
    check_split_irqchip(check, iommu);
    check_first_stage(check, iommu);
    let Some(driver) = &iommu.driver else { return };
    let span = &iommu.info.span;
    if let Some(bits) = driver.pasid_bits.filter(|bits| *bits > MAX_SSID_BITS) {
        check.error(
            span,
            format!("pasid-bits='{bits}' of the IOMMU is above {MAX_SSID_BITS}"),
        );
    }

    if driver.eim == Some(true) && driver.intremap != Some(true) {
        let message = "eim='on' of the IOMMU needs intremap='on'".to_owned();
        check.error(span, message);
    }
}

/// Checks that interrupt remapping has an I/O APIC emulated by QEMU: the kernel's does not remap.
fn check_split_irqchip(check: &mut Check<'_>, iommu: &Iommu) {
    let ioapic = check
        .domain
        .features
        .as_ref()
        .and_then(|f| f.ioapic.as_ref())
        .and_then(|i| i.driver);
    let remaps = iommu.driver.as_ref().and_then(|driver| driver.intremap) == Some(true);
    if remaps && ioapic != Some(IoapicDriver::Qemu) {
        let message =
            "interrupt remapping of the IOMMU needs an I/O APIC emulated by QEMU".to_owned();
        check.error_with_hint(
            &iommu.info.span,
            message,
            "add <features><ioapic driver='qemu'/></features>",
        );
    }
}

/// Checks `fsts` (first-stage translation by the guest's page tables), which needs iommufd.
fn check_first_stage(check: &mut Check<'_>, iommu: &Iommu) {
    if iommu.driver.as_ref().and_then(|driver| driver.fsts) != Some(true) {
        return;
    }
    if iommu
        .driver
        .as_ref()
        .and_then(|driver| driver.scalable_mode)
        != Some(true)
    {
        let message = "fsts='on' of the IOMMU needs scalable_mode='on'".to_owned();
        check.error(&iommu.info.span, message);
    }

    let domain = check.domain;
    for hostdev in domain
        .devices
        .assigned()
        .filter(|h| domain.backend(h) == Some(Backend::Type1))
    {
        let message = format!(
            "hostdev {} is behind an IOMMU with fsts='on', which needs iommufd",
            hostdev.host_name()
        );
        check.error_with_hint(&hostdev.info.span, message, "set <driver iommufd='yes'/>");
    }
}

/// Checks an IOMMU of model `smmuv3`.
fn check_smmuv3(check: &mut Check<'_>, iommu: &Iommu) {
    check_board(check, iommu, &[Board::Virt]);
    let span = &iommu.info.span;
    if let Some(bus) = iommu.pci_bus() {
        let controller = check.domain.devices.controller(ControllerType::Pci, bus);
        let message = match controller.and_then(|c| c.model) {
            Some(ControllerModel::PcieRoot | ControllerModel::PcieExpanderBus) => None,
            Some(other) => Some(format!("pciBus='{bus}' of the SMMUv3 is a {other}")),
            None => Some(format!(
                "pciBus='{bus}' of the SMMUv3: there is no such PCI controller"
            )),
        };
        if let Some(message) = message {
            check.error_with_hint(span, message, "name the pcie-root or a pcie-expander-bus");
        }
    }

    let Some(driver) = &iommu.driver else { return };
    if iommu.is_accelerated() && driver.pci_bus.is_none() {
        let message = "accel='on' of the SMMUv3 needs the attribute 'pciBus'".to_owned();
        check.error_with_hint(
            span,
            message,
            "set pciBus to the index of a pcie-expander-bus, or to '0'",
        );
    }

    if !iommu.is_accelerated() {
        for attribute in accelerated_attributes(driver) {
            check.error(
                span,
                format!(
                    "{attribute} of the SMMUv3 needs accel='on': it comes from the host's SMMU"
                ),
            );
        }
    }

    if let Some(AutoNumber::Bits(bits)) = driver.ssidsize
        && bits > MAX_SSID_BITS
    {
        check.error(
            span,
            format!("ssidsize='{bits}' of the SMMUv3 is above {MAX_SSID_BITS}"),
        );
    }

    if let Some(AutoNumber::Bits(bits)) = driver.oas
        && !OAS.contains(&bits)
    {
        let message =
            format!("oas='{bits}' of the SMMUv3 is not supported: expected 44, 48 or 'auto'");
        check.error(span, message);
    }
}

/// Returns the attributes of an SMMUv3 whose values only the host's SMMU supports.
fn accelerated_attributes(driver: &IommuDriver) -> Vec<String> {
    let mut attributes = Vec::new();
    let switches = [
        ("ats", driver.ats, AutoOnOff::On),
        ("ril", driver.ril, AutoOnOff::Off),
        ("cmdqv", driver.cmdqv, AutoOnOff::On),
    ];
    for (name, value, special) in switches {
        if value == Some(special) {
            attributes.push(format!("{name}='{special}'"));
        }
    }

    for (name, value, emulated) in [
        ("ssidsize", driver.ssidsize, 0),
        ("oas", driver.oas, EMULATED_OAS),
    ] {
        if let Some(AutoNumber::Bits(bits)) = value.filter(|v| *v != AutoNumber::Bits(emulated)) {
            attributes.push(format!("{name}='{bits}'"));
        }
    }

    attributes
}

/// Checks that a model has no attributes of another model.
fn check_foreign_attributes(check: &mut Check<'_>, iommu: &Iommu) {
    let Some(model) = iommu.model else { return };
    let Some(d) = &iommu.driver else { return };
    let intel = IommuModel::Intel;
    let amd = IommuModel::Amd;
    let virtio = IommuModel::Virtio;
    let smmu = IommuModel::Smmuv3;
    let attributes: [(&str, bool, &[IommuModel]); 20] = [
        ("intremap", d.intremap.is_some(), &[intel, amd]),
        ("caching_mode", d.caching_mode.is_some(), &[intel]),
        ("eim", d.eim.is_some(), &[intel]),
        ("iotlb", d.iotlb.is_some(), &[intel, amd]),
        ("aw_bits", d.aw_bits.is_some(), &[intel, virtio]),
        ("dma_translation", d.dma_translation.is_some(), &[intel]),
        ("scalable_mode", d.scalable_mode.is_some(), &[intel]),
        ("fsts", d.fsts.is_some(), &[intel]),
        ("svm", d.svm.is_some(), &[intel]),
        ("pasid-bits", d.pasid_bits.is_some(), &[intel]),
        ("passthrough", d.passthrough.is_some(), &[amd]),
        ("xtsup", d.xtsup.is_some(), &[amd]),
        ("granule", d.granule.is_some(), &[virtio]),
        ("pciBus", d.pci_bus.is_some(), &[smmu]),
        ("accel", d.accel.is_some(), &[smmu]),
        ("ats", d.ats.is_some(), &[smmu]),
        ("ril", d.ril.is_some(), &[smmu]),
        ("ssidsize", d.ssidsize.is_some(), &[smmu]),
        ("oas", d.oas.is_some(), &[smmu]),
        ("cmdqv", d.cmdqv.is_some(), &[smmu]),
    ];
    for (name, is_set, models) in attributes {
        if !is_set || models.contains(&model) {
            continue;
        }
        let models: Vec<_> = models.iter().map(|model| format!("'{model}'")).collect();
        let models = models.join(" and ");
        let message = format!("an IOMMU of model '{model}' has no '{name}': that is for {models}");
        check.error(&iommu.info.span, message);
    }
}
