//! Documents with errors and ignored parts: all of them are reported at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use passthru_domain::{Error, Errors, Examination, ParsedDomain};

use common::{Emulator, guest};

fn examine(xml: &str) -> Examination {
    ParsedDomain::parse(xml).unwrap().examine(&Emulator, None)
}

/// Returns the errors of a document, each as `TEXT AT THE POSITION: MESSAGE`.
fn errors(xml: &str) -> Vec<String> {
    let mut errors = Vec::new();
    for error in examine(xml).errors {
        let text = error.span.map_or("", |span| &xml[span]);
        errors.push(format!("{text}: {}", error.message));
    }

    errors
}

const MISSPELT: &str = "<rng model='virtoi'><backend model='builtin'/></rng>";
const TWICE: &str =
    "<hostdev mode='subsystem' type='pci'><source><address bus='1'/></source></hostdev>";

#[test]
fn validation_errors_come_with_parse_errors() {
    let found = errors(&guest("q35", &format!("{MISSPELT}{TWICE}{TWICE}")));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("virtoi"), "{found:?}");
    assert!(found[1].contains("given to the guest twice"), "{found:?}");
}

#[test]
fn faulty_element_suppresses_follow_up_errors() {
    let part = "<interface type='user'><link state='upp'/><boot order='0'/></interface>";
    let found = errors(&guest("q35", part));
    assert!(found.len() == 1 && found[0].contains("upp"), "{found:?}");
}

#[test]
fn faulty_number_is_not_compared_with_others() {
    let cpu = "<vcpu>two</vcpu><cpu><topology sockets='1' cores='2' threads='1'/></cpu>";
    let found = errors(&guest("q35", "").replace("<os>", &format!("{cpu}<os>")));
    assert!(found.len() == 1 && found[0].contains("two"), "{found:?}");
}

#[test]
fn faulty_machine_type_leaves_only_parse_errors() {
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
fn fault_of_the_domain_hides_no_error_of_a_device() {
    let good = guest("q35", &TWICE.repeat(2));
    for (from, to, message) in [
        ("<name>t</name>", "", "needs a <name>"),
        ("'kvm'", "'kmv'", "'kmv'"),
    ] {
        let found = errors(&good.replace(from, to));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains(message), "{found:?}");
        assert!(found[1].contains("given to the guest twice"), "{found:?}");
    }
}

/// Returns an error at a text, which is its message.
fn error_at(xml: &str, text: &str) -> Error {
    let start = xml.find(text).unwrap();
    Error::new(text.into()).at(start..start + text.len())
}

#[test]
fn later_stage_adds_errors_of_parts_without_any() {
    let xml = guest("q35", &format!("{MISSPELT}{TWICE}"));
    let mut found = examine(&xml);
    let later = Errors::check_all([
        error_at(&xml, "<source>"),
        error_at(&xml, "<rng"),
        Error::new("of everything".into()),
    ]);
    assert_eq!(found.check(|_| later), None);

    let messages: Vec<_> = found.errors.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("virtoi"), "{messages:?}");
    assert_eq!(messages[1], "<source>");
}

#[test]
fn later_stage_has_a_result_for_a_valid_guest_alone() {
    assert_eq!(examine(&guest("q35", "")).check(|_| Ok(1)), Some(1));
    assert_eq!(examine(&guest("q35", MISSPELT)).check(|_| Ok(1)), None);
}

#[test]
fn device_without_a_place_hides_no_other_error() {
    let ports = "<controller type='pci' model='pcie-root-port'/>".repeat(250);
    let found = errors(&guest("q35", &format!("{ports}{TWICE}{TWICE}")));
    for message in ["no slot is free", "given to the guest twice"] {
        assert!(found.iter().any(|e| e.contains(message)), "{found:?}");
    }
}

#[test]
fn valid_guest_has_no_errors_and_is_completed() {
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
fn note_on_the_backend_stands_once_a_guest() {
    let hostdevs: String = (1..=3)
        .map(|bus| TWICE.replace("bus='1'", &format!("bus='{bus}'")))
        .collect();
    let xml = guest("q35", &hostdevs);
    let notes = examine(&xml).notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(
        notes[0].message,
        "hostdev 0000:01:00.0 names no backend: type1, unless the caller chooses iommufd; \
         the same holds for 2 more host devices"
    );

    let start = notes[0].span.clone().unwrap().start;
    assert_eq!(Some(start), xml.find("<hostdev"));
}

#[test]
fn device_that_cannot_be_read_gets_no_note() {
    let misspelt = TWICE.replace("bus='1'", "bus='0x1g'");
    let found = examine(&guest("q35", &misspelt));
    assert_eq!(found.errors.len(), 1, "{:?}", found.errors);
    assert!(found.errors[0].message.contains("0x1g"));
    assert_eq!(found.notes, []);
}

#[test]
fn parts_of_other_namespaces_are_ignored_with_a_note() {
    let xml = guest(
        "q35",
        "<x:device xmlns:x='urn:x'><y/></x:device>\
         <memballoon xmlns:x='urn:x' x:a='1' model='none'/>",
    );
    let parsed = ParsedDomain::parse(&xml).unwrap();
    let notes: Vec<_> = parsed
        .notes
        .iter()
        .map(|n| (n.message.as_str(), &xml[n.span.clone().unwrap()]))
        .collect();
    assert_eq!(
        notes,
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
fn backend_other_than_the_domains_is_noted() {
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
