//! Domains with many errors: 100 are printed and the others counted.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::process::Output;

use common::run_on;

/// Runs a command on a domain with `faulty` unknown elements.
fn refused(words: &[&str], faulty: usize) -> Output {
    let elements = "<bogus/>\n".repeat(faulty);
    let xml = format!(
        "<domain type='kvm'><name>many</name><memory unit='GiB'>1</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <devices>\n{elements}</devices></domain>"
    );
    let output = run_on("many", &xml, words);
    assert_eq!(output.status.code(), Some(3));
    output
}

/// Returns the number of printed errors about an element, and the last line.
fn printed(output: &Output) -> (usize, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    let errors = text
        .lines()
        .filter(|line| line.starts_with("error: <bogus>"))
        .count();
    (errors, text.lines().last().unwrap().into())
}

#[test]
fn hundred_errors_are_printed_and_the_rest_counted() {
    for faulty in [101, 1_000, 60_000] {
        let last = format!("error: {} more errors", faulty - 100);
        for command in ["validate", "convert"] {
            let output = refused(&[command], faulty);
            assert_eq!(printed(&output), (100, last.clone()), "{command}");
        }
        let verdict = String::from_utf8(refused(&["validate"], faulty).stdout).unwrap();
        assert!(
            verdict.ends_with(&format!(": {faulty} errors\n")),
            "{verdict}"
        );
    }
}

/// Errors of the text, of the domain, and of the command line.
const THREE_STAGES: &str = "<rng model='virtoi'><backend model='builtin'/></rng>\
    <disk type='file'><target dev='vda'/></disk>\
    <controller type='scsi' model='buslogic'/>";

#[test]
fn errors_of_all_stages_come_in_one_run() {
    let xml = format!(
        "<domain type='kvm'><name>stages</name><memory unit='GiB'>1</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <clock adjustment='60'/><devices>{THREE_STAGES}</devices></domain>"
    );
    for command in ["validate", "convert"] {
        let output = run_on("stages", &xml, &[command]);
        assert_eq!(output.status.code(), Some(3));

        let text = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(errors.len(), 4, "{command}: {text}");
        let words = ["adjustment", "virtoi", "needs a <source>", "buslogic"];
        for (error, word) in errors.iter().zip(words) {
            assert!(error.contains(word), "{command}: {error}");
        }
        let places = text.matches("stages.xml:1:").count();
        assert_eq!(places, 4, "{command}: {text}");
    }
}

/// Runs a command on a domain with these devices, whose emulator does not exist. Returns the exit
/// code and the first line of each error.
fn errors_without_emulator(words: &[&str], devices: &str) -> (Option<i32>, Vec<String>) {
    let xml = format!(
        "<domain type='kvm'><name>nothing-runs</name><memory unit='GiB'>1</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <devices><emulator>/nonexistent/qemu</emulator>{devices}</devices></domain>"
    );
    let output = run_on("run", &xml, words);
    let text = String::from_utf8(output.stderr).unwrap();
    let errors = text.split("error: ").skip(1).map(str::to_owned);
    (output.status.code(), errors.collect())
}

#[track_caller]
fn assert_each(errors: &[String], words: &[&str]) {
    assert_eq!(errors.len(), words.len(), "{errors:#?}");
    for (error, word) in errors.iter().zip(words) {
        assert!(error.contains(word), "'{word}' is not in: {error}");
    }
}

#[test]
fn run_reports_domain_names_and_emulator_together() {
    let devices = format!(
        "{THREE_STAGES}<hostdev mode='subsystem' type='pci'><source><address domain='0xfffe' \
         bus='1' slot='0' function='0'/></source><iommufdFd>card</iommufdFd></hostdev>"
    );
    for words in [&["run"][..], &["run", "--dry-run"]] {
        let (code, errors) = errors_without_emulator(words, &devices);
        assert_eq!(code, Some(3), "{errors:#?}");
        let stages = ["virtoi", "needs a <source>", "buslogic"];
        let words = [&stages[..], &["the name 'card'", "/nonexistent/qemu"]].concat();
        assert_each(&errors, &words);
    }
}

#[test]
fn run_reports_emulator_and_devices_together() {
    let mut devices = String::new();
    for bus in ["1", "2"] {
        devices.push_str(&format!(
            "<hostdev mode='subsystem' type='pci'><source><address domain='0xfffe' bus='{bus}' \
             slot='0' function='0'/></source></hostdev>"
        ));
    }

    let (code, errors) = errors_without_emulator(&["run", "--dry-run"], &devices);
    assert_eq!(code, Some(5), "{errors:#?}");

    assert_each(&errors, &["/nonexistent/qemu", "fffe:01:00.0"]);
    assert!(errors[1].contains("fffe:02:00.0"), "{errors:#?}");
}

#[test]
fn json_has_thousand_errors_at_most() {
    for (faulty, listed) in [(999, 999), (1_001, 1_000), (60_000, 1_000)] {
        let output = refused(&["validate", "--json"], faulty);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let errors = json["errors"].as_array().unwrap();
        assert_eq!(errors.len(), listed);
    }
}
