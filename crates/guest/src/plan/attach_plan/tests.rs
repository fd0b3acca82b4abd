//! Plans of attaches and detaches.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use passthru_host::Host;
use passthru_qemu::Capabilities;

use super::*;
use crate::op::world::World;
use crate::plan::detach_plan::DetachPlan;
use crate::plan::start_plan::StartPlan;
use crate::run::folder::GuestFolder;
use crate::start::record::Records;
use crate::start::user::User;

/// A guest with two root ports to spare, which is not started.
struct Stage {
    root: tempfile::TempDir,
    domain: Domain,
    hotplug: Hotplug,
    ledger: Ledger,
}

impl Stage {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let ports = "<controller type='pci' model='pcie-root-port'/>".repeat(2);
        let xml = format!(
            "<domain type='kvm'><name>vm</name><memory>1048576</memory><os><type arch='x86_64' \
             machine='q35'>hvm</type></os><devices><controller type='usb' model='none'/>\
             <memballoon model='none'/>{ports}</devices></domain>"
        );
        let user = User::choose(None).unwrap();
        let plan = StartPlan::for_test(&xml, root.path(), user.clone());
        let folder = GuestFolder::lock(&root.path().join("run"), "vm").unwrap();
        let records = Records::new(root.path().join("guests"));
        let world = World::new(&Host::at(root.path()), user, records, folder);
        let capabilities = Capabilities::builtin(passthru_domain::Arch::X86_64);
        Self {
            hotplug: Hotplug::new(&plan.domain, &plan.handover, capabilities),
            ledger: Ledger::new(world),
            domain: plan.domain,
            root,
        }
    }

    /// Plans an attach of a VMM whose limit on locked memory is 1 MiB.
    fn attach(&mut self, xml: &str) -> Result<AttachPlan, Error> {
        let document = DeviceDocument::parse(xml).unwrap();
        let settings = AttachSettings::default();
        let hotplug = &mut self.hotplug;
        let limit = Some(1 << 20);
        AttachPlan::new(
            document,
            settings,
            &self.domain,
            hotplug,
            &self.ledger,
            limit,
        )
    }

    /// Adds a function on `vfio-pci` to the host.
    fn add_function(&self, function: u8) {
        let root = self.root.path();
        let address = format!("0000:01:00.{function}");
        let dir = root.join("sys/devices").join(&address);
        let devices = root.join("sys/bus/pci/devices");
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(&devices).unwrap();
        for (file, text) in [
            ("vendor", "0x1b36\n"),
            ("device", "0x0010\n"),
            ("class", "0x020000\n"),
        ] {
            fs::write(dir.join(file), text).unwrap();
        }

        symlink("/x/drivers/vfio-pci", dir.join("driver")).unwrap();
        symlink(&dir, devices.join(&address)).unwrap();
    }
}

/// Returns the names of the operations, as the journal has them.
fn names(steps: &[Step]) -> Vec<String> {
    let mut names = Vec::new();
    for step in steps {
        let Step::Do(op) = step else {
            names.push("undo".into());
            continue;
        };
        let json = serde_json::to_value(op).unwrap();
        let mut name = json["op"].as_str().unwrap().to_owned();
        if let Some(device) = json["device"].as_str() {
            name = format!("{name} {device}");
        }
        names.push(name);
    }

    names
}

fn hostdev(function: u8) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='1' slot='0' \
         function='{function}'/></source></hostdev>"
    )
}

fn disk(path: &Path, more: &str) -> String {
    let path = path.display();
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/>\
         <target dev='vda' bus='virtio'/>{more}</disk>"
    )
}

#[test]
fn function_zero_is_last_in_first_out() {
    let mut stage = Stage::new();
    stage.add_function(0);
    stage.add_function(1);
    let document = format!("<devices>{}{}</devices>", hostdev(0), hostdev(1));
    let plan = stage.attach(&document).unwrap();
    let first = "0000:01:00.0";
    let second = "0000:01:00.1";
    let expected = [
        "load-modules".to_owned(),
        format!("claim {first}"),
        format!("claim {second}"),
        "raise-memlock".into(),
        "add-fd-set".into(),
        "add-object".into(),
        format!("hand-over {first}"),
        format!("hand-over {second}"),
        format!("pass-device {second}"),
        format!("add-device {second}"),
        format!("pass-device {first}"),
        format!("add-device {first}"),
    ];

    assert_eq!(names(&plan.steps), expected);

    stage.domain = plan.domain;
    let detach = DetachPlan::new(second, &stage.domain, &stage.hotplug, &stage.ledger);
    let expected = [
        format!("remove-device {first}"),
        format!("remove-device {second}"),
        "remove-object".into(),
    ];
    assert_eq!(names(&detach.unwrap().steps), expected);
}

#[test]
fn files_of_a_disk_come_before_its_nodes() {
    let mut stage = Stage::new();
    let path = stage.root.path().join("image");
    fs::write(&path, [0; 512]).unwrap();
    let plan = stage.attach(&disk(&path, "")).unwrap();
    let expected = ["pass-file", "pass-file", "add-part", "add-device"];

    assert_eq!(names(&plan.steps), expected);

    // The second set is not the first one.
    let plan = stage.attach(&disk(&path, "<readonly/>")).unwrap();
    assert_eq!(names(&plan.steps), expected[1..]);

    let Step::Do(Op::AddPart { options, .. }) = &plan.steps[1] else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(options["filename"], "/dev/fdset/10001");
}

#[test]
fn card_of_the_user_network_has_a_host_end() {
    let mut stage = Stage::new();
    let plan = stage.attach("<interface type='user'/>").unwrap();
    assert_eq!(names(&plan.steps), ["add-part", "add-device"]);
    assert!(plan.requests.is_empty());
}

#[test]
fn file_that_qemu_opens_by_itself_is_refused() {
    let mut stage = Stage::new();
    stage.add_function(0);
    let rom = "</source><rom file='/nonexistent'/></hostdev>";
    let document = hostdev(0).replace("</source></hostdev>", rom);
    let error = stage.attach(&document).unwrap_err().to_string();

    assert!(error.contains("at the start alone"), "{error}");
}
