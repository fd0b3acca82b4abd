//! CPUs: number and properties.

use crate::common::{accepted, refused};
use crate::helpers::with;

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
