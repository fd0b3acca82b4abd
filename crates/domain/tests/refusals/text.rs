//! Unknown text, malformed words, paths and names.

use crate::common;
use crate::common::{check, guest};
use crate::helpers::refused;

#[test]
fn unknown_text_is_refused() {
    refused(
        "q35",
        "<disks/>",
        "<disks> is not understood within <devices>",
        "<disks/>",
    );
    refused(
        "q35",
        "<rng model='virtoi'><backend model='builtin'/></rng>",
        "'virtoi'",
        "virtoi",
    );
    refused(
        "q35",
        "<memballoon model='none' moddel='x'/>",
        "no attribute 'moddel'",
        "moddel",
    );
    refused(
        "q35",
        "<controller type='pci' index='-1'/>",
        "'index' of <controller> is '-1'",
        "-1",
    );
    refused(
        "q35",
        "<memballoon model='none'>x</memballoon>",
        "cannot hold text",
        "x",
    );
    refused(
        "q35",
        "<memballoon model='none'/><memballoon model='none'/>",
        "appears twice",
        "<memballoon",
    );
}

#[test]
fn text_between_elements_is_shown_alone() {
    let devices = "\n  <memballoon model='none'/>\n  stray words\n  and more\n";
    let xml = guest("q35", devices);
    let errors = check(&xml).unwrap_err();
    let found: Vec<_> = errors.iter().collect();

    assert_eq!(found.len(), 1, "{errors}");
    assert_eq!(
        found[0].message,
        "<devices> cannot hold text: 'stray words'"
    );
    assert_eq!(&xml[found[0].span.clone().unwrap()], "stray words");
}

#[test]
fn missing_closing_quote_is_said_in_plain_words() {
    for quote in ["'", "\""] {
        let xml = guest("q35", &format!("<memballoon model={quote}none/>"));
        let errors = check(&xml).unwrap_err();
        let error = errors.iter().next().unwrap();
        assert_eq!(
            error.message,
            "not well-formed XML: the attribute's closing quote is missing"
        );
        let place = format!("{quote}none/>");
        assert_eq!(xml[error.span.clone().unwrap()], place);
    }

    let middle = guest("q35", "<hostdev mode='subsystem type='pci'/>");
    common::refused(&middle, "an earlier quote may be missing", "p");
    let cut = guest("q35", "").replace("</devices>\n</domain>", "<memballoon model=");
    common::refused(&cut, "the text ends too early", "");
}

#[test]
fn faulty_value_is_not_also_reported_missing() {
    let errors = check(&guest("q35", "<interface type='bridge'/>")).unwrap_err();
    assert_eq!(errors.iter().count(), 1, "{errors}");

    let good = guest("q35", "");
    for (from, to) in [
        ("<memory>1048576", "<memory>TBD"),
        ("<name>t", "<name>.."),
        ("type='kvm'", "type='kmv'"),
    ] {
        let errors = check(&good.replace(from, to)).unwrap_err();
        assert_eq!(errors.iter().count(), 1, "{errors}");
    }

    for device in [
        "<rng model='virtio'><backend model='x'/></rng>",
        "<memballoon model='virtio'><stats period='x'/></memballoon>",
        "<hostdev mode='subsystem' type='pci'><source><address bus='0x1g'/></source></hostdev>",
    ] {
        let errors = check(&guest("q35", device)).unwrap_err();
        assert_eq!(errors.iter().count(), 1, "{errors}");
    }
}

#[test]
fn faulty_part_hides_no_other_missing_part() {
    let xml = guest("q35", "").replace("<name>t</name>", "");
    let errors = check(&xml.replace("1048576", "TBD")).unwrap_err();
    let messages: Vec<_> = errors.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(messages[0], "<domain> needs a <name>");
    assert!(messages[1].contains("TBD"), "{messages:?}");
}

#[test]
fn all_errors_come_at_once_in_source_order() {
    let devices = "<disk type='file'><target dev='vda'/></disk><iommu model='smmuv3'/>\
        <controller type='ide'/>";
    let errors = check(&guest("q35", devices)).unwrap_err();
    let starts: Vec<_> = errors
        .iter()
        .map(|e| e.span.clone().unwrap().start)
        .collect();
    assert_eq!(starts.len(), 3, "{errors}");
    assert!(starts.is_sorted());
}

#[test]
fn parse_errors_come_in_source_order() {
    let errors = check(&guest("q35", "<memballoon model='x'/><disk type='y'/>")).unwrap_err();
    let starts: Vec<_> = errors
        .iter()
        .map(|e| e.span.clone().unwrap().start)
        .collect();
    assert!(starts.len() >= 2 && starts.is_sorted(), "{errors}");
}

fn with_cpu(cpu: &str) -> String {
    guest("q35", "").replace("<os>", &format!("<cpu mode='custom'>{cpu}</cpu><os>"))
}

#[test]
fn cpu_words_that_would_be_options_are_refused() {
    for word in ["Penryn,kvm=off", "a=b", "a b"] {
        let words = format!("is '{word}': expected letters, digits");
        common::refused(
            &with_cpu(&format!("<model>{word}</model>")),
            &words,
            "<model",
        );
        let feature = format!("<model>Penryn</model><feature policy='require' name='{word}'/>");
        common::refused(&with_cpu(&feature), &words, word);
    }

    common::refused(
        &with_cpu("<feature name=''/>"),
        "'name' of <feature> is ''",
        "",
    );
    let usual = "<model>Opteron_G3-v1</model><feature name='sse4.1'/><feature name='sve512'/>";
    check(&with_cpu(usual)).unwrap();
}

fn disk_with_empty(source: &str) -> String {
    format!("<disk type='file'><source {source}=''/><target dev='vda'/></disk>")
}

#[test]
fn empty_and_relative_paths_are_refused() {
    refused(
        "q35",
        &disk_with_empty("file"),
        "'file' of <source> is '': expected the path of a file",
        "",
    );
    refused(
        "q35",
        &disk_with_empty("dev"),
        "'dev' of <source> is ''",
        "",
    );
    for (element, at) in [
        ("<kernel/>", "<kernel/>"),
        ("<kernel>/k</kernel><initrd> </initrd>", "<initrd>"),
    ] {
        let xml = guest("q35", "").replace("</os>", &format!("{element}</os>"));
        common::refused(&xml, "is '': expected the path of a file", at);
    }

    let nvram = "<loader type='pflash'>/l</loader><nvram template=''>/n</nvram></os>";
    common::refused(
        &guest("q35", "").replace("</os>", nvram),
        "'template' of <nvram> is ''",
        "",
    );
    for emulator in ["", "qemu-system-x86_64", "./qemu"] {
        let devices = format!("<emulator>{emulator}</emulator>");
        refused(
            "q35",
            &devices,
            "expected a path that starts with '/'",
            "<emulator>",
        );
    }
}

fn named_guest(name: &str) -> String {
    guest("q35", "").replace("<name>t<", &format!("<name>{name}<"))
}

#[test]
fn guest_name_that_is_not_a_file_name_is_refused() {
    common::refused(
        &named_guest(".."),
        "<name> is '..': '.' and '..' are folders, not names",
        "<name>",
    );
    common::refused(
        &named_guest("it's/x"),
        "<name> is 'it's/x': expected a name without a slash or control character",
        "<name>",
    );
    common::refused(
        &named_guest("a\nb"),
        r"<name> is 'a\nb': expected a name without a slash",
        "<name>",
    );
    common::refused(&named_guest(""), "<name> is '': expected a name", "<name>");
    common::refused(
        &guest("q35", "").replace("<name>t</name>", ""),
        "needs a <name>",
        "<domain",
    );
}

fn qemu_property(property: &str) -> String {
    qemu_override(&format!(
        "<x:device alias='a'><x:frontend><x:property name='p' {property}/></x:frontend></x:device>"
    ))
}

fn qemu_override(inner: &str) -> String {
    let inner = format!(
        "</devices>\
         <x:override xmlns:x='http://libvirt.org/schemas/domain/qemu/1.0'>{inner}</x:override>"
    );
    guest("q35", "").replace("</devices>", &inner)
}

#[test]
fn malformed_qemu_elements_are_refused() {
    for wrong in [
        "type='bool' value='on'",
        "type='unsigned' value='-1'",
        "type='string'",
        "type='remove' value='1'",
    ] {
        common::refused(
            &qemu_property(wrong),
            "value of the property 'p' is not of type",
            "<x:property",
        );
    }

    common::refused(
        &qemu_override("<x:device alias='a'/>"),
        "needs a <qemu:frontend>",
        "<x:device",
    );
    common::refused(
        &qemu_override("<x:devices/>"),
        "<qemu:devices> is not understood within <qemu:override>",
        "<x:devices",
    );
    let xml = qemu_override("").replace("x:override", "x:overide");
    common::refused(
        &xml,
        "<qemu:overide> is not understood within <domain>",
        "<x:overide",
    );
    let xml = qemu_override("<x:env name='A=B'/>").replace("x:override", "x:commandline");
    common::refused(&xml, "the variable's name 'A=B'", "<x:env");
}
