//! The choice of the firmware by `convert` and `validate`.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;

use common::run_on;

/// A descriptor of firmware for the machine `microvm`, which no package has.
const DESCRIPTOR: &str = r#"{"interface-types": ["uefi"], "features": [],
    "mapping": {"device": "memory", "filename": "/fw/own.code"},
    "targets": [{"architecture": "x86_64", "machines": ["microvm"]}]}"#;

/// Returns all that a command prints about a guest with UEFI firmware, and its exit code.
fn printed(words: &[&str], machine: &str) -> (Option<i32>, String) {
    let xml = format!(
        "<domain type='kvm'><name>guest</name><memory unit='MiB'>64</memory>\
         <os firmware='efi'><type arch='x86_64' machine='{machine}'>hvm</type></os>\
         <features><acpi/></features></domain>"
    );
    common::printed(run_on("guest", &xml, words))
}

#[test]
fn refusal_by_the_table_names_the_option() {
    for command in ["convert", "validate"] {
        let (code, text) = printed(&[command], "microvm");
        assert_eq!(code, Some(3), "{command}: {text}");
        for part in ["the table of well-known paths has no", "--firmware-dir"] {
            assert!(text.contains(part), "{command}, {part}: {text}");
        }
        assert!(!text.contains("install"), "{command}: {text}");
    }
}

#[test]
fn both_commands_read_the_descriptors_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("50-own.json"), DESCRIPTOR).unwrap();
    fs::write(folder.path().join("60-bad.json"), "{").unwrap();
    let argument = format!("--firmware-dir={}", folder.path().display());
    for (command, part) in [("convert", "/fw/own.code"), ("validate", ": valid")] {
        let (code, text) = printed(&[command, &argument], "microvm");
        assert_eq!(code, Some(0), "{command}: {text}");
        assert!(text.contains(part), "{command}: {text}");
        assert!(
            text.contains("60-bad.json is left out"),
            "{command}: {text}"
        );
        assert!(!text.contains("table"), "{command}: {text}");
    }
}

#[test]
fn firmware_of_the_table_is_noted() {
    for command in ["convert", "validate"] {
        let (code, text) = printed(&[command], "q35");
        assert_eq!(code, Some(0), "{command}: {text}");
        assert!(
            text.contains("from a table of well-known paths: no host is looked at"),
            "{command}: {text}"
        );
    }
}
