//! Tests of the reading of firmware descriptors.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::start::record::{Firmware, GuestRecord};

const TEXT: &str = r#"{"interface-types": ["uefi"], "targets": [], "features": [],
    "mapping": {"device": "memory", "filename": "/fw/PATH"}}"#;

fn write(folder: &Path, name: &str, path: &str) {
    let file = folder.join(name);
    fs::create_dir_all(folder).unwrap();
    fs::write(&file, TEXT.replace("PATH", path)).unwrap();
    set_mode(folder, 0o755);
    set_mode(&file, 0o644);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
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
    let codes: Vec<_> = found
        .descriptors
        .iter()
        .map(FirmwareDescriptor::code)
        .collect();

    assert_eq!(codes, [Some("/fw/usr-b"), Some("/fw/etc-c")]);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
}

#[test]
fn file_that_is_not_a_descriptor_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "50-b.json", "b");
    fs::write(root.path().join("40-a.json"), "{").unwrap();
    fs::create_dir(root.path().join("60-c.json")).unwrap();
    let found = FirmwareDescriptors::read(&[root.path()]).unwrap();

    assert_eq!(found.descriptors.len(), 1);

    let text = found.notes.join("\n");
    assert!(
        text.contains("40-a.json is not a firmware descriptor: EOF")
            && text.contains("60-c.json is left out: it is not a regular file"),
        "{text}"
    );
}

/// A folder for a host's files, records, and files of firmware.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, path: &str) -> String {
        self.folder.path().join(path).display().to_string()
    }

    fn records(&self) -> Records {
        Records::new(self.folder.path().join("guests"))
    }

    /// Returns the descriptor of split flash memory, whose files are `code` and `template`.
    fn flash(&self) -> FirmwareDescriptor {
        let text = format!(
            r#"{{"interface-types": ["uefi"], "targets": [], "features": [],
            "mapping": {{"device": "flash",
                "executable": {{"filename": "{}", "format": "raw"}},
                "nvram-template": {{"filename": "{}", "format": "raw"}}}}}}"#,
            self.at("code"),
            self.at("template")
        );
        FirmwareDescriptor::parse("90-last.json", text.as_bytes()).unwrap()
    }

    /// Records the firmware of a start.
    fn record(&self, descriptor: &FirmwareDescriptor) {
        let mut record = GuestRecord::new("vm");
        record.firmware = Some(Firmware {
            descriptor: Some(descriptor.clone()),
            ..Firmware::default()
        });
        self.records().lock().unwrap().write(&record).unwrap();
    }

    /// Reads the descriptors for a guest, whose variables are the file `vars`.
    fn read(&self, name: &str, os: &str) -> FirmwareDescriptors {
        let user = User::choose(None).unwrap();
        let domain = domain(name, os);
        FirmwareDescriptors::for_guest(&domain, Some(&self.records()), &user).unwrap()
    }

    /// Returns the elements of variables in the file `vars`.
    fn variables(&self) -> [String; 2] {
        let vars = self.at("vars");
        [
            format!("<nvram>{vars}</nvram>"),
            format!("<varstore path='{vars}'/>"),
        ]
    }
}

fn domain(name: &str, os: &str) -> Domain {
    let xml = format!(
        "<domain type='kvm'><name>{name}</name><memory>1024</memory>\
         <os firmware='efi'><type>hvm</type>{os}</os></domain>"
    );
    Domain::parse(&xml).unwrap()
}

#[test]
fn firmware_of_the_last_start_comes_first() {
    let host = Host::new();
    let last = host.flash();
    fs::write(host.at("code"), "").unwrap();
    fs::write(host.at("template"), "").unwrap();
    host.record(&last);

    let found = host.read("vm", "");

    assert_eq!(found.descriptors.first(), Some(&last));
    assert_eq!(found.lost, None);

    let other = host.read("other", "");
    assert_ne!(other.descriptors.first(), Some(&last));
}

#[test]
fn lost_firmware_with_variables_is_refused() {
    let host = Host::new();
    let last = host.flash();
    host.record(&last);
    fs::write(host.at("vars"), "").unwrap();
    for variables in host.variables() {
        let found = host.read("vm", &variables);
        assert_eq!(found.descriptors.first(), Some(&last), "{variables}");

        let lost = found.lost.unwrap();
        lost.check(None).unwrap();
        let error = lost.check(Some(&last)).unwrap_err();
        let Error::FirmwareGone {
            descriptor,
            missing,
            variables,
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(descriptor, "90-last.json");
        assert_eq!(missing, &host.at("code"));
        assert_eq!(variables.as_ref(), Some(&host.at("vars")));
    }
}

#[test]
fn lost_firmware_without_variables_is_replaced() {
    let host = Host::new();
    let last = host.flash();
    host.record(&last);
    let [nvram, varstore] = host.variables();
    let stateless = "<loader stateless='yes'/>".to_owned();
    for variables in [nvram, varstore, stateless] {
        let found = host.read("vm", &variables);
        assert!(!found.descriptors.contains(&last), "{variables}");
        assert_eq!(found.lost, None, "{variables}");
        let notes = found.notes.join("\n");
        assert!(
            notes.contains("90-last.json") && notes.contains(&host.at("code")),
            "{variables}: {notes}"
        );
    }
}

#[test]
fn lost_template_counts_without_variables_only() {
    let host = Host::new();
    let last = host.flash();
    host.record(&last);
    fs::write(host.at("code"), "").unwrap();
    let [nvram, _] = host.variables();

    assert!(!host.read("vm", &nvram).descriptors.contains(&last));

    fs::write(host.at("vars"), "").unwrap();
    let found = host.read("vm", &nvram);
    assert_eq!(found.descriptors.first(), Some(&last));
    assert_eq!(found.lost, None);
}

#[test]
fn variables_that_no_file_holds_are_not_given_up() {
    let host = Host::new();
    let last = host.flash();
    host.record(&last);
    let network = "<nvram type='network'><source protocol='nbd'><host name='h'/></source></nvram>";
    for variables in [
        "<nvram type='block'><source dev='/dev/vars'/></nvram>",
        network,
    ] {
        let lost = host.read("vm", variables).lost.unwrap();
        let error = lost.check(Some(&last)).unwrap_err();
        let is_elsewhere = matches!(
            error,
            Error::FirmwareGone {
                variables: None,
                ..
            }
        );
        assert!(is_elsewhere, "{variables}");
    }
}

#[test]
fn firmware_that_the_domain_names_is_not_looked_for() {
    let host = Host::new();
    let last = host.flash();
    host.record(&last);
    let loader = format!("<loader type='pflash'>{}</loader>", host.at("code"));
    let found = host.read("vm", &loader);

    assert_eq!(found.descriptors.first(), Some(&last));
    assert_eq!(found.lost, None);
}

/// Reads the folder `/etc` below `root`, which this process's user must own alone.
fn read_trusted(root: &Path, is_needed: bool) -> Result<FirmwareDescriptors, Error> {
    let files = TrustedFiles {
        root,
        owner: rustix::process::geteuid().as_raw(),
    };
    FirmwareDescriptors::read_trusted(&[Path::new("/etc"), Path::new("/none")], files, is_needed)
}

#[test]
fn descriptor_that_others_can_change_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    let open = root.path().join("open");
    write(&etc, "40-own.json", "own");
    write(&etc, "50-open.json", "open");
    write(&open, "linked.json", "linked");
    write(&root.path().join("usr"), "own.json", "from-usr");
    set_mode(&etc.join("50-open.json"), 0o666);
    set_mode(&open, 0o777);
    symlink("../open/linked.json", etc.join("60-linked.json")).unwrap();
    symlink("../usr/own.json", etc.join("70-link.json")).unwrap();
    let found = read_trusted(root.path(), true).unwrap();
    let codes: Vec<_> = found
        .descriptors
        .iter()
        .map(FirmwareDescriptor::code)
        .collect();

    assert_eq!(codes, [Some("/fw/own"), Some("/fw/from-usr")]);

    let notes = found.notes.join("\n");
    assert!(
        notes.contains("/etc/50-open.json is left out: others may write to it (mode 666)")
            && notes.contains("/etc/60-linked.json is left out: others than root can change"),
        "{notes}"
    );
}

#[test]
fn folder_that_others_can_change_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    write(&etc, "40-own.json", "own");
    set_mode(&etc, 0o775);
    let found = read_trusted(root.path(), true).unwrap();

    assert!(found.descriptors.is_empty());

    let expected = "/etc is left out: others than root can change it, or a folder above it";
    assert_eq!(found.notes, [expected]);
}

#[test]
fn unreadable_folder_is_an_error_for_an_open_choice_only() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("etc"), "").unwrap();
    let error = read_trusted(root.path(), true).unwrap_err();
    assert!(error.to_string().contains("/etc"), "{error}");

    let notes = read_trusted(root.path(), false).unwrap().notes;
    assert!(
        notes[0].starts_with("/etc is left out: Not a directory"),
        "{notes:?}"
    );
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
