//! The guest's CPUs: `-cpu` and `-smp`.

use passthru_domain::cpu::{
    Cpu, CpuCacheMode, CpuFeature, CpuMode, FeaturePolicy, MaxphysaddrMode,
};
use passthru_domain::device::panic::PanicModel;
use passthru_domain::features::{Features, Kvm};
use passthru_domain::toggle::{OnOff, Toggle};
use passthru_domain::vcpu::{Vcpu, Vcpus};

use super::hyperv;
use super::machine::is_on;
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Opt, Properties, Term};

/// Returns `-cpu`; none if the domain names no CPU, so that the machine keeps its default.
pub(crate) fn model(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let extra = extra_properties(context);
    let Some(model) = name(context) else {
        return if extra.is_empty() {
            Ok(Vec::new())
        } else {
            Err(Error::unsupported(
                "a property of the CPU without a <cpu> that names its model",
            ))
        };
    };
    let cpu = context.domain.cpu.as_ref();
    if cpu.is_some_and(|cpu| cpu.deprecated_features == Some(false)) {
        return Err(Error::unsupported("<cpu deprecated_features='off'>"));
    }
    let list = List::new(model)
        .maybe("migratable", cpu.and_then(|cpu| cpu.migratable))
        .maybe(
            "vendor",
            cpu.and_then(|cpu| cpu.model.as_ref()?.vendor_id.as_deref()),
        );
    let features = cpu
        .into_iter()
        .flat_map(|cpu| &cpu.features)
        .filter_map(property);
    let features = features.map(|(name, on)| (name, Term::from(on)));
    let properties = features.chain(extra);
    let list = properties.fold(list, |list, (name, value)| list.with(name, value));
    Ok(vec![Opt::list("-cpu", list)])
}

/// Returns the model's name. `host-model` becomes `host` with KVM and `max` without: a line that is
/// made without a host knows no closer model.
fn name(context: &Context<'_>) -> Option<String> {
    let whole = if context.is_kvm() { "host" } else { "max" };
    let cpu = context.domain.cpu.as_ref();
    match cpu.and_then(|cpu| cpu.mode) {
        Some(CpuMode::HostPassthrough) => Some("host".into()),
        Some(CpuMode::HostModel) => Some(whole.into()),
        Some(CpuMode::Maximum) => Some("max".into()),
        Some(CpuMode::Custom) | None => cpu?.model.as_ref()?.name.clone(),
    }
}

fn property(feature: &CpuFeature) -> Option<(String, bool)> {
    let on = match feature.policy.unwrap_or(FeaturePolicy::Require) {
        FeaturePolicy::Force | FeaturePolicy::Require => true,
        FeaturePolicy::Disable | FeaturePolicy::Forbid => false,
        FeaturePolicy::Optional => return None,
    };
    // Some names have underscores in the XML and dashes in QEMU.
    Some((feature.name.replace('_', "-"), on))
}

/// Returns the properties that come from elements other than `<feature>`, in libvirt's order.
fn extra_properties(context: &Context<'_>) -> Properties {
    let none = Features::default();
    let features = context.domain.features.as_ref().unwrap_or(&none);
    let mut properties = super::clock::cpu_properties(context);
    let eoi = features.apic.as_ref().and_then(|apic| apic.eoi);
    properties.extend(eoi.map(|eoi| ("kvm-pv-eoi".into(), (eoi == OnOff::On).into())));
    properties.extend(toggle("kvm-pv-unhalt", features.pvspinlock.as_ref()));
    properties.extend(
        features
            .hyperv
            .as_ref()
            .map(hyperv::properties)
            .unwrap_or_default(),
    );
    properties.extend(crash_registers(context));
    properties.extend(features.kvm.as_ref().map(of_kvm).unwrap_or_default());
    properties.extend(toggle("pmu", features.pmu.as_ref()));
    properties.extend(context.domain.cpu.as_ref().map(of_cpu).unwrap_or_default());
    properties
}

/// Returns `hv-crash`, by which a guest that knows Hyper-V reports a crash, for
/// `<panic model='hyperv'/>`. As in libvirt, the property stands without a value.
fn crash_registers(context: &Context<'_>) -> Option<(String, Term)> {
    let mut panics = context.domain.devices.panics.iter();
    let is_given = panics.any(|panic| panic.model == Some(PanicModel::Hyperv));
    is_given.then(|| (String::new(), "hv-crash".into()))
}

fn toggle(name: &str, toggle: Option<&Toggle>) -> Option<(String, Term)> {
    toggle.map(|toggle| (name.to_owned(), is_on(toggle).into()))
}

/// Returns the properties of `<kvm>`. A feature that has QEMU's default is left out.
fn of_kvm(kvm: &Kvm) -> Properties {
    let all = [
        ("kvm", is_set(&kvm.hidden, true), false),
        (
            "kvm-hint-dedicated",
            is_set(&kvm.hint_dedicated, true),
            true,
        ),
        ("kvm-poll-control", is_set(&kvm.poll_control, true), true),
        ("kvm-pv-ipi", is_set(&kvm.pv_ipi, false), false),
    ];
    let said = all.into_iter().filter(|(_, said, _)| *said);
    said.map(|(name, _, value)| (name.to_owned(), value.into()))
        .collect()
}

/// Returns whether a feature is given, with this state.
fn is_set(toggle: &Option<Toggle>, on: bool) -> bool {
    toggle.as_ref().is_some_and(|toggle| is_on(toggle) == on)
}

/// Returns the properties of caches, and of the width of physical addresses.
fn of_cpu(cpu: &Cpu) -> Properties {
    let whole = matches!(cpu.mode, Some(CpuMode::HostPassthrough | CpuMode::Maximum));
    let mut properties: Vec<(&str, Term)> = Vec::new();
    match cpu.cache.as_ref().and_then(|cache| cache.mode) {
        Some(CpuCacheMode::Emulate) => {
            properties.push(("l3-cache", true.into()));
            properties.extend(whole.then(|| ("host-cache-info", false.into())));
        }
        Some(CpuCacheMode::Passthrough) => {
            properties.push(("host-cache-info", true.into()));
            properties.push(("l3-cache", false.into()));
        }
        Some(CpuCacheMode::Disable) => {
            properties.extend(whole.then(|| ("host-cache-info", false.into())));
            properties.push(("l3-cache", false.into()));
        }
        None => {}
    }

    if let Some(width) = &cpu.maxphysaddr {
        match (width.mode, width.bits) {
            (Some(MaxphysaddrMode::Passthrough), _) => {
                properties.push(("host-phys-bits", true.into()));
                properties.extend(
                    width
                        .limit
                        .map(|limit| ("host-phys-bits-limit", limit.into())),
                );
            }
            (_, Some(bits)) => properties.push(("phys-bits", bits.into())),
            (_, None) => properties.push(("host-phys-bits", false.into())),
        }
    }

    properties
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Returns `-smp`. Without a `<topology>`, every CPU is a socket.
pub(crate) fn topology(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let vcpu = context.domain.vcpu.clone().unwrap_or_else(|| Vcpu {
        count: Some(1),
        ..Vcpu::default()
    });
    let max = vcpu.count.unwrap_or(1);
    let current = context
        .domain
        .vcpus
        .as_ref()
        .map_or(vcpu.current.unwrap_or(max), fixed_cpus);
    let list = List::new(current).maybe("maxcpus", (current != max).then_some(max));
    let list = match context
        .domain
        .cpu
        .as_ref()
        .and_then(|cpu| cpu.topology.as_ref())
    {
        Some(topology) => list
            .with("sockets", topology.sockets)
            .with("dies", topology.dies.unwrap_or(1))
            .with("clusters", topology.clusters.unwrap_or(1))
            .with("cores", topology.cores)
            .with("threads", topology.threads),
        None => list
            .with("sockets", max)
            .with("cores", 1u32)
            .with("threads", 1u32),
    };
    Ok(vec![Opt::list("-smp", list)])
}

/// Returns the number of CPUs that cannot be unplugged. The others are added after the start.
fn fixed_cpus(vcpus: &Vcpus) -> u32 {
    let fixed = vcpus
        .vcpus
        .iter()
        .filter(|v| v.enabled == Some(true) && v.hotpluggable != Some(true));
    u32::try_from(fixed.count()).unwrap_or(u32::MAX)
}
