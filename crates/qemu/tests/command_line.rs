//! Command lines of the domains in `data/`: NAME.xml gives NAME.args, and NAME.standalone.args for
//! some. With `UPDATE=1` in the environment, the test writes the files, for a review.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use passthru_domain::lifecycle::CrashAction;
use passthru_domain::{Arch, Backend, Domain};
use passthru_qemu::{
    Access, Capabilities, CommandLine, FileLocation, FilePassing, Paths, Placeholders, Resolve,
    Style, Want, WantKind, command_line,
};
use serde_json::json;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(file)
}

fn line(name: &str, style: Style) -> CommandLine {
    let xml = fs::read_to_string(data(&format!("{name}.xml"))).unwrap();
    let parsed = Domain::parse(&xml).unwrap_or_else(|e| panic!("{name}: {e}"));
    let capabilities = Capabilities::builtin(parsed.os.kind.arch.unwrap());
    let mut domain = parsed
        .complete(&capabilities)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    domain
        .validate(&capabilities)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    domain.set_default_backend(Backend::Type1);
    command_line(&domain, &capabilities, style).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Returns the lines that only one side has: `-` for expected ones, `+` for others.
fn difference(expected: &str, got: &str) -> String {
    let lacking = expected
        .lines()
        .filter(|line| !got.lines().any(|other| other == *line));
    let extra = got
        .lines()
        .filter(|line| !expected.lines().any(|other| other == *line));
    lacking
        .map(|line| format!("- {line}\n"))
        .chain(extra.map(|line| format!("+ {line}\n")))
        .collect()
}

fn compare(file: &str, got: &str) -> Option<String> {
    let path = data(file);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, got).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    (expected != got).then(|| format!("{file} (order counts too):\n{}", difference(&expected, got)))
}

fn names() -> Vec<String> {
    let files = fs::read_dir(data(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files
        .filter_map(|file| file.strip_suffix(".xml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[test]
fn domains_give_the_expected_command_lines() {
    let names = names();
    let differ: Vec<_> = names
        .iter()
        .filter_map(|name| {
            compare(
                &format!("{name}.args"),
                &line(name, Style::Managed).pretty(&Placeholders),
            )
        })
        .collect();
    assert!(
        names.len() >= 15 && differ.is_empty(),
        "{}",
        differ.join("\n")
    );
}

#[test]
fn standalone_line_has_no_descriptors() {
    for name in ["nvme-iommufd-q35", "character-devices", "memory-in-a-file"] {
        let line = line(name, Style::Standalone);
        let differs = compare(&format!("{name}.standalone.args"), &line.pretty(&Paths));
        assert_eq!(differs.unwrap_or_default(), "");
        assert_eq!(
            line.wants().into_iter().find(|want| want.is_descriptor()),
            None,
            "{name}"
        );
    }
}

#[test]
fn ids_are_made_before_the_options_that_name_them() {
    for name in names() {
        let line = line(&name, Style::Managed);
        let mut made = vec!["pcie.0".to_owned(), "pci.0".to_owned()];
        for option in &line.options {
            if let passthru_qemu::Value::Json(object) = &option.value {
                for key in [
                    "netdev",
                    "drive",
                    "chardev",
                    "iommufd",
                    "rng",
                    "primary-bus",
                    "file",
                    "backing",
                ] {
                    // The file of a secret is a path, not a block node.
                    let named = object
                        .text(key)
                        .filter(|_| option.driver() != Some("secret"));
                    assert!(
                        named.is_none_or(|id| made.iter().any(|known| known == id)),
                        "{name}: {option:?}"
                    );
                }
                let bus = object.text("bus").filter(|bus| bus.starts_with("pci"));
                assert!(
                    bus.is_none_or(|bus| made.iter().any(|known| known == bus)),
                    "{name}: {option:?}"
                );
            }
            made.extend(option.id().map(str::to_owned));
        }
    }
}

/// Returns the command line of a guest with these elements before its devices.
fn line_with(elements: &str, style: Style) -> Result<Vec<String>, String> {
    let xml = format!(
        "<domain type='qemu'><name>vm</name><memory unit='MiB'>128</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>{elements}</domain>"
    );
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let domain = Domain::parse(&xml)
        .unwrap()
        .complete(&capabilities)
        .unwrap();
    domain.validate(&capabilities).unwrap();
    let line = command_line(&domain, &capabilities, style).map_err(|error| error.to_string())?;
    Ok(line.render(&Placeholders))
}

#[test]
fn on_reboot_destroy_gives_no_reboot() {
    let flags = |elements, style| {
        let mut line = line_with(elements, style).unwrap();
        line.retain(|word| word.starts_with("-no-re") || word.starts_with("-no-shut"));
        line
    };
    let destroy = "<on_reboot>destroy</on_reboot>";
    assert_eq!(
        flags(destroy, Style::Managed),
        ["-no-reboot", "-no-shutdown"]
    );
    assert_eq!(flags(destroy, Style::Standalone), ["-no-reboot"]);
    assert_eq!(
        flags("<on_reboot>restart</on_reboot>", Style::Managed),
        ["-no-shutdown"]
    );
    assert_eq!(flags("", Style::Standalone), [""; 0]);
}

#[test]
fn restart_after_power_off_needs_reboots() {
    let elements = "<on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot>";
    let error = line_with(elements, Style::Managed).unwrap_err();
    assert_eq!(
        error,
        "<on_poweroff> 'restart' together with <on_reboot> 'destroy' is not supported"
    );
}

#[test]
fn every_crash_action_is_accepted() {
    for action in CrashAction::ALL {
        line_with(&format!("<on_crash>{action}</on_crash>"), Style::Managed).unwrap();
    }
}

/// Passes every descriptor and file by numbers that start at 10.
struct Numbered<'a>(Vec<&'a Want>);

impl Numbered<'_> {
    fn number(&self, want: &Want) -> usize {
        10 + self.0.iter().position(|known| *known == want).unwrap()
    }
}

impl Resolve for Numbered<'_> {
    fn fd(&self, want: &Want) -> String {
        self.number(want).to_string()
    }

    fn file(&self, want: &Want) -> FileLocation {
        let number = self.number(want);
        match want.kind {
            WantKind::File {
                passing: FilePassing::Copy,
                ..
            } => FileLocation::OtherPath(format!("/proc/self/fd/{number}")),
            WantKind::File {
                access: Access::ReadWrite,
                ..
            } => FileLocation::FdSet(vec![number.to_string(), (number + 100).to_string()]),
            _ => FileLocation::FdSet(vec![number.to_string()]),
        }
    }
}

#[test]
fn descriptors_and_fd_sets_replace_their_wants() {
    let line = line("nvme-iommufd-q35", Style::Managed);
    let args = line.render(&Numbered(line.wants()));
    let after = |flag: &str| {
        let at = args.iter().position(|arg| arg == flag).unwrap();
        args[at + 1].as_str()
    };
    assert_eq!(after("-add-fd"), "set=0,fd=10,opaque=kvm");
    assert_eq!(after("-accel"), "kvm,device=/dev/fdset/0");
    assert_eq!(after("-kernel"), "/proc/self/fd/12");
    assert_eq!(
        after("-object"),
        r#"{"qom-type":"memory-backend-ram","id":"pc.ram","size":2147483648}"#
    );
    assert!(
        args.iter()
            .any(|arg| arg.contains(r#""id":"iommufd0","fd":"14""#)),
        "{args:?}"
    );
    assert!(
        args.iter()
            .any(|arg| arg.contains(r#""iommufd":"iommufd0","fd":"15""#)),
        "{args:?}"
    );
}

#[test]
fn writable_image_has_a_set_of_two_descriptors() {
    let line = line("disks-of-every-bus", Style::Managed);
    let args = line.render(&Numbered(line.wants()));
    let members = |node: &str| {
        args.iter()
            .filter(|arg| arg.ends_with(&format!("opaque={node}")))
            .count()
    };
    assert_eq!(members("libvirt-5-storage"), 2, "a disk");
    assert_eq!(members("libvirt-4-storage"), 1, "a CD-ROM");

    let numbers: Vec<_> = args
        .iter()
        .filter_map(|arg| arg.strip_prefix("set=")?.split(',').next())
        .collect();
    assert!(
        numbers.is_sorted_by_key(|number| number.parse::<u32>().unwrap()),
        "{numbers:?}"
    );
}

#[test]
fn json_form_names_the_use_of_each_descriptor() {
    let line = line("fds-of-the-caller", Style::Managed);
    let json = line.to_json(&Placeholders);
    let fd = |name: &str| {
        let fds = json["fds"].as_array().unwrap();
        fds.iter()
            .find(|fd| fd["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {json:#}"))
            .clone()
    };
    assert_eq!(fd("iommufd0")["fd"], 22);
    assert_eq!(fd("hostdev0")["for"], "0000:06:12.2");
    assert_eq!(fd("hostdev0")["fd"], 23);
    assert_eq!(json["emulator"], "/usr/bin/qemu-system-x86_64");
}

#[test]
fn named_descriptor_has_placeholder_and_name() {
    let line = line("names-of-the-caller", Style::Managed);
    let json = line.to_json(&Placeholders);
    let fds = json["fds"].as_array().unwrap();
    let names = fds
        .iter()
        .map(|fd| (&fd["name"], &fd["fdgroup"], &fd["fd"]));
    let given: Vec<_> = names
        .filter(|(_, group, fd)| !group.is_null() || !fd.is_null())
        .collect();

    assert_eq!(
        json!(given),
        json!([
            ["accelerators", "context.of-cards", null],
            ["hostdev0", "left card", null],
            ["hostdev1", null, 31]
        ])
    );

    let text = line.pretty(&Placeholders);
    for placeholder in ["\"fd\":\"@accelerators@\"", "\"fd\":\"@hostdev0@\""] {
        assert!(text.contains(placeholder), "{text}");
    }
}

#[test]
fn emulator_path_with_equals_sign_is_quoted() {
    let mut line = line("nvme-iommufd-q35", Style::Managed);
    let mut first = |emulator: &str| {
        line.emulator = emulator.into();
        line.pretty(&Placeholders)
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(first("/opt/v=9/qemu"), r"'/opt/v=9/qemu' \");
    assert_eq!(first("/opt/v=it's/qemu"), r"'/opt/v=it'\''s/qemu' \");
    assert_eq!(first("/opt/v9/qemu"), r"/opt/v9/qemu \");
}

#[test]
fn default_nvram_path_depends_on_the_style() {
    let xml = "<domain type='qemu'><name>vm</name><memory unit='MiB'>128</memory>\
               <features><acpi/></features><os><type arch='x86_64' machine='q35'>hvm</type>\
               <loader type='pflash' readonly='yes'>/code.fd</loader>\
               <nvram template='/vars.fd'/></os></domain>";
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let domain = Domain::parse(xml).unwrap().complete(&capabilities).unwrap();
    let has = |style, path: &str| {
        let line = command_line(&domain, &capabilities, style).unwrap();
        line.render(&Paths)
            .iter()
            .any(|word| word.contains(&format!("\"{path}\"")))
    };

    assert!(has(Style::Standalone, "/var/lib/passthru/nvram/vm_VARS.fd"));
    assert!(has(Style::Managed, "/run/passthru/domain-vm/nvram"));
}

#[test]
fn flash_without_nvram_has_a_second_flash_memory() {
    let xml = "<domain type='qemu'><name>vm</name><memory unit='MiB'>128</memory>\
               <features><acpi/></features><os><type arch='x86_64' machine='q35'>hvm</type>\
               <loader type='pflash' readonly='yes'>/code.fd</loader></os></domain>";
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let domain = Domain::parse(xml).unwrap().complete(&capabilities).unwrap();
    let line = command_line(&domain, &capabilities, Style::Standalone).unwrap();
    let text = line.pretty(&Paths);

    assert!(text.contains("pflash1=libvirt-pflash1-storage"), "{text}");

    let file = r#""filename":"/var/lib/passthru/nvram/vm_VARS.fd","node-name":"libvirt-pflash1-"#;
    assert!(text.contains(file), "{text}");
}

#[test]
fn chosen_secure_firmware_protects_its_variables() {
    let xml = "<domain type='kvm'><name>vm</name><memory unit='MiB'>128</memory>\
               <features><acpi/></features><os firmware='efi'>\
               <type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os></domain>";
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let domain = Domain::parse(xml).unwrap().complete(&capabilities).unwrap();
    let line = command_line(&domain, &capabilities, Style::Managed).unwrap();
    let text = line.pretty(&Placeholders);
    for part in [
        r#""filename":"/usr/share/OVMF/OVMF_CODE_4M.ms.fd","node-name":"libvirt-pflash0-storage""#,
        "pflash0=libvirt-pflash0-format,pflash1=libvirt-pflash1-storage",
        "smm=on",
        "driver=cfi.pflash01,property=secure,value=on",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn override_of_an_absent_device_is_an_error() {
    let xml = fs::read_to_string(data("said-to-qemu.xml")).unwrap();
    let xml = xml.replace("device alias='ua-uplink'", "device alias='ua-other'");
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let domain = Domain::parse(&xml)
        .unwrap()
        .complete(&capabilities)
        .unwrap();
    let error = command_line(&domain, &capabilities, Style::Managed).unwrap_err();

    assert!(error.to_string().contains("'ua-other'"), "{error}");
}

/// Returns the errors of a valid domain that has no command line, each with the text at its place.
fn refusals(xml: &str) -> Vec<(String, String)> {
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let domain = Domain::parse(xml).unwrap().complete(&capabilities).unwrap();
    domain.validate(&capabilities).unwrap();
    let errors = command_line(&domain, &capabilities, Style::Managed).unwrap_err();
    let placed = errors.iter().map(|error| {
        let span = error.span.clone().unwrap();
        (error.message.clone(), xml[span].to_owned())
    });
    placed.collect()
}

#[test]
fn all_parts_without_an_option_are_errors_at_their_places() {
    let xml = "<domain type='qemu'><name>vm</name><memory unit='MiB'>128</memory>\
        <os><type arch='x86_64' machine='q35'>hvm</type></os>\
        <clock offset='utc' adjustment='60'/>\
        <on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot>\
        <devices><controller type='scsi' model='buslogic'/>\
        <controller type='scsi' model='ncr53c90'/></devices>\
        <q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>\
        <q:device alias='absent'><q:frontend/></q:device>\
        <q:device alias='scsi0'><q:frontend/></q:device></q:override></domain>";
    let found = refusals(xml);
    let places: Vec<_> = found.iter().map(|(_, place)| place.as_str()).collect();
    assert_eq!(
        places,
        [
            "<clock offset='utc' adjustment='60'/>",
            "<on_poweroff>",
            "<controller type='scsi' model='buslogic'/>",
            "<controller type='scsi' model='ncr53c90'/>",
            "<q:device alias='absent'>",
        ],
        "{found:?}"
    );
    for (message, _) in &found {
        assert!(message.ends_with("is not supported"), "{message}");
    }
}
