//! Built-in knowledge of QEMU, compared with a real QEMU: capabilities, and places of devices.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use passthru_domain::{Arch, Backend, Domain};
use passthru_lab::host;
use passthru_qemu::monitor::{BlockingQmp, Command as QmpCommand};
use passthru_qemu::{Cache, Capabilities, CommandLine, Paths, Style, Value, command_line};

pub(super) const QEMU: &str = "/usr/bin/qemu-system-x86_64";
const LIMIT: Duration = Duration::from_secs(30);

fn complete(inner: &str, machine: &str, capabilities: &Capabilities) -> Domain {
    let xml = format!(
        "<domain type='qemu'><name>qemu-test</name><memory unit='MiB'>128</memory>\
         <os><type arch='x86_64' machine='{machine}'>hvm</type></os><features><acpi/></features>\
         <devices>{inner}</devices></domain>"
    );
    let mut domain = Domain::parse(&xml).unwrap().complete(capabilities).unwrap();
    domain.validate(capabilities).unwrap();
    domain.set_default_backend(Backend::Iommufd);
    domain
}

/// A QEMU that waits at its guest's first instruction. Drop kills it.
pub(super) struct Emulator {
    process: Child,
    qmp: BlockingQmp,
}

impl Emulator {
    fn start(line: &CommandLine) -> Self {
        Self::try_start(line).unwrap_or_else(|said| panic!("{said}"))
    }

    /// Starts QEMU. If it ends at once, its output is the error.
    pub(super) fn try_start(line: &CommandLine) -> Result<Self, String> {
        let socket = PathBuf::from("/tmp/qemu-test.sock");
        let _ = fs::remove_file(&socket);
        let mut process = Command::new(&line.emulator)
            .args(line.render(&Paths))
            .args(["-S", "-qmp", "unix:/tmp/qemu-test.sock,server=on,wait=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create("/tmp/qemu-test.log").unwrap())
            .spawn()
            .unwrap();
        let qmp = connect(&socket, &mut process)
            .and_then(|stream| BlockingQmp::connect(stream, LIMIT).ok());
        match qmp {
            Some(qmp) => Ok(Self { process, qmp }),
            None => {
                let _ = process.kill();
                let _ = process.wait();
                Err(fs::read_to_string("/tmp/qemu-test.log").unwrap())
            }
        }
    }

    /// Returns the ids of the devices.
    pub(super) fn ids(&mut self) -> BTreeSet<String> {
        let found = self
            .qmp
            .execute(&QmpCommand::QomList {
                path: "/machine/peripheral".into(),
            })
            .unwrap();
        let names = found
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| entry["name"].as_str());
        names.map(str::to_owned).collect()
    }

    pub(super) fn property(&mut self, id: &str, property: &str) -> serde_json::Value {
        let path = format!("/machine/peripheral/{id}");
        self.qmp
            .execute(&QmpCommand::QomGet {
                path,
                property: property.to_owned(),
            })
            .unwrap()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Connects to the socket. Returns `None` if the process ends.
fn connect(socket: &Path, process: &mut Child) -> Option<UnixStream> {
    let end = Instant::now() + LIMIT;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Some(stream),
            Err(_) if process.try_wait().unwrap().is_some() => return None,
            Err(e) if Instant::now() > end => panic!("{}: {e}", socket.display()),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Returns id, bus and slot (with function) of every PCI device on the line.
pub(super) fn places(line: &CommandLine) -> Vec<(String, String, u64)> {
    line.options
        .iter()
        .filter_map(|option| place(&option.value))
        .collect()
}

fn place(value: &Value) -> Option<(String, String, u64)> {
    let Value::Json(device) = value else {
        return None;
    };
    let addr = device.text("addr")?;
    let (slot, function) = addr.split_once('.').unwrap_or((addr, "0"));
    let id = device.text("id")?.to_owned();
    let bus = device.text("bus")?.to_owned();
    Some((id, bus, parse_hex(slot) << 3 | parse_hex(function)))
}

fn parse_hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn capabilities_are_probed_and_cached() {
    let _host = host();
    let asked = Capabilities::probe(Path::new(QEMU), &Command::spawn).unwrap();
    assert!(
        asked.version().major >= 11 && asked.has_iommufd(),
        "{}",
        asked.version()
    );

    let cache = Cache {
        dir: "/tmp/qemu-test-cache".into(),
    };
    assert_eq!(
        cache.probe(Path::new(QEMU), &Command::spawn).unwrap(),
        asked
    );
    assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1);
    assert_eq!(
        cache.probe(Path::new(QEMU), &Command::spawn).unwrap(),
        asked
    );

    fs::remove_dir_all(&cache.dir).unwrap();
}

#[test]
fn guest_with_an_assigned_device_fits_this_qemu() {
    let _host = host();
    let asked = Capabilities::probe(Path::new(QEMU), &Command::spawn).unwrap();
    let device = "<hostdev mode='subsystem' type='pci'><source>\
        <address bus='1' slot='0' function='0'/></source>\
        </hostdev><controller type='scsi' model='lsilogic'/><controller type='sata' index='1'/>";
    asked.check(&complete(device, "q35", &asked)).unwrap();
    // Without a QEMU, an old machine type is accepted; this QEMU does not have it.
    let any = Capabilities::builtin(Arch::X86_64);
    let errors = asked.check(&complete("", "pc-q35-2.4", &any)).unwrap_err();

    assert!(
        errors.to_string().contains("no machine type 'pc-q35-2.4'"),
        "{errors}"
    );
}

#[test]
fn devices_are_placed_as_the_line_says() {
    let _host = host();
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let switch = "<controller type='pci' index='1' model='pcie-root-port'/>\
        <controller type='pci' index='2' model='pcie-switch-upstream-port'/>\
        <controller type='pci' index='3' model='pcie-switch-downstream-port'/>\
        <controller type='pci' index='4' model='pcie-to-pci-bridge'/>\
        <controller type='pci' index='5' model='pci-bridge'/>";
    let cards = "<interface type='user'><model type='e1000e'/></interface>\
        <interface type='user'><model type='rtl8139'/></interface>\
        <interface type='user'><model type='virtio'/></interface>\
        <rng model='virtio'><backend model='builtin'/></rng>";
    let expander = "<controller type='pci' index='1' model='pcie-expander-bus'>\
        <target busNr='128'/></controller>\
        <controller type='pci' index='2' model='pcie-root-port'>\
        <address type='pci' bus='1' slot='0' function='0'/></controller>\
        <rng model='virtio'><backend model='builtin'/><address type='pci' bus='2' slot='0'/></rng>\
        <iommu model='intel'/>";
    let domains = [
        ("pc", cards.to_owned(), 5),
        ("q35", format!("{switch}{cards}"), 12),
        ("q35", expander.into(), 5),
    ];
    for (machine, inner, least) in domains {
        let line = command_line(
            &complete(&inner, machine, &capabilities),
            &capabilities,
            Style::Standalone,
        )
        .unwrap();
        let places = places(&line);
        assert!(places.len() >= least, "{places:?}");
        let mut emulator = Emulator::start(&line);
        for (id, bus, address) in places {
            let parent = emulator.property(&id, "parent_bus");
            assert!(
                parent.as_str().unwrap().ends_with(&format!("/{bus}")),
                "{id} on {bus}: {parent}"
            );
            assert_eq!(emulator.property(&id, "addr"), address, "{id} on {bus}");
        }
    }
}
