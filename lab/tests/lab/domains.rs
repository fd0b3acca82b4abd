//! Command lines of the example and test domains, without their host devices.
//!
//! The real QEMU accepts each line. Every device has the id and the place that the line gives.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use passthru_domain::{Arch, Domain};
use passthru_lab::host;
use passthru_qemu::{Capabilities, CommandLine, Paths, Style, WantKind, command_line};

use super::qemu::{Emulator, QEMU, places};

/// Smallest number of domains that must start.
const MIN_STARTED: usize = 30;

fn domains() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = [
        "crates/qemu/tests/data",
        "crates/domain/tests/data",
        "examples",
    ];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|e| e == "xml"))
        .collect();
    files.sort();
    files
}

/// Reads a domain without host devices.
///
/// Returns `None` if this QEMU does not support the domain.
fn read_without_host_devices(file: &Path, capabilities: &Capabilities) -> Option<Domain> {
    let mut domain = Domain::parse(&fs::read_to_string(file).unwrap()).unwrap();
    domain.devices.hostdevs.clear();
    domain
        .devices
        .interfaces
        .retain(|interface| interface.hostdev.is_none());
    domain.devices.emulator = Some(QEMU.into());
    let builtin = Capabilities::builtin(domain.os.kind.arch.unwrap_or(Arch::X86_64));
    let domain = domain
        .complete(&builtin)
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    capabilities.check(&domain).is_ok().then_some(domain)
}

/// Returns something that the line needs and the virtual host lacks.
///
/// Examples are peers at sockets, disks on the network, reserved memory, user interfaces and a
/// scalable clock.
fn missing_on_host(line: &CommandLine) -> Option<&'static str> {
    const MISSING: &[&str] = &[
        "host_device",
        "qcow2",
        "vhost",
        "hugepages",
        "host-nodes",
        "prealloc\":true",
        "mem-lock=on",
        "spice",
        "egl-headless",
        "usb-host",
        "\"tap\"",
        "\"bridge\"",
        "nbd",
        "iscsi",
        "rbd",
        "https",
        "-tpmdev",
        "server=off",
        "-incoming",
        "sev-guest",
        "tdx-guest",
        "secret",
        "-acpitable",
        "tls-creds",
        "tsc-frequency",
        "path=/run/guests",
    ];
    for want in line.wants() {
        let is_file = matches!(
            want.kind,
            WantKind::Kvm | WantKind::File { .. } | WantKind::Output { .. }
        );
        if !is_file {
            return Some("a descriptor");
        }
    }

    let text = line.pretty(&Paths);
    let lacks_kernel =
        line.options.iter().any(|o| o.flag == "-kernel") && !text.contains("/boot/guest/vmlinuz");
    MISSING
        .iter()
        .copied()
        .find(|word| text.contains(word))
        .or(lacks_kernel.then_some("a kernel"))
}

/// Makes the missing files of a line, filled with zeros. Their contents do not matter before the
/// guest's first instruction.
fn make_files(line: &CommandLine) -> io::Result<()> {
    for path in line
        .wants()
        .iter()
        .filter_map(|want| want.path())
        .map(Path::new)
    {
        if !path.exists() {
            fs::create_dir_all(path.parent().unwrap())?;
            fs::File::create(path)?.set_len(2 << 20)?;
        }
    }

    Ok(())
}

#[test]
fn qemu_places_devices_as_the_command_line_says() {
    let _host = host();
    // Guests have more memory than the virtual host, and never touch it.
    fs::write("/proc/sys/vm/overcommit_memory", "1").unwrap();
    let capabilities = Capabilities::probe(Path::new(QEMU), &Command::spawn).unwrap();
    let mut started = 0;
    let mut wrong = Vec::new();
    for file in domains() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let Some(domain) = read_without_host_devices(&file, &capabilities) else {
            println!("{name}: not for this QEMU");
            continue;
        };
        let line = match command_line(&domain, &capabilities, Style::Standalone) {
            Ok(line) => line,
            Err(e) => {
                println!("{name}: {e}");
                continue;
            }
        };
        if let Some(missing) = missing_on_host(&line) {
            println!("{name}: the virtual host lacks: {missing}");
            continue;
        }
        if let Err(e) = make_files(&line) {
            println!("{name}: the virtual host has no place for its files: {e}");
            continue;
        }
        println!("{name}: started");
        started += 1;
        match Emulator::try_start(&line) {
            Ok(mut emulator) => wrong.extend(
                differences(&mut emulator, &line)
                    .into_iter()
                    .map(|d| format!("{name}: {d}")),
            ),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        started >= MIN_STARTED,
        "only {started} domains were started"
    );
}

/// Returns the devices of the line that the emulator lacks or has at another place.
fn differences(emulator: &mut Emulator, line: &CommandLine) -> Vec<String> {
    let devices = line
        .options
        .iter()
        .filter(|option| option.flag == "-device");
    let expected: BTreeSet<String> = devices
        .filter_map(|device| device.id().map(str::to_owned))
        .collect();
    let present = emulator.ids();
    let mut wrong: Vec<_> = expected
        .difference(&present)
        .map(|id| format!("there is no {id}"))
        .collect();
    for (id, bus, address) in places(line)
        .into_iter()
        .filter(|(id, ..)| present.contains(id))
    {
        let parent = emulator.property(&id, "parent_bus");
        let addr = emulator.property(&id, "addr");
        let path_end = format!("/{bus}");
        let is_on_bus = parent
            .as_str()
            .is_some_and(|path| path.ends_with(&path_end));
        if !is_on_bus || addr != address {
            wrong.push(format!(
                "{id} is at {addr} of {parent}, not at {address} of {bus}"
            ));
        }
    }

    wrong
}
