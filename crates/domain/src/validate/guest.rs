//! The guest as a whole: memory, CPUs, firmware, boot, features of the machine.

use super::{Check, duplicates, place_of};
use crate::{Arch, Board, CpuMode, FeaturePolicy, Firmware, LoaderType, VirtType};

pub(super) fn check(check: &mut Check<'_>) {
    memory(check);
    cpus(check);
    vectors(check);
    firmware(check);
    boot(check);
    features(check);
}

fn memory(check: &mut Check<'_>) {
    let domain = check.domain;
    if let (Some(memory), Some(current)) = (domain.memory, domain.current_memory)
        && current.bytes() > memory.bytes()
    {
        let (current, memory) = (current.kib(), memory.kib());
        let message = format!("<currentMemory> ({current} KiB) is more than <memory> ({memory} KiB)");
        check.error_with_hint(&domain.place, message, "raise <memory>, or leave <currentMemory> out");
    }
    hugepages(check);
}

/// A guest without NUMA cells is one node, 0, with one size of huge pages.
fn hugepages(check: &mut Check<'_>) {
    let backing = check.domain.memory_backing.as_ref();
    let Some(hugepages) = backing.and_then(|b| b.hugepages.as_ref()) else { return };
    let place = &check.domain.place;
    if let [first, second, ..] = hugepages.pages.as_slice() {
        let (first, second) = (first.size.kib(), second.size.kib());
        let message = format!(
            "hugepages of {first} KiB and of {second} KiB are asked for, and the guest has a single NUMA node"
        );
        check.error(place, message);
    }
    let nodesets = hugepages.pages.iter().filter_map(|p| p.nodeset.as_deref());
    for nodeset in nodesets.filter(|nodeset| *nodeset != "0") {
        check.error(place, format!("hugepages: the guest has no NUMA nodes '{nodeset}', only node 0"));
    }
}

fn cpus(check: &mut Check<'_>) {
    let domain = check.domain;
    let Some(cpu) = &domain.cpu else { return };
    if let (Some(topology), Some(count)) = (&cpu.topology, domain.vcpu.as_ref().and_then(|v| v.count)) {
        let product = topology.cpus();
        if product != u64::from(count) {
            let message = format!("the CPU <topology> has {product} CPUs, but <vcpu> says {count}");
            check.error_with_hint(
                &topology.place,
                message,
                "<vcpu> must be the product of sockets, dies, clusters, cores and threads",
            );
        }
    }
    if cpu.mode == Some(CpuMode::HostPassthrough) && domain.kind == Some(VirtType::Qemu) {
        let message = "CPU mode 'host-passthrough' needs <domain type='kvm'>".to_owned();
        check.error_with_hint(&domain.place, message, "use mode='maximum' for an emulated CPU");
    }
}

fn vectors(check: &mut Check<'_>) {
    let Some(cpu) = &check.domain.cpu else { return };
    let off = cpu.features.iter().any(|f| f.name == "sve" && f.policy == Some(FeaturePolicy::Disable));
    let required = |f: &&crate::CpuFeature| f.is_sve_length() && f.policy == Some(FeaturePolicy::Require);
    if off && let Some(length) = cpu.features.iter().find(required) {
        let message = format!("the CPU feature 'sve' is disabled, but '{}' is required", length.name);
        check.error(&check.domain.place, message);
    }
}

fn firmware(check: &mut Check<'_>) {
    let os = &check.domain.os;
    let x86 = matches!(check.machine.arch, Arch::X86_64 | Arch::I686);
    let pflash = os.loader.as_ref().is_some_and(|l| l.kind == Some(LoaderType::Pflash));
    let acpi = check.domain.features.as_ref().is_some_and(|f| f.acpi);
    if x86 && (pflash || os.firmware == Some(Firmware::Efi)) && !acpi {
        let message = "UEFI firmware needs ACPI on x86".to_owned();
        check.error_with_hint(&os.place, message, "add <features><acpi/></features>");
    }
    let names_file = os.loader.as_ref().map(|l| l.path.is_some());
    if os.firmware == Some(Firmware::Efi) && names_file != Some(true) {
        let message = "<os firmware='efi'>: the selection of firmware is not supported yet".to_owned();
        check.error_with_hint(&os.place, message, "name the files with <loader> and <nvram>");
    } else if names_file == Some(false) {
        let message = "<loader> names no file".to_owned();
        check.error_with_hint(&os.place, message, "give the path of the firmware");
    }
    if os.nvram.is_some() && os.firmware.is_none() && !pflash {
        let message = "<nvram> goes with firmware in flash memory only".to_owned();
        check.error_with_hint(&os.place, message, "say <loader type='pflash' readonly='yes'>");
    }
    for (part, missing) in [("initrd", os.initrd.is_some()), ("cmdline", os.cmdline.is_some())] {
        if missing && os.kernel.is_none() {
            check.error(&os.place, format!("<{part}> goes with a <kernel> only"));
        }
    }
}

fn boot(check: &mut Check<'_>) {
    let (domain, devices) = (check.domain, &check.domain.devices);
    let orders = devices.boot_orders();
    if !orders.is_empty() && !domain.os.boot.is_empty() {
        let message = "<boot order='…'> of devices cannot be used together with <boot dev='…'/> of <os>";
        check.error_with_hint(&domain.os.place, message.into(), "leave one of them out");
    }
    for (order, item) in &orders {
        if *order == 0 {
            check.error(&place_of(devices.info(*item)), "the order of the boot counts from 1".into());
        }
    }
    for (first, second) in duplicates(orders.iter().map(|(order, item)| (*order, (*order, *item)))) {
        let message = format!(
            "boot order {} is used twice: by {} and by {}",
            first.0,
            devices.describe(first.1),
            devices.describe(second.1)
        );
        check.error(&place_of(devices.info(second.1)), message);
    }
}

fn features(check: &mut Check<'_>) {
    let Some(features) = &check.domain.features else { return };
    let (place, machine) = (&check.domain.place, check.machine);
    let x86 = matches!(machine.arch, Arch::X86_64 | Arch::I686);
    let misplaced = [
        ("gic", features.gic.is_some() && machine.board != Board::Virt, "aarch64's machine 'virt'"),
        ("ioapic", features.ioapic.is_some() && !x86, "x86"),
        ("vmport", features.vmport.is_some() && !x86, "x86"),
        ("smm", features.smm.is_some() && machine.board != Board::Q35, "the machine 'q35'"),
    ];
    for (feature, wrong, only) in misplaced {
        if wrong {
            let (name, arch) = (&machine.name, machine.arch);
            check.error(
                place,
                format!("the feature <{feature}> is for {only} only, not for '{name}' of {arch}"),
            );
        }
    }
}
