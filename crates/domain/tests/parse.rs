//! Documents that are not all right: everything that is wrong is said at once, and what is ignored
//! too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{Emulator, guest};
use passthru_domain::{Examination, ParsedDomain};

fn examine(xml: &str) -> Examination {
    ParsedDomain::parse(xml).unwrap().examine(&Emulator)
}

/// Returns what is said of each place, as `text of the place: message`.
fn errors(xml: &str) -> Vec<String> {
    let place = |e: &passthru_domain::Error| e.span.clone().map_or("", |s| &xml[s]).to_owned();
    examine(xml)
        .errors
        .iter()
        .map(|e| format!("{}: {}", place(e), e.message))
        .collect()
}

const MISSPELT: &str = "<rng model='virtoi'><backend model='builtin'/></rng>";
const TWICE: &str =
    "<hostdev mode='subsystem' type='pci'><source><address bus='1'/></source></hostdev>";

#[test]
fn what_cannot_work_is_said_beside_what_is_not_understood() {
    let found = errors(&guest("q35", &format!("{MISSPELT}{TWICE}{TWICE}")));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("virtoi"), "{found:?}");
    assert!(found[1].contains("given to the guest twice"), "{found:?}");
}

#[test]
fn of_a_part_that_is_not_understood_nothing_is_said_that_may_follow_from_it() {
    let part = "<interface type='user'><link state='upp'/><boot order='0'/></interface>";
    let found = errors(&guest("q35", part));
    assert!(found.len() == 1 && found[0].contains("upp"), "{found:?}");
}

#[test]
fn without_a_machine_to_judge_by_only_the_text_is_judged() {
    let xml = guest("q35", "").replace("machine='q35'", "machine='q35' colour='red'");
    let found = errors(&xml.replace("<name>t</name>", ""));
    assert!(
        found.iter().any(|e| e.contains("no attribute 'colour'")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|e| e.contains("needs a <name>")),
        "{found:?}"
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_good_guest_has_no_errors_and_comes_completed() {
    let found = examine(&guest("q35", TWICE));
    assert_eq!(found.errors, []);
    assert!(
        found.domain.unwrap().devices.hostdevs[0]
            .info
            .address
            .is_some()
    );
    assert!(
        found.notes[0].message.contains("names no backend"),
        "{:?}",
        found.notes
    );
}

#[test]
fn elements_and_attributes_of_other_namespaces_are_ignored_with_a_note() {
    let xml = guest(
        "q35",
        "<x:device xmlns:x='urn:x'><y/></x:device><memballoon xmlns:x='urn:x' x:a='1' model='none'/>",
    );
    let parsed = ParsedDomain::parse(&xml).unwrap();
    let said: Vec<_> = parsed
        .notes
        .iter()
        .map(|n| (n.message.as_str(), &xml[n.span.clone().unwrap()]))
        .collect();
    assert_eq!(
        said,
        [
            (
                "<device> of the namespace 'urn:x' is ignored",
                "<x:device xmlns:x='urn:x'>"
            ),
            (
                "the attribute 'a' of the namespace 'urn:x' is ignored",
                "x:a"
            ),
        ]
    );
    assert_eq!(parsed.errors, []);
}

#[test]
fn a_device_that_says_otherwise_than_the_domain_is_noted() {
    let own = TWICE.replace("<source>", "<driver name='vfio' iommufd='no'/><source>");
    let xml = guest("q35", &own).replace("<os>", "<iommufd enabled='yes'/><os>");
    let notes = examine(&xml).notes;
    assert!(
        notes.len() == 1
            && notes[0]
                .message
                .contains("the device's own setting applies"),
        "{notes:?}"
    );
}
