//! `-machine` and `-accel`.

use passthru_domain::Board;
use passthru_domain::device::MemoryModel;
use passthru_domain::device::controller::{Controller, ControllerModel};
use passthru_domain::features::{Features, GicVersion, IoapicDriver};
use passthru_domain::security::CipherName;
use passthru_domain::toggle::{OnOff, Toggle};

use super::{firmware, iommu, memory, security, sound};
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Object, Opt, Want, WantKind, on_off};

pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let mut options = vec![
        Opt::list("-machine", machine(context)?),
        Opt::list("-accel", accel(context)),
    ];
    if context
        .domain
        .os
        .loader
        .as_ref()
        .and_then(|loader| loader.secure)
        == Some(true)
    {
        options.push(Opt::plain(
            "-global",
            "driver=cfi.pflash01,property=secure,value=on",
        ));
    }

    options.extend(pci_hole(context));
    options.extend(tseg(context));
    options.extend(sleep(context)?);
    options.extend(async_teardown(context));
    options.extend(root_hotplug(context));
    Ok(options)
}

fn machine(context: &Context<'_>) -> Result<List, Error> {
    let domain = context.domain;
    let dump_core = domain
        .memory
        .and_then(|memory| memory.dump_core)
        .unwrap_or(false);
    let merge = domain
        .memory_backing
        .as_ref()
        .is_some_and(|backing| backing.nosharepages);
    let list = List::new(context.machine.name.as_str()).with("usb", false);
    let list = features(context, list)
        .maybe("iommu", iommu::machine_property(context))
        .with("dump-guest-core", dump_core)
        .maybe("mem-merge", merge.then_some(false))
        .maybe("nvdimm", has_nvdimm(context).then_some(true))
        .maybe(
            "hmat",
            memory::numa(context)
                .is_some_and(|numa| numa.has_hmat())
                .then_some(true),
        )
        .maybe("memory-backend", memory::ram_id(context));
    Ok(firmware::on_machine(context, list)
        .maybe("aes-key-wrap", keywrap(context, CipherName::Aes))
        .maybe("dea-key-wrap", keywrap(context, CipherName::Dea))
        .maybe("confidential-guest-support", security::id(context))
        .maybe("graphics", writes_to_serial(context).then_some(false))
        .maybe("highmem-mmio-size", high_memory(context))
        .maybe("hpet", super::clock::hpet(context))
        .maybe("pcspk-audiodev", sound::speaker(context))
        .maybe("acpi", acpi(context)))
}

fn has_nvdimm(context: &Context<'_>) -> bool {
    context
        .domain
        .devices
        .memories
        .iter()
        .any(|device| device.model == Some(MemoryModel::Nvdimm))
}

/// Adds the properties of `<features>`.
fn features(context: &Context<'_>, list: List) -> List {
    let none = Features::default();
    let features = context.domain.features.as_ref().unwrap_or(&none);
    let irqchip = features
        .ioapic
        .as_ref()
        .and_then(|ioapic| ioapic.driver)
        .map(|driver| match driver {
            IoapicDriver::Kvm => "on",
            IoapicDriver::Qemu => "split",
        });
    let gic = features
        .gic
        .as_ref()
        .and_then(|gic| gic.version)
        .map(GicVersion::as_str);
    list.maybe("vmport", features.vmport.as_ref().map(is_on))
        .maybe(
            "smm",
            features
                .smm
                .as_ref()
                .map(|smm| smm.state != Some(OnOff::Off)),
        )
        .maybe("kernel_irqchip", irqchip)
        .maybe("gic-version", gic)
        .maybe("ras", features.ras.as_ref().map(is_on))
        .maybe("i8042", features.ps2.as_ref().map(is_on))
}

/// Returns whether a feature is on. A feature without a state is on.
pub(crate) fn is_on(toggle: &Toggle) -> bool {
    toggle.state != Some(OnOff::Off)
}

/// Returns whether ACPI is on; `None` for machines that have no choice.
fn acpi(context: &Context<'_>) -> Option<bool> {
    let has_choice = !matches!(context.board(), Board::S390Ccw | Board::Other);
    has_choice.then(|| {
        context
            .domain
            .features
            .as_ref()
            .is_some_and(|features| features.acpi)
    })
}

fn accel(context: &Context<'_>) -> List {
    let features = context.domain.features.as_ref();
    if !context.is_kvm() {
        let cache = features.and_then(|features| features.tcg.as_ref()?.tb_cache);
        return List::new("tcg").maybe("tb-size", cache.map(|cache| cache.bytes() >> 20));
    }

    let ring = features.and_then(|features| features.kvm.as_ref()?.dirty_ring.as_ref());
    let ring = ring.filter(|ring| ring.state != Some(OnOff::Off));
    let list = List::new("kvm").maybe("dirty-ring-size", ring.and_then(|ring| ring.size));
    if context.is_standalone() {
        return list;
    }
    list.with(
        "device",
        Want {
            name: "kvm".into(),
            kind: WantKind::Kvm,
        },
    )
}

/// Returns whether the guest can use wrapped keys of a cipher (s390x).
fn keywrap(context: &Context<'_>, name: CipherName) -> Option<bool> {
    let mut ciphers = context
        .domain
        .keywrap
        .iter()
        .flat_map(|keywrap| &keywrap.ciphers);
    let cipher = ciphers.find(|cipher| cipher.name == Some(name))?;
    Some(cipher.state == Some(OnOff::On))
}

/// Returns whether the BIOS writes to the serial port, as it does without graphics.
fn writes_to_serial(context: &Context<'_>) -> bool {
    context
        .domain
        .os
        .bios
        .as_ref()
        .is_some_and(|bios| bios.useserial == Some(true))
}

/// Returns the size of the memory of System Management Mode (TSEG).
fn tseg(context: &Context<'_>) -> Option<Opt> {
    let size = context.domain.features.as_ref()?.smm.as_ref()?.tseg?;
    Some(Opt::plain(
        "-global",
        format!("mch.extended-tseg-mbytes={}", size.bytes() >> 20),
    ))
}

fn async_teardown(context: &Context<'_>) -> Option<Opt> {
    let enabled = context
        .domain
        .features
        .as_ref()?
        .async_teardown
        .as_ref()?
        .enabled;
    Some(Opt::list(
        "-run-with",
        List::headless().with("async-teardown", enabled != Some(false)),
    ))
}

/// Returns the sleep states that the board reports to the guest (S3, S4).
fn sleep(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let Some(pm) = &context.domain.pm else {
        return Ok(Vec::new());
    };
    let said = [
        ("disable_s3", pm.suspend_to_mem.as_ref()),
        ("disable_s4", pm.suspend_to_disk.as_ref()),
    ];
    let said = said
        .into_iter()
        .filter_map(|(name, suspend)| Some((name, suspend?.enabled?)));
    let device = match context.board() {
        Board::I440fx => "PIIX4_PM",
        Board::Q35 => "ICH9-LPC",
        _ if said.clone().count() == 0 => return Ok(Vec::new()),
        _ => return Err(Error::unsupported_on("<pm>", &context.machine.name)),
    };
    let globals = said.map(|(name, enabled)| {
        let value = u32::from(!enabled);
        Opt::plain("-global", format!("{device}.{name}={value}"))
    });
    Ok(globals.collect())
}

/// Returns the device through which the guest's kernel describes its dump.
pub(crate) fn vmcoreinfo(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let features = context.domain.features.as_ref();
    let wanted = features
        .and_then(|features| features.vmcoreinfo.as_ref())
        .is_some_and(is_on);
    Ok(wanted
        .then(|| Opt::device(Object::driver("vmcoreinfo")))
        .into_iter()
        .collect())
}

/// Returns the size of the root bus's window for devices above 4 GiB, on PCs.
fn pci_hole(context: &Context<'_>) -> Option<Opt> {
    let root = root(context)?;
    let kib = root.pcihole64.as_ref()?.size.kib();
    let host = match context.board() {
        Board::I440fx => "i440FX-pcihost",
        Board::Q35 => "q35-pcihost",
        _ => return None,
    };
    Some(Opt::plain(
        "-global",
        format!("{host}.pci-hole64-size={kib}K"),
    ))
}

/// Returns `highmem-mmio-size` from `<pcihole64>` (Arm virt only).
fn high_memory(context: &Context<'_>) -> Option<String> {
    let kib = root(context)?.pcihole64.as_ref()?.size.kib();
    (context.board() == Board::Virt).then(|| format!("{kib}K"))
}

/// Returns whether ACPI allows hotplug on the conventional root bus (i440FX only).
fn root_hotplug(context: &Context<'_>) -> Option<Opt> {
    let hotplug = root(context)?.target.as_ref()?.hotplug?;
    if context.board() != Board::I440fx {
        return None;
    }
    let hotplug = on_off(hotplug);
    Some(Opt::plain(
        "-global",
        format!("PIIX4_PM.acpi-root-pci-hotplug={hotplug}"),
    ))
}

fn root<'a>(context: &Context<'a>) -> Option<&'a Controller> {
    let roots = [
        Some(ControllerModel::PciRoot),
        Some(ControllerModel::PcieRoot),
    ];
    context
        .domain
        .devices
        .controllers
        .iter()
        .find(|controller| roots.contains(&controller.model))
}
