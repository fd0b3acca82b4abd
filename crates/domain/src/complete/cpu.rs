//! The guest's CPU: its model and what is left out of its description.

use crate::model::cpu::Fallback;
use crate::model::cpu::{Cpu, CpuCheck, CpuFeature, CpuMatch, CpuMode, FeaturePolicy};
use crate::model::domain::{Domain, VirtType};
use crate::model::os::Arch;
use crate::platform::Machine;

/// Names the CPU of a guest that names none, and fills in the rest of one that is begun.
pub(super) fn fill(domain: &mut Domain, machine: &Machine) {
    let emulated = domain.kind != Some(VirtType::Kvm);
    let unsaid = |cpu: &Cpu| cpu.mode.is_none_or(|m| m == CpuMode::Custom) && cpu.model.is_none();
    if domain.cpu.as_ref().is_none_or(unsaid)
        && let Some(name) = &machine.cpu
        // Arm's usual ones are not those of the hosts.
        && (emulated || machine.arch != Arch::Aarch64)
    {
        let cpu = domain.cpu.get_or_insert_default();
        cpu.mode = Some(CpuMode::Custom);
        cpu.matching.get_or_insert(CpuMatch::Exact);
        cpu.check.get_or_insert(CpuCheck::None);
        let model = cpu.model.get_or_insert_default();
        model.name = Some(name.clone());
        model.fallback = Some(Fallback::Forbid);
    }
    if let Some(cpu) = &mut domain.cpu {
        said_cpu(cpu, domain.kind, machine.arch);
    }
}

/// Fills in the rest of a CPU that the user began to describe.
fn said_cpu(cpu: &mut Cpu, kind: Option<VirtType>, arch: Arch) {
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
    sve(cpu);
}

/// A length of Arm's vectors is of no use without the vectors.
fn sve(cpu: &mut Cpu) {
    let length = |f: &CpuFeature| f.is_sve_length() && f.policy == Some(FeaturePolicy::Require);
    if cpu.features.iter().any(length) && cpu.features.iter().all(|f| f.name != "sve") {
        let policy = Some(FeaturePolicy::Require);
        cpu.features.push(CpuFeature {
            policy,
            name: "sve".into(),
            ..CpuFeature::default()
        });
    }
}
