//! `-machine` and `-accel`.

use super::opt::{List, Opt};
use super::want::{Want, What};
use super::{Context, Error, firmware, iommu, memory, sound};
use passthru_domain::device::MemoryModel;
use passthru_domain::device::controller::{Controller, ControllerModel};
use passthru_domain::{Board, Features, GicVersion, IoapicDriver, State, Toggle};

pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let mut options = vec![Opt::list("-machine", machine(context)?), Opt::list("-accel", accel(context))];
    if context.domain.os.loader.as_ref().and_then(|loader| loader.secure) == Some(true) {
        options.push(Opt::plain("-global", "driver=cfi.pflash01,property=secure,value=on"));
    }
    options.extend(pci_hole(context));
    options.extend(root_hotplug(context));
    Ok(options)
}

fn machine(context: &Context<'_>) -> Result<List, Error> {
    let domain = context.domain;
    let dump_core = domain.memory.and_then(|memory| memory.dump_core).unwrap_or(false);
    let merge = domain.memory_backing.as_ref().is_some_and(|backing| backing.nosharepages);
    let list = List::new(context.machine.name.as_str()).with("usb", false);
    let list = features(context, list)
        .maybe("iommu", iommu::machine_wide(context))
        .with("dump-guest-core", dump_core)
        .maybe("mem-merge", merge.then_some(false))
        .maybe("nvdimm", has_nvdimm(context).then_some(true))
        .maybe("hmat", memory::numa(context).is_some_and(|numa| numa.has_hmat()).then_some(true))
        .maybe("memory-backend", memory::ram_id(context));
    Ok(firmware::on_machine(context, list)
        .maybe("hpet", super::clock::hpet(context))
        .maybe("pcspk-audiodev", sound::speaker(context))
        .maybe("acpi", acpi(context)))
}

fn has_nvdimm(context: &Context<'_>) -> bool {
    context.domain.devices.memories.iter().any(|device| device.model == Some(MemoryModel::Nvdimm))
}

/// What `<features>` says of the board.
fn features(context: &Context<'_>, list: List) -> List {
    let none = Features::default();
    let features = context.domain.features.as_ref().unwrap_or(&none);
    let irqchip = features.ioapic.as_ref().and_then(|ioapic| ioapic.driver).map(|driver| match driver {
        IoapicDriver::Kvm => "on",
        IoapicDriver::Qemu => "split",
    });
    let gic = features.gic.as_ref().and_then(|gic| gic.version).map(GicVersion::as_str);
    list.maybe("vmport", features.vmport.as_ref().map(is_on))
        .maybe("smm", features.smm.as_ref().map(|smm| smm.state != Some(State::Off)))
        .maybe("kernel_irqchip", irqchip)
        .maybe("gic-version", gic)
}

/// Given without a state, a feature is on.
pub(super) fn is_on(toggle: &Toggle) -> bool {
    toggle.state != Some(State::Off)
}

/// ACPI is on where the domain says so, on machines that have a choice.
fn acpi(context: &Context<'_>) -> Option<bool> {
    let has_choice = !matches!(context.board(), Board::S390Ccw | Board::Other);
    has_choice.then(|| context.domain.features.as_ref().is_some_and(|features| features.acpi))
}

fn accel(context: &Context<'_>) -> List {
    if !context.is_kvm() {
        return List::new("tcg");
    }
    let list = List::new("kvm");
    if context.is_standalone() {
        return list;
    }
    list.with("device", Want { name: "kvm".into(), what: What::Kvm })
}

/// The room above 4 GiB that the root bus keeps for devices.
fn pci_hole(context: &Context<'_>) -> Option<Opt> {
    let root = root(context)?;
    let kib = root.pcihole64.as_ref()?.size.kib();
    let host = match context.board() {
        Board::I440fx => "i440FX-pcihost",
        Board::Q35 => "q35-pcihost",
        _ => return None,
    };
    Some(Opt::plain("-global", format!("{host}.pci-hole64-size={kib}K")))
}

/// Whether ACPI lets devices be plugged into the conventional root bus.
fn root_hotplug(context: &Context<'_>) -> Option<Opt> {
    let hotplug = root(context)?.target.as_ref()?.hotplug?;
    let on = if hotplug { "on" } else { "off" };
    (context.board() == Board::I440fx)
        .then(|| Opt::plain("-global", format!("PIIX4_PM.acpi-root-pci-hotplug={on}")))
}

fn root<'a>(context: &Context<'a>) -> Option<&'a Controller> {
    let roots = [Some(ControllerModel::PciRoot), Some(ControllerModel::PcieRoot)];
    context.domain.devices.controllers.iter().find(|controller| roots.contains(&controller.model))
}
