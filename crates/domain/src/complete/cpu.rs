//! The guest's CPU: its model, and defaults of its description.

use crate::model::cpu::Fallback;
use crate::model::cpu::{Cpu, CpuCheck, CpuFeature, CpuMatch, CpuMode, FeaturePolicy};
use crate::model::domain::{Domain, VirtType};
use crate::model::os::Arch;
use crate::platform::Machine;

/// Sets the default CPU model if the guest names none, and fills in the rest of the description.
pub(super) fn fill(domain: &mut Domain, machine: &Machine, default: Option<String>) {
    let emulated = domain.kind != Some(VirtType::Kvm);
    if domain.cpu.as_ref().is_none_or(lacks_model)
        && let Some(name) = default
        // On Arm, KVM cannot run the machines' default models: hosts have other CPUs.
        && (emulated || machine.arch != Arch::Aarch64)
    {
        let cpu = domain.cpu.get_or_insert_default();
        cpu.mode = Some(CpuMode::Custom);
        cpu.matching.get_or_insert(CpuMatch::Exact);
        cpu.check.get_or_insert(CpuCheck::None);
        let model = cpu.model.get_or_insert_default();
        model.name = Some(name);
        model.fallback = Some(Fallback::Forbid);
    }

    if let Some(cpu) = &mut domain.cpu {
        fill_cpu(cpu, domain.kind, machine.arch);
    }
}

/// Returns whether a CPU has the mode `custom` but does not name a model.
fn lacks_model(cpu: &Cpu) -> bool {
    cpu.mode.is_none_or(|mode| mode == CpuMode::Custom) && cpu.model.is_none()
}

/// Fills in the defaults of a CPU's description.
fn fill_cpu(cpu: &mut Cpu, kind: Option<VirtType>, arch: Arch) {
    if let Some(topology) = &mut cpu.topology {
        topology.dies.get_or_insert(1);
        topology.clusters.get_or_insert(1);
    }

    if cpu.model.is_some() {
        cpu.mode.get_or_insert(CpuMode::Custom);
    }
    let Some(mode) = cpu.mode else { return };
    let x86 = matches!(arch, Arch::X86_64 | Arch::I686);
    let check = match mode {
        CpuMode::HostPassthrough | CpuMode::Maximum => CpuCheck::None,
        CpuMode::HostModel => CpuCheck::Partial,
        CpuMode::Custom if kind == Some(VirtType::Kvm) && x86 => CpuCheck::Partial,
        CpuMode::Custom => CpuCheck::None,
    };
    cpu.check.get_or_insert(check);
    if matches!(mode, CpuMode::HostPassthrough | CpuMode::Maximum) && x86 {
        cpu.migratable.get_or_insert(true);
    }
    if mode == CpuMode::Custom {
        cpu.matching.get_or_insert(CpuMatch::Exact);
        if let Some(model) = &mut cpu.model {
            model.fallback.get_or_insert(Fallback::Allow);
        }
    }

    for feature in &mut cpu.features {
        feature.policy.get_or_insert(FeaturePolicy::Require);
    }
    add_sve(cpu);
}

/// Adds Arm's vector extension (`sve`) if a vector length is required.
fn add_sve(cpu: &mut Cpu) {
    let policy = Some(FeaturePolicy::Require);
    let has_length = cpu
        .features
        .iter()
        .any(|f| f.is_sve_length() && f.policy == policy);
    if has_length && cpu.features.iter().all(|f| f.name != "sve") {
        cpu.features.push(CpuFeature {
            policy,
            name: "sve".into(),
            ..CpuFeature::default()
        });
    }
}
