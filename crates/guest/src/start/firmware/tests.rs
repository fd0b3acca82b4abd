//! Tests of the reading of firmware descriptors.

use super::*;
use crate::start::record::{Firmware, GuestRecord};

const TEXT: &str = r#"{"interface-types": ["uefi"], "targets": [], "features": [],
    "mapping": {"device": "memory", "filename": "/fw/PATH"}}"#;

fn write(folder: &Path, name: &str, path: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), TEXT.replace("PATH", path)).unwrap();
}

#[test]
fn file_hides_the_one_of_its_name_in_a_later_folder() {
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    let usr = root.path().join("usr");
    write(&usr, "50-b.json", "usr-b");
    write(&usr, "60-c.json", "usr-c");
    write(&usr, "40-a.json", "usr-a");
    write(&etc, "60-c.json", "etc-c");
    fs::write(etc.join("40-a.json"), "").unwrap();
    for ignored in [".70-d.json", "70-d.json~", "README"] {
        write(&etc, ignored, "ignored");
    }

    let found = FirmwareDescriptors::read(&[&etc, &usr]).unwrap();
    let codes: Vec<_> = found.descriptors.iter().map(Descriptor::code).collect();
    assert_eq!(codes, [Some("/fw/usr-b"), Some("/fw/etc-c")]);
    assert!(found.unusable.is_empty(), "{:?}", found.unusable);
}

#[test]
fn file_that_is_not_a_descriptor_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "50-b.json", "b");
    fs::write(root.path().join("40-a.json"), "{").unwrap();
    fs::create_dir(root.path().join("60-c.json")).unwrap();
    let found = FirmwareDescriptors::read(&[root.path()]).unwrap();

    assert_eq!(found.descriptors.len(), 1);
    let text = found.unusable.join("\n");
    assert!(
        text.contains("40-a.json is not a firmware descriptor: EOF")
            && text.contains("60-c.json is left out: it is not a regular file"),
        "{text}"
    );
}

#[test]
fn firmware_of_the_last_start_comes_first() {
    if !Uid::effective().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let records = Records::new(folder.path().join("guests"));
    let last = Descriptor::parse("90-last.json", TEXT.as_bytes()).unwrap();
    let mut record = GuestRecord::new("vm");
    record.firmware = Some(Firmware {
        descriptor: Some(last.clone()),
        ..Firmware::default()
    });
    records.lock().unwrap().write(&record).unwrap();

    let found = FirmwareDescriptors::for_guest("vm", &records).unwrap();
    assert_eq!(found.descriptors.first(), Some(&last));
    let other = FirmwareDescriptors::for_guest("other", &records).unwrap();
    assert_ne!(other.descriptors.first(), Some(&last));
}

#[test]
fn missing_folder_is_named() {
    let missing = Path::new("/nonexistent/firmware");
    let error = FirmwareDescriptors::read(&[missing]).unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent/firmware"),
        "{error}"
    );
}
