//! Defaults of the guest as a whole: memory, CPUs, boot, clock, features.

use crate::model::clock::ClockOffset;
use crate::model::device::Memballoon;
use crate::model::device::memballoon::MemballoonModel;
use crate::model::device::rng::RngBackendModel;
use crate::model::domain::{Domain, VirtType};
use crate::model::features::{Features, GicVersion};
use crate::model::hyperv::HypervMode;
use crate::model::lifecycle::{CrashAction, LifecycleAction};
use crate::model::os::{Arch, BootDevice};
use crate::model::toggle::{OnOff, Toggle};
use crate::model::vcpu::Placement;
use crate::platform::{Board, Machine};

/// Fills in the defaults that do not depend on a device.
pub(super) fn fill(domain: &mut Domain, machine: &Machine) {
    let vcpu = domain.vcpu.get_or_insert_default();
    vcpu.count.get_or_insert(1);
    vcpu.placement.get_or_insert(Placement::Static);
    fill_boot(domain);
    domain
        .clock
        .get_or_insert_default()
        .offset
        .get_or_insert(ClockOffset::Utc);
    domain.on_poweroff.get_or_insert(LifecycleAction::Destroy);
    domain.on_reboot.get_or_insert(LifecycleAction::Restart);
    domain.on_crash.get_or_insert(CrashAction::Destroy);
    fill_gic(domain, machine.board);
    fill_features(domain);
    add_balloon(domain, machine.arch);
    for backend in domain
        .devices
        .rngs
        .iter_mut()
        .filter_map(|rng| rng.backend.as_mut())
    {
        if backend.model == Some(RngBackendModel::Random) {
            backend.path.get_or_insert_with(|| "/dev/random".into());
        }
    }
}

/// Sets the boot device to the hard disk, unless devices have a boot order.
fn fill_boot(domain: &mut Domain) {
    if domain.os.boot.is_empty() && domain.devices.boot_orders().is_empty() {
        domain.os.boot.push(BootDevice::Hd);
    }
}

/// Sets the version of Arm's interrupt controller. With KVM the default is version 3, which hosts
/// that can assign devices have.
fn fill_gic(domain: &mut Domain, board: Board) {
    if board == Board::Virt {
        let default = if domain.kind == Some(VirtType::Kvm) {
            GicVersion::V3
        } else {
            GicVersion::V2
        };
        let features = domain.features.get_or_insert_default();
        features
            .gic
            .get_or_insert_default()
            .version
            .get_or_insert(default);
    }
}

/// Switches on each feature that has no state.
fn fill_features(domain: &mut Domain) {
    let Some(features) = &mut domain.features else {
        return;
    };
    if let Some(hyperv) = &mut features.hyperv {
        hyperv.mode.get_or_insert(HypervMode::Custom);
    }
    for toggle in toggles(features).into_iter().flatten() {
        toggle.state.get_or_insert(OnOff::On);
    }
    if let Some(smm) = &mut features.smm {
        smm.state.get_or_insert(OnOff::On);
    }
    if let Some(teardown) = &mut features.async_teardown {
        teardown.enabled.get_or_insert(true);
    }
}

/// Returns the features that have a state and nothing else.
fn toggles(features: &mut Features) -> [Option<&mut Toggle>; 10] {
    [
        features.hap.as_mut(),
        features.pvspinlock.as_mut(),
        features.pmu.as_mut(),
        features.vmport.as_mut(),
        features.htm.as_mut(),
        features.nested_hv.as_mut(),
        features.ccf_assist.as_mut(),
        features.vmcoreinfo.as_mut(),
        features.ras.as_mut(),
        features.ps2.as_mut(),
    ]
}

/// Adds a memory balloon to x86 and Z guests that describe none.
fn add_balloon(domain: &mut Domain, arch: Arch) {
    if domain.devices.memballoon.is_none() && arch != Arch::Aarch64 {
        domain.devices.memballoon = Some(Memballoon {
            model: Some(MemballoonModel::Virtio),
            ..Memballoon::default()
        });
    }
}
