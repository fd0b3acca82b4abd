//! The guest's CPUs: `-cpu` and `-smp`.

use super::machine::is_on;
use super::opt::{List, Opt};
use super::{Context, Error};
use passthru_domain::{Cpu, CpuFeature, CpuMode, FeaturePolicy, Features, Vcpu};

/// `-cpu`. A machine whose CPU the domain does not name keeps its own.
pub(super) fn model(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let extra = extra_properties(context);
    let Some(model) = name(context) else {
        return match extra.is_empty() {
            true => Ok(Vec::new()),
            false => Err(Error::unsupported("a property of the CPU without a <cpu> that names its model")),
        };
    };
    let cpu = context.domain.cpu.as_ref();
    let list = List::new(model).maybe("migratable", cpu.and_then(|cpu| cpu.migratable));
    let features = cpu.into_iter().flat_map(|cpu| &cpu.features).filter_map(property);
    let properties = features.chain(extra);
    let list = properties.fold(list, |list, (name, on)| list.with(name, on));
    Ok(vec![Opt::list("-cpu", list)])
}

/// The model's name. `host-model` is the host's CPU where KVM can give it: a line that is made without
/// looking at the host knows no nearer model.
fn name(context: &Context<'_>) -> Option<String> {
    let whole = if context.is_kvm() { "host" } else { "max" };
    let named = |cpu: &Cpu| cpu.model.as_ref().and_then(|model| model.name.clone());
    let cpu = context.domain.cpu.as_ref();
    match cpu.and_then(|cpu| cpu.mode) {
        Some(CpuMode::HostPassthrough) => Some("host".into()),
        Some(CpuMode::HostModel) => Some(whole.into()),
        Some(CpuMode::Maximum) => Some("max".into()),
        Some(CpuMode::Custom) | None => cpu.and_then(named).or_else(|| context.machine.cpu.clone()),
    }
}

fn property(feature: &CpuFeature) -> Option<(String, bool)> {
    let on = match feature.policy.unwrap_or(FeaturePolicy::Require) {
        FeaturePolicy::Force | FeaturePolicy::Require => true,
        FeaturePolicy::Disable | FeaturePolicy::Forbid => false,
        FeaturePolicy::Optional => return None,
    };
    // The XML has underscores in some names where QEMU has dashes.
    Some((feature.name.replace('_', "-"), on))
}

/// What other elements say of the CPU: paravirtual clocks, hidden KVM, performance counters.
fn extra_properties(context: &Context<'_>) -> Vec<(String, bool)> {
    let none = Features::default();
    let features = context.domain.features.as_ref().unwrap_or(&none);
    let hidden = features.kvm.as_ref().and_then(|kvm| kvm.hidden.as_ref()).is_some_and(is_on);
    let mut properties = super::clock::cpu_properties(context);
    properties.extend(features.pmu.as_ref().map(|pmu| ("pmu", is_on(pmu))));
    properties.extend(hidden.then_some(("kvm", false)));
    properties.into_iter().map(|(name, on)| (name.to_owned(), on)).collect()
}

/// `-smp`: without a `<topology>` every CPU is a socket.
pub(super) fn topology(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let vcpu = context.domain.vcpu.clone().unwrap_or_else(|| Vcpu { count: Some(1), ..Vcpu::default() });
    let max = vcpu.count.unwrap_or(1);
    let current = vcpu.current.unwrap_or(max);
    let list = List::new(current).maybe("maxcpus", (current != max).then_some(max));
    let list = match context.domain.cpu.as_ref().and_then(|cpu| cpu.topology.as_ref()) {
        Some(topology) => list
            .with("sockets", topology.sockets)
            .with("dies", topology.dies.unwrap_or(1))
            .with("clusters", topology.clusters.unwrap_or(1))
            .with("cores", topology.cores)
            .with("threads", topology.threads),
        None => list.with("sockets", max).with("cores", 1u32).with("threads", 1u32),
    };
    Ok(vec![Opt::list("-smp", list)])
}
