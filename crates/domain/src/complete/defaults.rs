//! Defaults of the guest as a whole: memory, CPUs, boot, clock, features.

use crate::cpu::Fallback;
use crate::device::Memballoon;
use crate::device::memballoon::MemballoonModel;
use crate::device::rng::RngBackendModel;
use crate::{
    Arch, Board, BootDevice, ClockOffset, Cpu, CpuCheck, CpuFeature, CpuMatch, CpuMode, CrashAction, Domain,
    FeaturePolicy, GicVersion, LifecycleAction, LoaderType, Machine, Memory, Placement, VirtType,
};

pub(super) fn fill(domain: &mut Domain, machine: &Machine) {
    domain.current_memory = domain.current_memory.or(domain.memory.map(|m| Memory::from_bytes(m.bytes())));
    let vcpu = domain.vcpu.get_or_insert_default();
    vcpu.count.get_or_insert(1);
    vcpu.placement.get_or_insert(Placement::Static);
    boot(domain);
    if let Some(loader) = domain.os.loader.as_mut().filter(|l| l.path.is_some()) {
        loader.kind.get_or_insert(LoaderType::Rom);
    }
    domain.clock.get_or_insert_default().offset.get_or_insert(ClockOffset::Utc);
    domain.on_poweroff.get_or_insert(LifecycleAction::Destroy);
    domain.on_reboot.get_or_insert(LifecycleAction::Restart);
    domain.on_crash.get_or_insert(CrashAction::Destroy);
    gic(domain, machine.board);
    cpu(domain, machine);
    balloon(domain, machine.arch);
    for backend in domain.devices.rngs.iter_mut().filter_map(|rng| rng.backend.as_mut()) {
        if backend.model == Some(RngBackendModel::Random) {
            backend.path.get_or_insert_with(|| "/dev/random".into());
        }
    }
}

/// A guest boots from its hard disk, unless its devices have an order of their own.
fn boot(domain: &mut Domain) {
    if domain.os.boot.is_empty() && domain.devices.boot_orders().is_empty() {
        domain.os.boot.push(BootDevice::Hd);
    }
}

/// Arm's virtual machine always has an interrupt controller of some version: with KVM the one that hosts
/// able to assign devices have.
fn gic(domain: &mut Domain, board: Board) {
    if board == Board::Virt {
        let usual = if domain.kind == Some(VirtType::Kvm) { GicVersion::V3 } else { GicVersion::V2 };
        let features = domain.features.get_or_insert_default();
        features.gic.get_or_insert_default().version.get_or_insert(usual);
    }
}

fn cpu(domain: &mut Domain, machine: &Machine) {
    let unsaid = |cpu: &Cpu| cpu.mode.is_none_or(|m| m == CpuMode::Custom) && cpu.model.is_none();
    if domain.cpu.as_ref().is_none_or(unsaid)
        && let Some(name) = &machine.cpu
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
        cpu.features.push(CpuFeature { policy, name: "sve".into() });
    }
}

/// x86 and Z guests have a balloon unless they say otherwise.
fn balloon(domain: &mut Domain, arch: Arch) {
    if domain.devices.memballoon.is_none() && arch != Arch::Aarch64 {
        domain.devices.memballoon =
            Some(Memballoon { model: Some(MemballoonModel::Virtio), ..Memballoon::default() });
    }
}
