//! Virtual IOMMUs: how many, on which machine, and what goes with what.

use super::{Check, duplicates};
use crate::device::Iommu;
use crate::device::controller::{ControllerModel, ControllerType};
use crate::device::iommu::{AutoNumber, AutoOnOff, IommuDriver, IommuModel};
use crate::{Board, IoapicDriver};

/// Most bits of a substream id.
const MAX_SSID_BITS: u8 = 20;
/// Bits of output addresses of an SMMUv3 that is emulated.
const EMULATED_OAS: u8 = 44;

pub(super) fn check(check: &mut Check<'_>) {
    let iommus = &check.domain.devices.iommus;
    together(check);
    for iommu in iommus {
        match iommu.model {
            Some(IommuModel::Intel) => intel(check, iommu),
            Some(IommuModel::Virtio) => on_boards(check, iommu, &[Board::Q35, Board::Virt]),
            Some(IommuModel::Smmuv3 | IommuModel::Smmuv3Dev) => smmuv3(check, iommu),
            None => {}
        }
        foreign_attributes(check, iommu);
    }
}

/// Several are SMMUv3s, each with a bus of its own.
fn together(check: &mut Check<'_>) {
    let iommus = &check.domain.devices.iommus;
    if iommus.len() < 2 {
        return;
    }
    for iommu in iommus {
        if let Some(model) = iommu.model.filter(|m| *m != IommuModel::Smmuv3) {
            let message = format!("an IOMMU of model '{model}' must be the only one of the guest");
            check.error(&iommu.info.place, message);
        } else if iommu.pci_bus().is_none() {
            let message = "of several SMMUv3 each needs a bus of its own".to_owned();
            check.error_with_hint(
                &iommu.info.place,
                message,
                "say <driver pciBus='INDEX'/> of a pcie-expander-bus",
            );
        }
    }
    for (_, second) in duplicates(iommus.iter().filter_map(|i| Some((i.pci_bus()?, i)))) {
        let bus = second.pci_bus().unwrap_or_default();
        check.error(&second.info.place, format!("two SMMUv3 serve the PCI bus {bus}"));
    }
}

fn on_boards(check: &mut Check<'_>, iommu: &Iommu, boards: &[Board]) {
    if !boards.contains(&check.machine.board) {
        let (model, name) = (iommu.model.map_or("", IommuModel::as_str), &check.machine.name);
        let on = boards.iter().map(|b| if *b == Board::Q35 { "q35" } else { "virt" });
        let on = on.collect::<Vec<_>>().join(" and ");
        let message = format!("an IOMMU of model '{model}' is for the machines {on} only, not for '{name}'");
        check.error(&iommu.info.place, message);
    }
}

fn intel(check: &mut Check<'_>, iommu: &Iommu) {
    on_boards(check, iommu, &[Board::Q35]);
    let Some(driver) = &iommu.driver else { return };
    let place = &iommu.info.place;
    let ioapic = check.domain.features.as_ref().and_then(|f| f.ioapic.as_ref()).and_then(|i| i.driver);
    if driver.intremap == Some(true) && ioapic != Some(IoapicDriver::Qemu) {
        let message = "interrupt remapping of the IOMMU needs an I/O APIC emulated by QEMU".to_owned();
        check.error_with_hint(place, message, "add <features><ioapic driver='qemu'/></features>");
    }
    if driver.eim == Some(true) && driver.intremap != Some(true) {
        let message = "eim='on' of the IOMMU needs intremap='on'".to_owned();
        check.error(place, message);
    }
}

fn smmuv3(check: &mut Check<'_>, iommu: &Iommu) {
    on_boards(check, iommu, &[Board::Virt]);
    let place = &iommu.info.place;
    if let Some(bus) = iommu.pci_bus() {
        let controller = check.domain.devices.controller(ControllerType::Pci, bus);
        let message = match controller.and_then(|c| c.model) {
            Some(ControllerModel::PcieRoot | ControllerModel::PcieExpanderBus) => None,
            Some(other) => Some(format!("pciBus='{bus}' of the SMMUv3 is a {other}")),
            None => Some(format!("pciBus='{bus}' of the SMMUv3: there is no such PCI controller")),
        };
        if let Some(message) = message {
            check.error_with_hint(place, message, "an SMMUv3 serves the pcie-root or a pcie-expander-bus");
        }
    }
    let Some(driver) = &iommu.driver else { return };
    if iommu.is_accelerated() && driver.pci_bus.is_none() {
        let message = "accel='on' of the SMMUv3 needs the bus that it serves".to_owned();
        check.error_with_hint(place, message, "say pciBus='INDEX' of a pcie-expander-bus, or '0'");
    }
    if !iommu.is_accelerated() {
        for attribute in hosts_only(driver) {
            check.error(
                place,
                format!("{attribute} of the SMMUv3 needs accel='on': it comes from the host's SMMU"),
            );
        }
    }
    if let Some(AutoNumber::Bits(bits)) = driver.ssidsize
        && bits > MAX_SSID_BITS
    {
        check.error(place, format!("ssidsize='{bits}' of the SMMUv3 is above {MAX_SSID_BITS}"));
    }
}

/// What only the host's SMMU can do.
fn hosts_only(driver: &IommuDriver) -> Vec<String> {
    let mut asked = Vec::new();
    let switches = [
        ("ats", driver.ats, AutoOnOff::On),
        ("ril", driver.ril, AutoOnOff::Off),
        ("cmdqv", driver.cmdqv, AutoOnOff::On),
    ];
    for (name, value, special) in switches {
        if value == Some(special) {
            asked.push(format!("{name}='{special}'"));
        }
    }
    for (name, value, emulated) in [("ssidsize", driver.ssidsize, 0), ("oas", driver.oas, EMULATED_OAS)] {
        if let Some(AutoNumber::Bits(bits)) = value.filter(|v| *v != AutoNumber::Bits(emulated)) {
            asked.push(format!("{name}='{bits}'"));
        }
    }
    asked
}

fn foreign_attributes(check: &mut Check<'_>, iommu: &Iommu) {
    let (Some(model), Some(d)) = (iommu.model, &iommu.driver) else { return };
    let intels = [
        ("intremap", d.intremap.is_some()),
        ("caching_mode", d.caching_mode.is_some()),
        ("eim", d.eim.is_some()),
        ("iotlb", d.iotlb.is_some()),
        ("aw_bits", d.aw_bits.is_some()),
        ("dma_translation", d.dma_translation.is_some()),
    ];
    let smmus = [
        ("pciBus", d.pci_bus.is_some()),
        ("accel", d.accel.is_some()),
        ("ats", d.ats.is_some()),
        ("ril", d.ril.is_some()),
        ("ssidsize", d.ssidsize.is_some()),
        ("oas", d.oas.is_some()),
        ("cmdqv", d.cmdqv.is_some()),
    ];
    let of = |list: &[(&str, bool)], theirs: IommuModel| {
        let said = list.iter().filter(|(_, said)| *said && model != theirs);
        said.map(|(name, _)| format!("an IOMMU of model '{model}' has no '{name}': that is for '{theirs}'"))
            .collect()
    };
    let wrong: [Vec<String>; 2] = [of(&intels, IommuModel::Intel), of(&smmus, IommuModel::Smmuv3)];
    for message in wrong.into_iter().flatten() {
        check.error(&iommu.info.place, message);
    }
}
