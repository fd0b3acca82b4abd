//! CPUs, features, clock, firmware, I/O threads and launch security: defaults and refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{accepted, guest, refused};

fn with(machine: &str, part: &str) -> String {
    guest(machine, "").replace("<os>", &format!("{part}<os>"))
}

fn vcpus(text: &str) -> String {
    with("q35", &format!("<vcpu>2</vcpu><vcpus>{text}</vcpus>"))
}

fn vcpu(id: u32, enabled: &str, pluggable: &str) -> String {
    format!("<vcpu id='{id}' enabled='{enabled}' hotpluggable='{pluggable}'/>")
}

#[test]
fn vcpus_that_contradict_the_count_are_refused() {
    accepted(&vcpus(&(vcpu(0, "yes", "no") + &vcpu(1, "no", "yes"))));
    refused(
        &vcpus(&vcpu(2, "yes", "no")),
        "is not one of the 2 CPUs",
        "<vcpu id='2'",
    );
    refused(
        &vcpus(&vcpu(0, "no", "yes")),
        "the first CPU cannot be disabled",
        "<vcpu id='0'",
    );
    refused(
        &vcpus(&vcpu(0, "yes", "yes")),
        "the first CPU cannot be hotpluggable",
        "<vcpu id='0'",
    );
    refused(
        &vcpus(&vcpu(1, "no", "no")),
        "so it can never run",
        "<vcpu id='1'",
    );
    refused(
        &vcpus(&vcpu(1, "yes", "no").repeat(2)),
        "is described twice",
        "<vcpu id='1'",
    );
    refused(
        &vcpus("<vcpu id='1'/>"),
        "needs the attribute 'enabled'",
        "<vcpu id='1'",
    );
    let ordered = "<vcpu id='0' enabled='yes' order='1'/><vcpu id='1' enabled='yes' order='1'/>";
    refused(
        &vcpus(ordered),
        "CPUs 0 and 1 have the same 'order'",
        "<vcpu id='1'",
    );
}

fn cpu(mode: &str, text: &str) -> String {
    with("q35", &format!("<cpu {mode}>{text}</cpu>"))
}

#[test]
fn cpu_properties_that_do_not_fit_are_refused() {
    let host = "mode='host-passthrough'";
    accepted(&cpu(
        host,
        "<maxphysaddr mode='passthrough' limit='40'/><cache mode='passthrough'/>",
    ));
    refused(
        &cpu(host, "<maxphysaddr mode='passthrough' bits='40'/>"),
        "leave 'bits' out",
        "<maxphysaddr",
    );
    refused(
        &cpu(host, "<maxphysaddr mode='emulate' limit='40'/>"),
        "cannot have a 'limit'",
        "<maxphysaddr",
    );
    let model = "<model>Skylake-Server</model>";
    let passthrough = format!("{model}<maxphysaddr mode='passthrough'/>");
    refused(
        &cpu("", &passthrough),
        "needs the CPU mode 'host-passthrough'",
        "<maxphysaddr",
    );
    refused(
        &cpu("", &format!("{model}<cache mode='passthrough'/>")),
        "needs the CPU mode",
        "<cache",
    );
    refused(
        &cpu(host, "<cache level='2' mode='emulate'/>"),
        "for level='3' only",
        "<cache",
    );
    refused(
        &cpu(host, "<cache level='3' mode='passthrough'/>"),
        "leave 'level' out",
        "<cache",
    );
    let twice = "<feature name='svm'/><feature policy='disable' name='svm'/>";
    refused(&cpu(host, twice), "'svm' is named twice", "<feature policy");
    refused(
        &cpu("", "<model vendor_id='short'>x</model>"),
        "must be 12 letters",
        "<model",
    );
}

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
        refused(&features("q35", feature), only, "<domain");
    }
    for feature in [
        "<apic eoi='on'/>",
        "<pvspinlock/>",
        "<ps2 state='off'/>",
        "<smm/>",
        "<vmport/>",
        "<ioapic driver='kvm'/>",
    ] {
        refused(
            &features("virt", feature),
            "only, not for 'virt'",
            "<domain",
        );
    }
    accepted(&features(
        "q35",
        "<smm state='on'><tseg unit='MiB'>16</tseg></smm>",
    ));
    refused(
        &features("q35", "<smm state='on'><tseg unit='KiB'>16</tseg></smm>"),
        "whole number of MiB",
        "<domain",
    );
    refused(
        &features("q35", "<smm state='off'><tseg unit='MiB'>16</tseg></smm>"),
        "which is off",
        "<domain",
    );
    refused(
        &features("q35", "<tcg><tb-cache>1024</tb-cache></tcg>"),
        "<domain type='qemu'>",
        "<domain",
    );
    refused(&dirty_ring("state='on'"), "needs a 'size'", "<domain");
    refused(
        &dirty_ring("state='on' size='1000'"),
        "power of two from 1024",
        "<dirty-ring",
    );
    refused(
        &dirty_ring("state='on' size='4096'").replace("'kvm'", "'qemu'"),
        "needs <domain type='kvm'>",
        "<domain",
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
    refused(
        &timer("virt", "name='hpet' present='no'"),
        "for x86 only",
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
        &with("q35", "<clock adjustment='soon'/>"),
        "must be a number of seconds or 'reset'",
        "<clock",
    );
}

#[test]
fn counted_iothreads_get_the_lowest_free_ids() {
    let domain = accepted(&with(
        "q35",
        "<iothreads>3</iothreads><iothreadids><iothread id='2'/></iothreadids>",
    ));
    let ids: Vec<_> = domain
        .iothreadids
        .as_ref()
        .unwrap()
        .iothreads
        .iter()
        .map(|t| t.id)
        .collect();
    assert_eq!(ids, [2, 1, 3]);
    let counted = accepted(&with("q35", "<iothreads>2</iothreads>"));
    assert_eq!(counted.iothreadids.as_ref().unwrap().iothreads.len(), 2);
    assert!(!counted.format().contains("<iothreadids>"));
    assert_eq!(
        accepted(&with(
            "q35",
            "<iothreadids><iothread id='4'/></iothreadids>"
        ))
        .iothreads,
        Some(1)
    );
}

fn iothreadids(text: &str) -> String {
    with("q35", &format!("<iothreadids>{text}</iothreadids>"))
}

#[test]
fn contradictory_iothreads_are_refused() {
    refused(
        &iothreadids("<iothread id='1'/><iothread id='1'/>"),
        "iothread 1 is described twice",
        "<iothread",
    );
    refused(
        &iothreadids("<iothread id='0'/>"),
        "must be 1 or more",
        "<iothread",
    );
    let pool = "<iothread id='1' thread_pool_min='9' thread_pool_max='2'/>";
    refused(
        &iothreadids(pool),
        "more than 'thread_pool_max'",
        "<iothread",
    );
    let pin = with(
        "q35",
        "<cputune><iothreadpin iothread='1' cpuset='0'/></cputune>",
    );
    refused(&pin, "there is no such iothread", "<domain");
    let many = with("q35", "<iothreads>4000000000</iothreads>");
    refused(&many, "asks for more than 65536 threads", "<domain");
    let twice = with(
        "q35",
        &format!(
            "<cputune>{}</cputune>",
            "<vcpupin vcpu='0' cpuset='1'/>".repeat(2)
        ),
    );
    refused(&twice, "<vcpupin vcpu='0'> appears twice", "<domain");
}

fn cputune(text: &str) -> String {
    with("q35", &format!("<cputune>{text}</cputune>"))
}

#[test]
fn invalid_limits_are_refused_and_unlimited_ones_dropped() {
    accepted(&cputune(
        "<quota>-1</quota><period>100000</period><vcpupin vcpu='0' cpuset='1-2'/>",
    ));
    refused(
        &cputune("<quota>5</quota>"),
        "<quota> of <cputune> must be at least 1000",
        "<cputune",
    );
    refused(
        &cputune("<global_period>5</global_period>"),
        "from 1000 to 1000000",
        "<cputune",
    );
    refused(
        &cputune("<vcpupin vcpu='0'/>"),
        "needs the attribute 'cpuset'",
        "<vcpupin",
    );
    refused(
        &cputune("<vcpusched vcpus='0' scheduler='fifo'/>"),
        "need a 'priority'",
        "<vcpusched",
    );
    refused(
        &with("q35", "<resource><partition>x</partition></resource>"),
        "starts with '/'",
        "<resource",
    );
    let unlimited = "<memtune><hard_limit unit='KiB'>9007199254740991</hard_limit></memtune>";
    assert_eq!(accepted(&with("q35", unlimited)).memtune, None);
}

fn firmware(loader: &str, rest: &str) -> String {
    let loader = format!("<loader {loader}>/fw</loader>{rest}</os>");
    with("q35", "<features><acpi/></features>").replace("</os>", &loader)
}

#[test]
fn loader_and_nvram_that_disagree_are_refused() {
    let flash = "type='pflash' readonly='yes'";
    accepted(&firmware(
        flash,
        "<nvram type='file'><source file='/vars'/></nvram>",
    ));
    refused(
        &firmware(
            &format!("{flash} stateless='yes'"),
            "<nvram template='/t'/>",
        ),
        "with a template",
        "<nvram",
    );
    refused(
        &firmware(&format!("{flash} stateless='yes'"), "<nvram>/v</nvram>"),
        "keeps nothing",
        "<nvram",
    );
    refused(
        &firmware("type='rom' stateless='no'", ""),
        "only firmware in flash memory",
        "<os",
    );
    refused(
        &firmware("type='pflash' readonly='no'", "<nvram>/v</nvram>"),
        "keeps its variables itself",
        "<nvram",
    );
    refused(
        &firmware("type='pflash' readonly='no' stateless='no'", ""),
        "only read-only firmware",
        "<os",
    );
    refused(
        &firmware(&format!("{flash} secure='yes'"), ""),
        "needs the feature <smm>",
        "<os",
    );
    accepted(
        &firmware(&format!("{flash} secure='yes'"), "")
            .replace("<acpi/>", "<acpi/><smm state='on'/>"),
    );
    let pc =
        firmware(&format!("{flash} secure='yes'"), "").replace("machine='q35'", "machine='pc'");
    refused(&pc, "is for the machine 'q35' only", "<os");
    refused(
        &firmware(flash, "<nvram type='network'/>"),
        "a <source protocol=…> with its <host>",
        "<nvram",
    );
    refused(
        &firmware(flash, "<nvram type='block'><source file='/x'/></nvram>"),
        "a <source dev=…>",
        "<nvram",
    );
    refused(
        &firmware(flash, "<nvram type='file'><source file='/x'/>/v</nvram>"),
        "twice",
        "<nvram",
    );
}

fn smbios(text: &str) -> String {
    with("q35", &format!("<sysinfo type='smbios'>{text}</sysinfo>"))
}

fn fwcfg(text: &str) -> String {
    with(
        "q35",
        &format!("<sysinfo type='fwcfg'><entry {text}</entry></sysinfo>"),
    )
}

#[test]
fn unknown_sysinfo_entries_are_refused() {
    accepted(&smbios("<bios><entry name='vendor'>x</entry></bios>"));
    refused(
        &smbios("<bios><entry name='serial'>x</entry></bios>"),
        "has no entry 'serial'",
        "<sysinfo",
    );
    refused(
        &smbios("<entry name='opt/x'>y</entry>"),
        "is for type 'fwcfg'",
        "<sysinfo",
    );
    accepted(&fwcfg("name='opt/org.example/x'>y"));
    refused(&fwcfg("name='etc/x'>y"), "must begin with 'opt/'", "<entry");
    refused(&fwcfg("name='opt/ovmf/x'>y"), "is reserved", "<entry");
    refused(
        &fwcfg("name='opt/org.example/x' file='/f'>y"),
        "needs either a value or a 'file'",
        "<entry",
    );
}

fn with_last(machine: &str, text: &str) -> String {
    guest(machine, "").replace("</domain>", &format!("{text}</domain>"))
}

#[test]
fn launch_security_of_other_machines_is_refused() {
    let sev = "<launchSecurity type='sev'><policy>3</policy></launchSecurity>";
    accepted(&with_last("q35", sev));
    refused(
        &with_last("virt", sev),
        "is for x86_64 only",
        "<launchSecurity",
    );
    refused(
        &with_last("q35", sev).replace("'kvm'", "'qemu'"),
        "needs <domain type='kvm'>",
        "<launchSecurity",
    );
    refused(
        &with_last("q35", "<launchSecurity type='sev'/>"),
        "needs a <policy>",
        "<launchSecurity",
    );
    refused(
        &with_last("pc", "<launchSecurity type='tdx'/>"),
        "is for the machine 'q35' only",
        "<launchSecurity",
    );
    let keys = "<keywrap><cipher name='aes' state='on'/></keywrap>";
    refused(
        &with_last("q35", keys),
        "<keywrap> is for s390x only",
        "<domain",
    );
}

#[test]
fn elements_without_effect_are_noted_and_kept() {
    let domain = accepted(&with("q35", "<cputune><shares>9</shares></cputune><perf/>"));
    let notes: Vec<_> = domain
        .notes()
        .into_iter()
        .map(|note| note.message)
        .collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].starts_with("<cputune> has no effect")
            && notes[1].starts_with("<perf> has no effect")
    );
    assert!(domain.format().contains("<shares>9</shares>"));
}
