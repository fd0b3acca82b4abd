//! The domains in `examples/`: each is valid, has a command line, and lists what to change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use passthru_domain::{Backend, Domain};
use passthru_qemu::{Capabilities, Style, command_line};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Returns each example's file name and text.
fn examples() -> Vec<(String, String)> {
    let files = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let domains = files.filter(|file| file.extension().is_some_and(|extension| extension == "xml"));
    domains.map(read).collect()
}

fn read(file: PathBuf) -> (String, String) {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    (name, fs::read_to_string(file).unwrap())
}

fn completed(name: &str, xml: &str) -> (Domain, Capabilities) {
    let parsed = Domain::parse(xml).unwrap_or_else(|e| panic!("{name}: {e}"));
    let capabilities = Capabilities::builtin(parsed.os.kind.arch.unwrap());
    let domain = parsed
        .complete(&capabilities)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    (domain, capabilities)
}

#[test]
fn example_is_valid_and_has_a_command_line() {
    let examples = examples();
    assert!(examples.len() >= 11, "{}", examples.len());
    for (name, xml) in examples {
        let (domain, capabilities) = completed(&name, &xml);
        domain
            .validate(&capabilities)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        for style in [Style::Managed, Style::Standalone] {
            let line = command_line(&domain, &capabilities, style);
            let line = line.unwrap_or_else(|e| panic!("{name}: {e}"));
            let devices = line
                .options
                .iter()
                .filter(|o| o.driver() == Some("vfio-pci"))
                .count();
            assert_eq!(devices, domain.devices.assigned().count(), "{name}");
            assert!(devices > 0, "{name}");
        }
    }
}

#[test]
fn example_devices_get_iommufd() {
    for (name, xml) in examples() {
        let (domain, _) = completed(&name, &xml);
        for device in domain.devices.assigned() {
            assert_eq!(domain.backend(device), Some(Backend::Iommufd), "{name}");
        }
    }
}

#[test]
fn example_begins_with_a_list_of_changes() {
    for (name, xml) in examples() {
        let comment = xml
            .strip_prefix("<!-- ")
            .and_then(|rest| rest.split_once(" -->\n<domain "));
        let (comment, _) = comment.unwrap_or_else(|| panic!("{name} begins with no comment"));
        assert!(comment.contains("Change: "), "{name}: {comment}");
    }
}

#[test]
fn example_is_listed_in_the_readme() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    let listed = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| [`")?.split_once('`'));
    let mut listed: Vec<_> = listed.map(|(name, _)| name.to_owned()).collect();
    let mut names: Vec<_> = examples().into_iter().map(|(name, _)| name).collect();
    listed.sort();
    names.sort();

    assert_eq!(listed, names);
}
