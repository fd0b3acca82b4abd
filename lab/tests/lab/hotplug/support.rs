//! Support of the tests of hotplug: a running guest whose devices change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use passthru_domain::{Backend, DeviceDocument, Domain};
use passthru_guest::{
    AttachSettings, DetachSettings, Guest, NamedFds, RECORD_DIR, RUN_DIR, Records, StartPlan,
    StartSettings, TransactionEnd, UidRange, User, start,
};
use passthru_host::Host;
use passthru_lab::{Guest as SmallGuest, VirtualHost};
use passthru_qemu::monitor::{Answer, Command, QomMember};
use passthru_qemu::{Cache, Capabilities};
use serde_json::Value;

/// Time limit for each wait. Under KVM within emulation, a guest boots in about 8 s.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause between two looks at a guest.
const PAUSE: Duration = Duration::from_millis(10);

/// Script of a guest that prints the checksum of each NVMe disk that appears, and when it is gone.
pub(super) const WATCH: &str = "echo ready; while true; do if [ -b /dev/nvme0n1 ]; then \
     echo sum $(sha256sum < /dev/nvme0n1 | cut -c1-64); \
     while [ -b /dev/nvme0n1 ]; do sleep 0.1; done; echo gone; fi; sleep 0.1; done";

/// Script of a guest that prints the number of its PCI devices when it changes.
pub(super) const COUNT: &str = "echo ready; old=0; while true; do \
     new=$(ls /sys/bus/pci/devices | wc -l); \
     if [ $new != $old ]; then echo pci $new devices; old=$new; fi; sleep 0.1; done";

/// A domain, in the parts that differ between tests.
pub(super) struct LiveDomain {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
    /// Elements below `<domain>`.
    pub(super) top: &'static str,
    /// Elements below `<devices>`.
    pub(super) devices: String,
    /// Parameters of the guest's kernel.
    pub(super) parameters: &'static str,
    pub(super) named: NamedFds,
}

impl LiveDomain {
    /// Returns a guest that watches its NVMe disk, with two root ports to spare.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            script: WATCH,
            top: "",
            devices: "<controller type='pci' model='pcie-root-port'/>".repeat(2),
            parameters: "",
            named: NamedFds::default(),
        }
    }

    pub(super) fn with(mut self, device: &str) -> Self {
        self.devices.push_str(device);
        self
    }

    fn xml(&self) -> String {
        let append = SmallGuest::new().run(self.script).kernel_arguments();
        let append = format!("{append} {}", self.parameters)
            .replace('&', "&amp;")
            .replace('<', "&lt;");
        let Self {
            name, top, devices, ..
        } = self;
        let kernel = SmallGuest::KERNEL;
        let initrd = SmallGuest::INITRD;
        format!(
            "<domain type='kvm'><name>{name}</name><memory unit='MiB'>256</memory>{top}\
             <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel>\
             <initrd>{initrd}</initrd><cmdline>{append}</cmdline></os>\
             <features><acpi/><apic/></features><cpu mode='host-passthrough'/>\
             <devices><controller type='usb' model='none'/><memballoon model='none'/>\
             <serial type='pty'/>{devices}</devices></domain>"
        )
    }

    /// Plans and starts the guest, and lets it run.
    pub(super) fn start(&self) -> LiveGuest {
        let mut guest = self.start_paused();
        guest.resume();
        guest
    }

    /// Plans and starts the guest.
    pub(super) fn start_paused(&self) -> LiveGuest {
        let host = Host::new();
        let records = Records::new(RECORD_DIR);
        let user = User::for_guest(self.name, &records, UidRange::default(), &host).unwrap();
        let capabilities = probe(&user);
        let parsed = Domain::parse(&self.xml()).unwrap();
        let mut domain = parsed.complete(&capabilities).unwrap();
        domain.set_default_backend(Backend::Iommufd);
        let settings = StartSettings {
            user,
            named: self.named.clone(),
            run_dir: RUN_DIR.into(),
            log_dir: "/tmp/hotplug-log".into(),
            records,
            lost_firmware: None,
            share_user: false,
            accept_new_device: false,
        };
        let plan = StartPlan::new(domain, &capabilities, settings).unwrap();
        let guest = start(plan, &host, &|| false).unwrap();
        let console = Console::open(guest.console().unwrap());
        LiveGuest { guest, console }
    }
}

fn probe(user: &User) -> Capabilities {
    let cache = Cache {
        dir: PathBuf::from("/tmp/hotplug-cache"),
    };
    let emulator = Path::new("/usr/bin/qemu-system-x86_64");
    cache
        .probe(emulator, &|command| user.spawn(command))
        .unwrap()
}

/// A running guest, whose devices change.
pub(super) struct LiveGuest {
    pub(super) guest: Guest,
    console: Console,
}

impl LiveGuest {
    pub(super) fn resume(&mut self) {
        self.guest.resume(&|| false).unwrap();
    }

    /// Waits for a line of the console that contains a text.
    pub(super) fn wait_for(&mut self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.console.take(what) {
            assert!(
                Instant::now() < deadline,
                "the guest has not said '{what}': {}",
                self.console.text()
            );
            self.turn();
        }
    }

    /// Waits for a blank on the console, and returns the word before it.
    pub(super) fn read_word(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(word) = self.console.take_word() {
                return word;
            }
            assert!(Instant::now() < deadline, "the guest says no word");
            self.turn();
        }
    }

    /// Attaches the devices of a document, and waits for the end of it.
    pub(super) fn attach(&mut self, xml: &str) -> TransactionEnd {
        let document = DeviceDocument::parse(xml).unwrap();
        self.guest
            .begin_attach(document, AttachSettings::default())
            .unwrap();
        self.finish()
    }

    /// Has QEMU execute a command.
    pub(super) fn ask(&mut self, command: &Command) -> Result<Value, String> {
        let ticket = self.guest.submit(command).unwrap();
        loop {
            if let Some(answer) = self.guest.take_answer(ticket) {
                return answer.map_err(|error| error.to_string());
            }
            self.turn();
        }
    }

    /// Returns whether QEMU has an object with this id.
    pub(super) fn has_object(&mut self, id: &str) -> bool {
        let path = "/objects".into();
        let answer = self.ask(&Command::QomList { path }).unwrap();
        let members = Vec::<QomMember>::read(answer).unwrap();
        members.iter().any(|member| member.name == id)
    }

    /// Detaches a device, and waits for the end of it.
    pub(super) fn detach(&mut self, device: &str, settings: DetachSettings) -> TransactionEnd {
        self.guest.begin_detach(device, settings).unwrap();
        self.finish()
    }

    /// Waits for the end of a change of devices.
    pub(super) fn finish(&mut self) -> TransactionEnd {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.guest.take_finished() {
                return end;
            }
            assert!(
                Instant::now() < deadline,
                "the change does not end: {:?}",
                self.guest.transaction_progress()
            );
            self.turn();
        }
    }

    /// Lets the guest run for a while.
    pub(super) fn run_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            self.turn();
        }
    }

    fn turn(&mut self) {
        let begin = Instant::now();
        self.guest.handle_events(&mut |_| {}).unwrap();
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(1), "a turn took {took:?}");
        thread::sleep(PAUSE);
    }

    /// Returns the files that the VMM has open, each with its number of descriptors. Sockets and
    /// files without a name count by their kind.
    pub(super) fn open_files(&self) -> BTreeMap<String, usize> {
        let mut files = BTreeMap::new();
        let folder = format!("/proc/{}/fd", self.guest.pid());
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let Ok(link) = fs::read_link(entry.path()) else {
                continue;
            };
            let name = link.to_string_lossy();
            let name = name.split(":[").next().unwrap_or_default();
            *files.entry(name.to_owned()).or_default() += 1;
        }

        files
    }

    /// Returns the VMM's limit on locked memory, in bytes.
    pub(super) fn memlock(&self) -> u64 {
        let limits = self.process_file("limits");
        let line = limits.lines().find(|line| line.starts_with("Max locked"));
        let limit = line.unwrap().split_whitespace().nth(3).unwrap();
        limit.parse().unwrap()
    }

    /// Returns the memory that the VMM has pinned, in bytes.
    pub(super) fn pinned(&self) -> u64 {
        let status = self.process_file("status");
        let line = status.lines().find(|line| line.starts_with("VmPin"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    fn process_file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.guest.pid())).unwrap()
    }

    /// Ends the guest, which must give everything back.
    pub(super) fn end(self) {
        let ended = self.guest.end();
        assert!(ended.not_restored.is_empty(), "{:?}", ended.not_restored);
    }
}

/// The console of a guest, read by a thread.
struct Console {
    text: Arc<Mutex<String>>,
}

impl Console {
    fn open(path: &Path) -> Self {
        let mut terminal = File::open(path).unwrap();
        let text = Arc::new(Mutex::new(String::new()));
        let theirs = Arc::clone(&text);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = terminal.read(&mut chunk) {
                let chunk = String::from_utf8_lossy(&chunk[..count]).into_owned();
                theirs.lock().unwrap().push_str(&chunk);
            }
        });
        Self { text }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn take_word(&self) -> Option<String> {
        let mut text = self.text.lock().unwrap();
        let end = text.find(' ')?;
        let word = text[..end].to_owned();
        text.drain(..=end);
        Some(word)
    }

    /// Returns whether the console has a text, and drops everything up to it.
    fn take(&self, what: &str) -> bool {
        let mut text = self.text.lock().unwrap();
        let Some(at) = text.find(what) else {
            return false;
        };
        text.drain(..at + what.len());
        true
    }
}

/// Returns the XML of a managed device of the host.
pub(super) fn hostdev(device: &str, more: &str) -> String {
    let bus = &device[5..7];
    let slot = &device[8..10];
    let function = &device[11..];
    format!(
        "<hostdev mode='subsystem' type='pci' managed='yes'>\
         <source><address domain='0x0000' bus='0x{bus}' slot='0x{slot}' function='0x{function}'/>\
         </source>{more}</hostdev>"
    )
}

/// Returns the state of a device on the host: its driver, its override, and its record.
pub(super) fn host_state(_: VirtualHost, device: &str) -> (Option<String>, String, bool) {
    let folder = Path::new("/sys/bus/pci/devices").join(device);
    let driver = fs::read_link(folder.join("driver")).ok();
    let driver = driver.and_then(|link| Some(link.file_name()?.to_str()?.to_owned()));
    let named = fs::read_to_string(folder.join("driver_override")).unwrap();
    let record = Path::new("/run/passthru/devices").join(format!("{device}.json"));
    (driver, named, record.exists())
}
