//! Support of the tests of `passthru run`: domains, running guests, and their state.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use passthru_lab::{
    Finished, Guest, GuestManager, VirtualHost, host, run, run_manager, run_within, sum_in,
};

/// Time limit for a guest. Under KVM within emulation, a guest boots in about 8 s and reads its
/// disk in a few more.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// `<driver>` of a hostdev on iommufd.
pub(super) const IOMMUFD: &str = "<driver iommufd='yes'/>";

/// `<driver>` of a hostdev on type1.
pub(super) const TYPE1: &str = "<driver iommufd='no'/>";

/// A domain, in the parts that differ between tests.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    pub(super) name: &'static str,
    /// Script of the guest. By default, the guest prints the checksum of its NVMe disk.
    pub(super) script: Option<&'static str>,
    /// Elements below `<domain>`.
    pub(super) top: &'static str,
    /// Elements below `<features>`, besides ACPI and APIC.
    pub(super) features: &'static str,
    /// Elements below `<devices>`.
    pub(super) devices: String,
    pub(super) kernel: String,
}

impl Domain {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            script: None,
            top: "",
            features: "",
            devices: String::new(),
            kernel: Guest::KERNEL.into(),
        }
    }

    /// Adds a managed hostdev, with elements before and after its source.
    pub(super) fn hostdev(self, device: &str, before: &str, after: &str) -> Self {
        self.with(&hostdev(device, before, after))
    }

    pub(super) fn with(mut self, device: &str) -> Self {
        self.devices.push_str(device);
        self
    }

    pub(super) fn script(mut self, script: &'static str) -> Self {
        self.script = Some(script);
        self
    }

    pub(super) fn top(mut self, top: &'static str) -> Self {
        self.top = top;
        self
    }

    pub(super) fn xml(&self) -> String {
        let guest = self
            .script
            .map_or_else(Guest::new, |script| Guest::new().run(script));
        let append = guest
            .kernel_arguments()
            .replace('&', "&amp;")
            .replace('<', "&lt;");
        let Self {
            name,
            top,
            features,
            devices,
            kernel,
            ..
        } = self;
        let initrd = Guest::INITRD;
        format!(
            "<domain type='kvm'><name>{name}</name><memory unit='MiB'>256</memory>{top}\
             <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel>\
             <initrd>{initrd}</initrd><cmdline>{append}</cmdline></os>\
             <features><acpi/><apic/>{features}</features><cpu mode='host-passthrough'/>\
             <devices><controller type='usb' model='none'/><memballoon model='none'/>\
             <serial type='pty'/>{devices}</devices></domain>"
        )
    }

    /// Writes the domain to a file, and returns its path.
    pub(super) fn write(&self) -> PathBuf {
        let path = PathBuf::from(format!("/tmp/{}.xml", self.name));
        fs::write(&path, self.xml()).unwrap();
        path
    }

    /// Runs the guest to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Finished {
        let _: VirtualHost = host();
        let mut command = Command::new("passthru");
        command.arg("run").args(arguments).arg(self.write());
        run_manager(PATIENCE, &mut command)
    }

    /// Runs the guest to its end by a shell line, in which `$XML` is the domain's file.
    pub(super) fn run_by_shell(&self, line: &str) -> Finished {
        let _: VirtualHost = host();
        let mut command = Command::new("bash");
        command.env("XML", self.write()).args(["-c", line]);
        run_manager(PATIENCE, &mut command)
    }

    /// Starts the guest, and waits until its console prints `ready`.
    pub(super) fn start(&self, arguments: &[&str]) -> Running {
        let mut running = Running::start(arguments, &self.write(), self.name);
        running.wait_for("ready");
        running
    }
}

pub(super) fn hostdev(device: &str, before: &str, after: &str) -> String {
    let bus = &device[5..7];
    let slot = &device[8..10];
    let function = &device[11..];
    format!(
        "<hostdev mode='subsystem' type='pci' managed='yes'>{before}\
         <source><address domain='0x0000' bus='0x{bus}' slot='0x{slot}' function='0x{function}'/>\
         </source>{after}</hostdev>"
    )
}

/// A running guest. Drop kills its manager and its QEMU.
pub(super) struct Running {
    manager: Child,
    console: Receiver<String>,
    name: &'static str,
}

impl Running {
    /// Starts a guest from a file.
    pub(super) fn start(arguments: &[&str], xml: &Path, name: &'static str) -> Self {
        let _: VirtualHost = host();
        let mut command = Command::new("passthru");
        command.arg("run").args(arguments).arg(xml);
        let mut manager = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(manager.stdout.take().unwrap());
        let (lines, console) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            manager,
            console,
            name,
        }
    }

    /// Reads the console up to a line that contains `what`.
    pub(super) fn wait_for(&mut self, what: &str) {
        let mut seen = String::new();
        loop {
            match self.console.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(what) => return,
                Ok(line) => seen.extend([line.as_str(), "\n"]),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "{}: the guest ended before it said '{what}':\n{seen}",
                        self.name
                    );
                }
                Err(RecvTimeoutError::Timeout) => {
                    GuestManager(self.manager()).exit_if_guest_is_stuck(PATIENCE);
                    panic!("{}: the guest has not said '{what}':\n{seen}", self.name);
                }
            }
        }
    }

    /// Returns the process id of `passthru run`.
    pub(super) fn manager(&self) -> u32 {
        self.manager.id()
    }

    /// Returns the process id of QEMU, the manager's child.
    pub(super) fn vmm(&self) -> u32 {
        GuestManager(self.manager())
            .child()
            .expect("the manager has no child")
    }

    pub(super) fn signal(&self, pid: u32, signal: &str) {
        assert!(
            Command::new("kill")
                .args([signal, &pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end of the manager, and returns its exit code.
    pub(super) fn wait(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.manager.try_wait().unwrap() {
                Some(status) => return status.code(),
                None if Instant::now() > deadline => panic!("{}: does not end", self.name),
                None => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let vmm = GuestManager(self.manager()).child();
        let _ = self.manager.kill();
        let _ = self.manager.wait();
        // QEMU outlives its manager.
        if let Some(vmm) = vmm {
            let _ = Command::new("kill")
                .args(["-KILL", &vmm.to_string()])
                .status();
        }
    }
}

/// Runs `passthru` with arguments to its end.
pub(super) fn passthru(arguments: &[&str]) -> Finished {
    run(Command::new("passthru").args(arguments))
}

/// Returns the current driver of a device.
pub(super) fn driver(device: &str) -> Option<String> {
    let link = fs::read_link(
        Path::new("/sys/bus/pci/devices")
            .join(device)
            .join("driver"),
    )
    .ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// Asserts that a VMM sees the container of type1 and the groups of these devices alone, as nodes
/// of its own user.
pub(super) fn assert_own_nodes(vmm: u32, devices: &[&str]) {
    let uid = fs::metadata(format!("/proc/{vmm}")).unwrap().uid();
    let mut names = Vec::new();
    for entry in fs::read_dir(format!("/proc/{vmm}/root/dev/vfio")).unwrap() {
        let entry = entry.unwrap();
        let node = entry.metadata().unwrap();
        assert_eq!(
            (node.uid(), node.gid(), node.mode() & 0o777),
            (uid, uid, 0o600)
        );
        names.push(entry.file_name().into_string().unwrap());
    }

    let mut expected = vec!["vfio".to_owned()];
    expected.extend(devices.iter().map(|device| group(device)));
    names.sort();
    expected.sort();
    expected.dedup();
    assert_eq!(names, expected);
}

/// Returns the number of a device's IOMMU group.
pub(super) fn group(device: &str) -> String {
    let link = fs::read_link(format!("/sys/bus/pci/devices/{device}/iommu_group")).unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Waits for the block device of an NVMe controller on the host's driver.
pub(super) fn wait_for_disk(device: &str) -> PathBuf {
    let folder = Path::new("/sys/bus/pci/devices").join(device).join("nvme");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let name = fs::read_dir(&folder)
            .ok()
            .and_then(|mut d| d.next()?.ok()?.file_name().into_string().ok());
        let disk = name.map(|name| PathBuf::from(format!("/dev/{name}n1")));
        match disk.filter(|disk| disk.exists()) {
            Some(disk) => return disk,
            None if Instant::now() > deadline => panic!("{device} has no disk"),
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Returns the checksum of a disk, as the host reads it.
pub(super) fn host_sum(disk: &Path) -> String {
    let out = run_within(PATIENCE, Command::new("sha256sum").arg(disk))
        .expect_success()
        .stdout;
    out.split_whitespace().next().unwrap().to_owned()
}

/// Returns the checksum that the guest printed.
pub(super) fn guest_sum(finished: &Finished) -> String {
    sum_in(&finished.stdout)
        .unwrap_or_else(|| panic!("no checksum: {finished}"))
        .to_owned()
}

/// Asserts that a guest left nothing: no folder, and each device on its own driver.
pub(super) fn assert_all_back(name: &str, devices: &[(&str, &str)]) {
    assert!(
        !Path::new("/run/passthru")
            .join(format!("domain-{name}"))
            .exists(),
        "the folder of {name} is left"
    );
    for (device, own) in devices {
        assert_eq!(driver(device).as_deref(), Some(*own), "{device}");
    }
}
