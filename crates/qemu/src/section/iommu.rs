//! `<iommu>`: virtual IOMMUs.

use passthru_domain::Board;
use passthru_domain::device::Item;
use passthru_domain::device::iommu::{AutoNumber, AutoOnOff, Iommu, IommuDriver, IommuModel};

use super::pci;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt, on_off};

/// Names the IOMMUs of the whole machine, which QEMU must know before any other device.
pub(crate) fn machine_wide(context: &Context<'_>) -> Vec<Item> {
    items(context, |iommu| iommu.model != Some(IommuModel::Smmuv3))
}

/// Names the IOMMUs of a root bus or expander, which QEMU must know first.
pub(crate) fn behind_buses(context: &Context<'_>) -> Vec<Item> {
    items(context, |iommu| {
        iommu.model == Some(IommuModel::Smmuv3) && pci_bus(iommu).is_some()
    })
}

fn items(context: &Context<'_>, is_wanted: impl Fn(&Iommu) -> bool) -> Vec<Item> {
    let iommus = context.domain.devices.iommus.iter().enumerate();
    iommus
        .filter(|(_, iommu)| is_wanted(iommu))
        .map(|(number, _)| Item::Iommu(number))
        .collect()
}

/// Returns `-machine iommu=`. An SMMUv3 that names no bus serves the whole machine.
pub(crate) fn machine_property(context: &Context<'_>) -> Option<&'static str> {
    let iommus = &context.domain.devices.iommus;
    iommus.iter().any(is_of_machine).then_some("smmuv3")
}

/// Returns whether an IOMMU is a property of the machine, and not a device.
fn is_of_machine(iommu: &Iommu) -> bool {
    iommu.model == Some(IommuModel::Smmuv3) && pci_bus(iommu).is_none()
}

/// Returns the options of an IOMMU; none for one that is a property of the machine.
pub(crate) fn device(context: &Context<'_>, iommu: &Iommu) -> Result<Vec<Opt>, Error> {
    let device = match iommu.model {
        _ if is_of_machine(iommu) => return Ok(Vec::new()),
        Some(IommuModel::Intel) => intel(context, iommu)?,
        Some(IommuModel::Amd) => {
            let function = amd_function(context, iommu)?;
            return Ok(vec![Opt::device(function), Opt::device(amd(iommu))]);
        }
        Some(IommuModel::Virtio) => virtio(context, iommu)?,
        Some(IommuModel::Smmuv3 | IommuModel::Smmuv3Dev) => smmuv3(context, iommu)?,
        None => {
            return Err(Error::Incomplete {
                device: pci::device_name(&iommu.info),
                lacks: "model",
            });
        }
    };
    Ok(vec![Opt::device(device)])
}

fn intel(context: &Context<'_>, iommu: &Iommu) -> Result<Object, Error> {
    if context.board() != Board::Q35 {
        return Err(Error::unsupported_on(
            "an Intel IOMMU",
            format!("machine '{}'", context.machine.name),
        ));
    }

    let driver = iommu.driver.clone().unwrap_or_default();
    Ok(Object::driver("intel-iommu")
        .maybe("id", iommu.info.alias.as_deref())
        .maybe("intremap", driver.intremap.map(on_off))
        .maybe("caching-mode", driver.caching_mode)
        .maybe("eim", driver.eim.map(on_off))
        .maybe("device-iotlb", driver.iotlb)
        .maybe("aw-bits", driver.aw_bits)
        .maybe("dma-translation", driver.dma_translation)
        .maybe("scalable-mode", driver.scalable_mode)
        .maybe("fsts", driver.fsts)
        .maybe("svm", driver.svm)
        .maybe("pasid-bits", driver.pasid_bits.map(u32::from)))
}

/// Returns the PCI function by which the guest finds AMD's IOMMU.
fn amd_function(context: &Context<'_>, iommu: &Iommu) -> Result<Object, Error> {
    Ok(Object::driver("AMDVI-PCI")
        .with("id", iommu.info.id())
        .and(pci::address(context, &iommu.info)?))
}

fn amd(iommu: &Iommu) -> Object {
    let driver = iommu.driver.clone().unwrap_or_default();
    Object::driver("amd-iommu")
        .with("pci-id", iommu.info.id())
        .maybe("intremap", driver.intremap.map(on_off))
        .maybe("pt", driver.passthrough)
        .maybe("xtsup", driver.xtsup)
        .maybe("device-iotlb", driver.iotlb)
}

fn virtio(context: &Context<'_>, iommu: &Iommu) -> Result<Object, Error> {
    let driver = iommu.driver.clone().unwrap_or_default();
    let granule = driver.granule.map(|granule| match granule.size {
        Some(kib) => format!("{kib}k"),
        None => "host".into(),
    });
    Ok(Object::driver("virtio-iommu")
        .with("id", iommu.info.id())
        .maybe("aw-bits", driver.aw_bits)
        .maybe("granule", granule)
        .and(pci::address(context, &iommu.info)?))
}

fn smmuv3(context: &Context<'_>, iommu: &Iommu) -> Result<Object, Error> {
    let driver = iommu.driver.clone().unwrap_or_default();
    Ok(Object::driver("arm-smmuv3")
        .with("primary-bus", primary_bus(context, iommu)?)
        .with("id", iommu.info.id())
        .maybe("accel", driver.accel)
        .maybe("ats", driver.ats.map(AutoOnOff::as_str))
        .maybe("ril", driver.ril.map(AutoOnOff::as_str))
        .maybe("ssidsize", driver.ssidsize.map(bits))
        .maybe("oas", driver.oas.map(bits))
        .maybe("cmdqv", driver.cmdqv.map(AutoOnOff::as_str)))
}

fn primary_bus(context: &Context<'_>, iommu: &Iommu) -> Result<String, Error> {
    let bus = u8::try_from(pci_bus(iommu).unwrap_or(0)).unwrap_or(u8::MAX);
    pci::bus(context, bus).ok_or(Error::NoBus {
        device: pci::device_name(&iommu.info),
        bus,
    })
}

fn pci_bus(iommu: &Iommu) -> Option<u32> {
    iommu
        .driver
        .as_ref()
        .and_then(|driver: &IommuDriver| driver.pci_bus)
}

fn bits(number: AutoNumber) -> String {
    match number {
        AutoNumber::Auto => "auto".into(),
        AutoNumber::Bits(bits) => bits.to_string(),
    }
}
