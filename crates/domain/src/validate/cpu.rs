//! CPUs: number, topology, model and features.

use std::collections::HashSet;

use super::check::{Check, duplicates};
use crate::model::cpu::{Cpu, CpuCacheMode, CpuMode, FeaturePolicy, MaxphysaddrMode};
use crate::model::domain::VirtType;
use crate::model::os::Arch;

pub(super) fn check(check: &mut Check<'_>) {
    check_vcpus(check);
    let Some(cpu) = &check.domain.cpu else { return };
    check_cpus(check);
    check_vectors(check);
    check_features(check, cpu);
    check_cache(check, cpu);
    check_address_width(check, cpu);
}

/// Checks the CPUs of `<vcpus>` against the number in `<vcpu>`.
fn check_vcpus(check: &mut Check<'_>) {
    let domain = check.domain;
    let Some(vcpus) = &domain.vcpus else { return };
    let Some(vcpu) = &domain.vcpu else { return };
    let max = vcpu.count.unwrap_or(1);
    for single in &vcpus.vcpus {
        let id = single.id;
        let message = match (single.enabled, single.hotpluggable) {
            _ if id >= max => format!("<vcpu id='{id}'> is not one of the {max} CPUs of <vcpu>"),
            (Some(false), _) if id == 0 => "<vcpu id='0'>: the first CPU cannot be disabled".into(),
            (_, Some(true)) if id == 0 => {
                "<vcpu id='0'>: the first CPU cannot be hotpluggable".into()
            }
            (Some(false), Some(false)) => {
                format!("<vcpu id='{id}'> is neither enabled nor hotpluggable, so it can never run")
            }
            _ => continue,
        };
        check.error(&single.span, message);
    }

    for (first, second) in duplicates(vcpus.vcpus.iter().map(|v| (v.id, v))) {
        check.error(
            &second.span,
            format!("<vcpu id='{}'> is described twice", first.id),
        );
    }

    let orders = vcpus.vcpus.iter().filter_map(|v| Some((v.order?, v)));
    for (first, second) in duplicates(orders) {
        let message = format!("CPUs {} and {} have the same 'order'", first.id, second.id);
        check.error(&second.span, message);
    }
}

/// Checks the topology and the mode of the CPU.
fn check_cpus(check: &mut Check<'_>) {
    let domain = check.domain;
    let Some(cpu) = &domain.cpu else { return };
    if let (Some(topology), Some(count)) =
        (&cpu.topology, domain.vcpu.as_ref().and_then(|v| v.count))
    {
        let product = topology.cpus();
        if product != u64::from(count) {
            let message = format!("the CPU <topology> has {product} CPUs, but <vcpu> is {count}");
            check.error_with_hint(
                &topology.span,
                message,
                "set <vcpu> to the product of sockets, dies, clusters, cores and threads",
            );
        }
    }

    if cpu.mode == Some(CpuMode::HostPassthrough) && domain.kind == Some(VirtType::Qemu) {
        let message = "CPU mode 'host-passthrough' needs <domain type='kvm'>".to_owned();
        check.error_with_hint(
            &domain.place_of("cpu"),
            message,
            "use mode='maximum' for an emulated CPU",
        );
    }
}

/// Checks that no vector length is required if Arm's vector extension is disabled.
fn check_vectors(check: &mut Check<'_>) {
    let Some(cpu) = &check.domain.cpu else { return };
    let is_disabled = cpu
        .features
        .iter()
        .any(|f| f.name == "sve" && f.policy == Some(FeaturePolicy::Disable));
    let required = cpu
        .features
        .iter()
        .find(|f| f.is_sve_length() && f.policy == Some(FeaturePolicy::Require));
    if is_disabled && let Some(length) = required {
        let message = format!(
            "the CPU feature 'sve' is disabled, but '{}' is required",
            length.name
        );
        check.error(&length.span, message);
    }
}

/// Checks that no feature is named twice, and that features have a CPU model.
fn check_features(check: &mut Check<'_>, cpu: &Cpu) {
    let mut seen = HashSet::new();
    for feature in &cpu.features {
        if !seen.insert(feature.name.as_str()) {
            check.error(
                &feature.span,
                format!("the CPU feature '{}' is named twice", feature.name),
            );
        }
    }

    let has_model = cpu.mode.is_some_and(|mode| mode != CpuMode::Custom)
        || cpu.model.as_ref().is_some_and(|model| model.name.is_some());
    if has_model {
        return;
    }
    if let Some(feature) = cpu.features.first() {
        let message = format!("the CPU feature '{}' needs a CPU <model>", feature.name);
        check.error_with_hint(
            &feature.span,
            message,
            "name the CPU <model>, or a mode other than 'custom'",
        );
    }
}

/// Checks the mode of the CPU's cache.
fn check_cache(check: &mut Check<'_>, cpu: &Cpu) {
    let Some(cache) = &cpu.cache else { return };
    let whole = matches!(cpu.mode, Some(CpuMode::HostPassthrough | CpuMode::Maximum));
    let wrong = match (cache.mode, cache.level) {
        (Some(CpuCacheMode::Passthrough), Some(_)) => {
            "'passthrough' applies to all levels: leave 'level' out"
        }
        (Some(CpuCacheMode::Passthrough), _) if !whole => {
            "'passthrough' needs the CPU mode 'host-passthrough'"
        }
        (Some(CpuCacheMode::Emulate), level) if level != Some(3) => {
            "'emulate' is for level='3' only"
        }
        (Some(CpuCacheMode::Disable), Some(_)) => {
            "'disable' applies to all levels: leave 'level' out"
        }
        _ => return,
    };
    check.error(&cache.span, format!("the CPU <cache> mode {wrong}"));
}

/// Checks the width of the guest's physical addresses.
fn check_address_width(check: &mut Check<'_>, cpu: &Cpu) {
    let Some(width) = &cpu.maxphysaddr else {
        return;
    };
    let whole = matches!(cpu.mode, Some(CpuMode::HostPassthrough | CpuMode::Maximum));
    let x86 = matches!(check.machine.arch, Arch::X86_64 | Arch::I686);
    let wrong = match width.mode {
        _ if !x86 => "is for x86 only".into(),
        Some(MaxphysaddrMode::Passthrough) if width.bits.is_some() => {
            "with mode 'passthrough' takes the host's width: leave 'bits' out".into()
        }
        Some(MaxphysaddrMode::Passthrough) if !whole => {
            format!(
                "mode 'passthrough' needs the CPU mode '{}'",
                CpuMode::HostPassthrough
            )
        }
        Some(MaxphysaddrMode::Emulate) if width.limit.is_some() => {
            "with mode 'emulate' cannot have a 'limit'".to_owned()
        }
        _ => return,
    };
    check.error(&width.span, format!("<maxphysaddr> {wrong}"));
}
