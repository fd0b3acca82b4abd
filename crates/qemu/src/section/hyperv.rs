//! Features of Hyper-V that the guest sees: properties of the CPU.

use passthru_domain::hyperv::{Hyperv, HypervMode};
use passthru_domain::toggle::{OnOff, Toggle};

use super::machine::is_on;
use crate::line::{Properties, Term};

/// Returns the properties in libvirt's order. Features that are off are left out, as QEMU's default
/// is off.
pub(crate) fn properties(hyperv: &Hyperv) -> Properties {
    if hyperv.mode == Some(HypervMode::Passthrough) {
        return vec![("hv-passthrough".into(), true.into())];
    }
    let stimer = hyperv
        .stimer
        .as_ref()
        .filter(|stimer| stimer.state != Some(OnOff::Off));
    let tlbflush = hyperv
        .tlbflush
        .as_ref()
        .filter(|tlbflush| tlbflush.state != Some(OnOff::Off));
    let spinlocks = hyperv
        .spinlocks
        .as_ref()
        .filter(|spinlocks| spinlocks.state != Some(OnOff::Off));
    let vendor = hyperv
        .vendor_id
        .as_ref()
        .filter(|vendor| vendor.state != Some(OnOff::Off));
    let all = [
        ("hv-relaxed", on(&hyperv.relaxed)),
        ("hv-vapic", on(&hyperv.vapic)),
        (
            "hv-spinlocks",
            spinlocks.and_then(|spinlocks| Some(format!("0x{:x}", spinlocks.retries?).into())),
        ),
        ("hv-vpindex", on(&hyperv.vpindex)),
        ("hv-runtime", on(&hyperv.runtime)),
        ("hv-synic", on(&hyperv.synic)),
        ("hv-stimer", stimer.map(|_| true.into())),
        (
            "hv-stimer-direct",
            stimer.and_then(|stimer| on(&stimer.direct)),
        ),
        ("hv-reset", on(&hyperv.reset)),
        (
            "hv-vendor-id",
            vendor
                .and_then(|vendor| vendor.value.as_deref())
                .map(Term::from),
        ),
        ("hv-frequencies", on(&hyperv.frequencies)),
        ("hv-reenlightenment", on(&hyperv.reenlightenment)),
        ("hv-tlbflush", tlbflush.map(|_| true.into())),
        (
            "hv-tlbflush-direct",
            tlbflush.and_then(|tlbflush| on(&tlbflush.direct)),
        ),
        (
            "hv-tlbflush-ext",
            tlbflush.and_then(|tlbflush| on(&tlbflush.extended)),
        ),
        ("hv-ipi", on(&hyperv.ipi)),
        ("hv-evmcs", on(&hyperv.evmcs)),
        ("hv-avic", on(&hyperv.avic)),
        ("hv-emsr-bitmap", on(&hyperv.emsr_bitmap)),
        ("hv-xmm-input", on(&hyperv.xmm_input)),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Returns true for a feature that is given and on.
fn on(toggle: &Option<Toggle>) -> Option<Term> {
    let is_on = toggle.as_ref().is_some_and(is_on);
    is_on.then_some(Term::Bool(true))
}
