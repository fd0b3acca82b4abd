//! Options of single devices, against the whole command lines of the domains in `data/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use passthru_domain::device::Item;
use passthru_domain::{Backend, Domain};
use passthru_qemu::{Capabilities, Error, Style, command_line, fragment};

fn xml_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "xml"));
    files
}

fn complete(file: &Path) -> (Domain, Capabilities) {
    let parsed = Domain::parse(&fs::read_to_string(file).unwrap()).unwrap();
    let capabilities = Capabilities::builtin(parsed.os.kind.arch.unwrap());
    let mut domain = parsed.complete(&capabilities).unwrap();
    domain.set_default_backend(Backend::Type1);
    (domain, capabilities)
}

#[test]
fn fragment_of_each_device_is_on_the_command_line() {
    let mut devices = 0;
    for file in xml_files() {
        let (domain, capabilities) = complete(&file);
        let line = command_line(&domain, &capabilities, Style::Managed).unwrap();
        for item in domain.devices.items() {
            let fragment = fragment(&domain, &capabilities, Style::Managed, item).unwrap();
            devices += 1;
            // The master key stands on the line before the first secret, and in no fragment.
            let options = fragment.options.iter();
            let missing: Vec<_> = options
                .filter(|option| !line.options.contains(option))
                .collect();
            assert!(
                missing.is_empty(),
                "{}: {item:?}: {missing:?}",
                file.display()
            );
            let wants = line.wants();
            assert!(fragment.wants().iter().all(|want| wants.contains(want)));
        }
    }

    assert!(devices > 100, "{devices}");
}

#[test]
fn fragment_of_an_absent_device_is_an_error() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nvme-iommufd-q35.xml");
    let (domain, capabilities) = complete(&file);
    let result = fragment(&domain, &capabilities, Style::Managed, Item::Hostdev(99));
    assert!(matches!(result, Err(Error::NoDevice(Item::Hostdev(99)))));
}
