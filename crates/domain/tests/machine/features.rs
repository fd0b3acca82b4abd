//! Features and timers.

use passthru_domain::Domain;

use crate::common::{accepted, refused};
use crate::helpers::with;

fn hyperv(text: &str) -> String {
    features("q35", &format!("<hyperv>{text}</hyperv>"))
}

fn dirty_ring(text: &str) -> String {
    features("q35", &format!("<kvm><dirty-ring {text}/></kvm>"))
}

fn features(machine: &str, text: &str) -> String {
    with(machine, &format!("<features>{text}</features>"))
}

#[test]
fn features_of_other_machines_are_refused() {
    for (feature, only) in [
        ("<ras/>", "aarch64"),
        ("<htm state='on'/>", "pseries"),
        ("<cfpc value='fixed'/>", "pseries"),
    ] {
        refused(&features("q35", feature), only, feature);
    }

    for feature in [
        "<apic eoi='on'/>",
        "<pvspinlock/>",
        "<ps2 state='off'/>",
        "<smm/>",
        "<vmport/>",
        "<ioapic driver='kvm'/>",
    ] {
        refused(&features("virt", feature), "only, not for 'virt'", feature);
    }

    accepted(&features(
        "q35",
        "<smm state='on'><tseg unit='MiB'>16</tseg></smm>",
    ));
    refused(
        &features("q35", "<smm state='on'><tseg unit='KiB'>16</tseg></smm>"),
        "whole number of MiB",
        "<smm",
    );
    refused(
        &features("q35", "<smm state='off'><tseg unit='MiB'>16</tseg></smm>"),
        "which is off",
        "<smm",
    );
    refused(
        &features("q35", "<tcg><tb-cache>1024</tb-cache></tcg>"),
        "<domain type='qemu'>",
        "<tcg",
    );
    refused(&dirty_ring("state='on'"), "needs a 'size'", "<kvm");
    refused(
        &dirty_ring("state='on' size='1000'"),
        "power of two from 1024",
        "<dirty-ring",
    );
    refused(
        &dirty_ring("state='on' size='4096'").replace("'kvm'", "'qemu'"),
        "needs <domain type='kvm'>",
        "<kvm",
    );
    refused(
        &hyperv("<spinlocks state='on' retries='4'/>"),
        "4095 or more",
        "<spinlocks",
    );
    refused(
        &hyperv("<vendor_id state='on' value='much too long'/>"),
        "up to 12",
        "<vendor_id",
    );
    refused(
        &hyperv("<relaxd state='on'/>"),
        "<relaxd> is not understood",
        "<relaxd",
    );
}

#[test]
fn feature_without_a_state_is_on_and_absent_stays_absent() {
    let domain = accepted(&with(
        "q35",
        "<features><pvspinlock/><pmu state='off'/><hyperv/></features>",
    ));
    let text = domain.format();
    assert!(text.contains("<pvspinlock state='on'/>"), "{text}");
    assert!(
        text.contains("<pmu state='off'/>") && text.contains("<hyperv mode='custom'/>"),
        "{text}"
    );
    assert!(
        !text.contains("<vmport") && !text.contains("<smm"),
        "{text}"
    );
}

fn timer(machine: &str, text: &str) -> String {
    with(machine, &format!("<clock><timer {text}/></clock>"))
}

#[test]
fn timers_of_other_machines_are_refused() {
    accepted(&timer(
        "q35",
        "name='rtc' tickpolicy='catchup' track='guest'",
    ));
    refused(
        &timer("q35", "name='platform'"),
        "for guests of Xen only",
        "<timer",
    );
    refused(
        &timer("q35", "name='armvtimer' tickpolicy='delay'"),
        "for aarch64 only",
        "<timer",
    );
    for name in ["hpet", "kvmclock", "tsc"] {
        let present = timer("virt", &format!("name='{name}' present='yes'"));
        refused(&present, "for x86 only", "<timer");
    }

    refused(
        &timer("microvm", "name='hpet' present='yes'"),
        "does not have the timer 'hpet'",
        "<timer",
    );
    accepted(&timer("microvm", "name='hpet' present='no'"));
    refused(
        &timer("virt", "name='armvtimer' present='no'"),
        "cannot be left out",
        "<timer",
    );
    refused(
        &timer("virt", "name='armvtimer'").replace("'kvm'", "'qemu'"),
        "needs <domain type='kvm'>",
        "<timer",
    );
    refused(
        &timer("virt", "name='pit' tickpolicy='catchup'"),
        "has no tickpolicy 'catchup'",
        "<timer",
    );
    refused(
        &timer("q35", "name='rtc' tickpolicy='merge'"),
        "has no tickpolicy 'merge'",
        "<timer",
    );
    refused(
        &timer("q35", "name='rtc' track='boot'"),
        "is for guests of Xen only",
        "<timer",
    );
    refused(
        &timer("q35", "name='pit' frequency='5'"),
        "only 'tsc' has",
        "<timer",
    );
    refused(
        &timer("q35", "name='pit' track='guest'"),
        "only 'rtc' can",
        "<timer",
    );
    refused(
        &timer("q35", "name='hpet' mode='native'"),
        "only 'tsc' has",
        "<timer",
    );
    refused(
        &timer("q35", "name='kvmclock' tickpolicy='delay'"),
        "has no tickpolicy 'delay'",
        "<timer",
    );
    let limited = "<clock><timer name='rtc'><catchup slew='7'/></timer></clock>";
    refused(
        &with("q35", limited),
        "needs tickpolicy='catchup'",
        "<timer",
    );
    let twice = with(
        "q35",
        &format!("<clock>{}</clock>", "<timer name='pit'/>".repeat(2)),
    );
    refused(&twice, "the timer 'pit' is described twice", "<timer");
    refused(
        &with("q35", "<clock offset='timezone'/>"),
        "needs the attribute 'timezone'",
        "<clock",
    );
    refused(
        &with("q35", "<clock offset='absolute' start='253402300800'/>"),
        "the end of the year 9999",
        "<domain",
    );
    refused(
        &with("q35", "<clock adjustment='soon'/>"),
        "must be a number of seconds or 'reset'",
        "<clock",
    );
}

#[test]
fn absent_timers_of_other_architectures_are_accepted() {
    for machine in ["virt", "s390-ccw-virtio"] {
        for name in ["hpet", "pit", "tsc", "kvmclock", "hypervclock"] {
            let domain = accepted(&timer(machine, &format!("name='{name}' present='no'")));
            assert_eq!(
                timer_notes(&domain),
                Vec::<String>::new(),
                "{machine} {name}"
            );
        }
    }

    for (text, expected) in [
        (
            "name='tsc' frequency='1000'",
            "frequency of the timer 'tsc'",
        ),
        ("name='pit' present='yes'", "present of the timer 'pit'"),
    ] {
        let notes = timer_notes(&accepted(&timer("virt", text)));
        let expected = format!("{expected} has no effect: aarch64 has no such timer");
        assert_eq!(notes, [expected]);
    }
}

#[test]
fn timer_settings_without_effect_are_accepted_and_noted() {
    for (text, setting) in [
        (
            "name='hpet' present='no' tickpolicy='catchup'",
            "tickpolicy",
        ),
        ("name='hpet' tickpolicy='merge'", "tickpolicy"),
        ("name='tsc' tickpolicy='discard'", "tickpolicy"),
        ("name='tsc' mode='paravirt'", "mode"),
        ("name='rtc' present='no'", "present"),
    ] {
        let notes = timer_notes(&accepted(&timer("q35", text)));
        assert!(
            matches!(&notes[..], [note] if note.starts_with(setting)),
            "{text}: {notes:?}"
        );
    }
}

fn timer_notes(domain: &Domain) -> Vec<String> {
    let notes = domain.notes().into_iter().map(|note| note.message);
    notes.filter(|message| message.contains("timer")).collect()
}
