//! Tests of transactions, against a VMM whose answers are scripted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{self, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use passthru_domain::Domain;
use passthru_host::Host;
use passthru_qemu::monitor::{DeviceEvent, Qmp};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::error::Error;
use crate::journal::read_journal;
use crate::op::effect::Effect;
use crate::op::ledger::Ledger;
use crate::op::op::Op;
use crate::op::world::World;
use crate::plan::memlock::Memlock;
use crate::run::folder::GuestFolder;
use crate::run::machine::Machine;
use crate::run::vmm::Vmm;
use crate::start::record::Records;
use crate::start::user::User;

mod media;

const DEVICE: &str = "0000:01:00.0";

/// Answers of the VMM to one command: the reply, and the event that follows.
struct Reply {
    reply: Value,
    event: Option<Value>,
}

impl Reply {
    fn good() -> Self {
        Self {
            reply: json!({ "return": {} }),
            event: None,
        }
    }

    fn error(desc: &str) -> Self {
        Self {
            reply: json!({ "error": { "class": "GenericError", "desc": desc } }),
            event: None,
        }
    }

    fn with_event(mut self, name: &str) -> Self {
        let path = "/machine/peripheral/hostdev0";
        let data = json!({ "device": "hostdev0", "path": path });
        self.event = Some(json!({ "event": name, "data": data,
            "timestamp": { "seconds": 1, "microseconds": 0 } }));
        self
    }
}

/// Talks to a client until the script has no reply for a command. Then closes the connection.
fn talk(
    stream: UnixStream,
    script: &mut dyn FnMut(&str) -> Option<Reply>,
    log: &Sender<String>,
) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    writer.write_all(b"{\"QMP\":{}}\n")?;
    for line in BufReader::new(stream).lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let name = command["execute"].as_str().unwrap_or_default();
        let mut answer = Reply::good();
        if name != "qmp_capabilities" {
            let arguments = &command["arguments"];
            let id = arguments["id"].as_str().unwrap_or_default();
            let _ = log.send(format!("{name} {id}"));
            let Some(next) = script(name) else {
                return Ok(());
            };
            answer = next;
        }
        answer.reply["id"] = command["id"].clone();
        writeln!(writer, "{}", answer.reply)?;
        if let Some(event) = answer.event {
            writeln!(writer, "{event}")?;
        }
    }

    Ok(())
}

/// A guest whose VMM is a script.
struct Stage {
    folder: TempDir,
    ledger: Ledger,
    machine: Machine,
    log: Receiver<String>,
}

impl Stage {
    fn new(mut script: impl FnMut(&str) -> Option<Reply> + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let guest = GuestFolder::lock(&folder.path().join("run"), "vm").unwrap();
        let path = guest.path().to_owned();
        let records = Records::new(folder.path().join("guests"));
        let user = User::choose(None).unwrap();
        let mut ledger = Ledger::new(World::new(&Host::new(), user, records, guest));
        let make = Op::MakeGuestFolder { path };
        let made = ledger.perform(make, |_, world, _| Ok(world.folder.make()?));
        made.unwrap();

        let mut command = process::Command::new("/bin/sleep");
        let child = command.arg("60").stdin(Stdio::null()).spawn().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, log) = channel();
        std::thread::spawn(move || talk(theirs, &mut script, &sender));
        let monitor = Qmp::new(ours, Duration::from_secs(30)).unwrap();
        let mut machine = Machine::new(Vmm::new(child, None).unwrap(), monitor);
        machine.wait(machine.negotiation(), &|| false).unwrap();
        Self {
            folder,
            ledger,
            machine,
            log,
        }
    }

    /// Notes that the VMM got the descriptor of the device.
    fn pass_device(&mut self) -> u32 {
        let device = DEVICE.parse().unwrap();
        let number = self.ledger.begin(Op::PassDevice { device, set: 1 });
        let number = number.unwrap();
        let effect = Some(Effect::Descriptor(21));
        self.ledger.finish(number, effect).unwrap();
        number
    }

    /// Runs a transaction to its end.
    fn run(&mut self, kind: TransactionKind, steps: Vec<Step>, time: Duration) -> TransactionEnd {
        let mut transaction = transaction(kind, steps, time);
        self.go_on(&mut transaction)
    }

    fn go_on(&mut self, transaction: &mut Transaction) -> TransactionEnd {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let _ = self.machine.advance();
            while let Some(event) = self.machine.take_event() {
                transaction.note(DeviceEvent::read(&event).unwrap().unwrap());
            }
            let now = Instant::now();
            let end = transaction.advance(&mut self.ledger, &mut self.machine, now);
            if let Some(end) = end {
                return end;
            }
            assert!(now < deadline, "{transaction:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn commands(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Returns the operations in force besides the folder, as the journal has them.
    fn in_force(&self) -> Vec<Op> {
        let folder = self.folder.path().join("run/domain-vm");
        let state = read_journal(&folder).unwrap().unwrap();
        let entries = self.ledger.entries();
        let noted = state.entries.iter().map(|entry| entry.number);
        let known = entries.iter().map(|entry| entry.number);
        assert!(noted.eq(known), "{:?}", state.entries);
        let ops = state.entries.into_iter().skip(1);
        ops.map(|entry| entry.op).collect()
    }
}

fn transaction(kind: TransactionKind, steps: Vec<Step>, time: Duration) -> Transaction {
    let domain = Domain::parse(
        "<domain type='kvm'><name>vm</name><memory>1024</memory><os><type>hvm</type></os></domain>",
    );
    Transaction::new(TransactionPlan {
        kind,
        steps,
        aliases: vec!["hostdev0".into()],
        requests: Vec::new(),
        domain: None,
        memlock: Memlock::for_domain(&domain.unwrap(), &|_| 0),
        media: BTreeMap::new(),
        time,
        force: false,
    })
}

fn object(id: &str) -> Op {
    Op::AddObject {
        object: id.into(),
        descriptor: Some(7),
    }
}

fn add_device() -> Op {
    Op::AddDevice {
        alias: "hostdev0".into(),
        device: DEVICE.parse().ok(),
        options: json!({ "driver": "vfio-pci", "id": "hostdev0" }),
    }
}

fn remove_device() -> Step {
    Step::Do(Op::RemoveDevice {
        alias: "hostdev0".into(),
        device: DEVICE.parse().ok(),
    })
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn failure_at_each_command_undoes_those_before() {
    let adds = ["object-add a", "object-add b", "device_add hostdev0"];
    let undone = ["object-del b", "object-del a"];
    for failing in 0..adds.len() {
        let mut seen = 0;
        let mut stage = Stage::new(move |_| {
            seen += 1;
            let is_failing = seen == failing + 1;
            Some(if is_failing {
                Reply::error("no")
            } else {
                Reply::good()
            })
        });
        stage.pass_device();
        let ops = [object("a"), object("b"), add_device()];
        let steps = ops.into_iter().map(Step::Do).collect();
        let end = stage.run(TransactionKind::Attach, steps, LONG);

        let error = end.result.unwrap_err();
        assert!(
            matches!(&error, Error::Hotplug(HotplugError::Refused { .. })),
            "{error:?}"
        );
        let mut expected = adds[..=failing].to_vec();
        expected.extend(&undone[undone.len() - failing..]);
        assert_eq!(stage.commands(), expected);
        assert!(matches!(
            stage.in_force().as_slice(),
            [Op::PassDevice { .. }]
        ));
    }
}

#[test]
fn attached_device_stays_in_the_journal_until_detached() {
    let mut stage = Stage::new(|name| {
        Some(match name {
            "device_del" => Reply::good().with_event("DEVICE_DELETED"),
            _ => Reply::good(),
        })
    });
    let passed = stage.pass_device();
    let steps = vec![Step::Do(add_device())];
    stage
        .run(TransactionKind::Attach, steps, LONG)
        .result
        .unwrap();

    assert_eq!(stage.in_force().last(), Some(&add_device()));

    let added = stage.ledger.entries().last().unwrap().number;
    let steps = vec![remove_device(), Step::Undo(added), Step::Undo(passed)];
    let end = stage.run(TransactionKind::Detach, steps, LONG);

    end.result.unwrap();
    assert_eq!(
        stage.commands(),
        ["device_add hostdev0", "device_del hostdev0"]
    );
    assert_eq!(stage.in_force(), []);
}

#[test]
fn busy_guest_is_asked_again() {
    let mut asked = 0;
    let mut stage = Stage::new(move |_| {
        asked += 1;
        Some(match asked {
            1 => Reply::error("Hot-unplug failed: guest is busy (power indicator blinking)"),
            _ => Reply::good().with_event("DEVICE_DELETED"),
        })
    });
    let end = stage.run(TransactionKind::Detach, vec![remove_device()], LONG);
    end.result.unwrap();

    assert_eq!(stage.commands().len(), 2);
}

#[test]
fn guest_that_refuses_or_ignores_keeps_the_device() {
    for is_refusing in [true, false] {
        let mut stage = Stage::new(move |_| {
            Some(if is_refusing {
                Reply::good().with_event("DEVICE_UNPLUG_GUEST_ERROR")
            } else {
                Reply::error("Device hostdev0 is already in the process of unplug")
            })
        });
        stage.pass_device();
        let number = stage.ledger.begin(add_device()).unwrap();
        stage.ledger.finish(number, None).unwrap();
        let steps = vec![remove_device(), Step::Undo(number)];
        let time = Duration::from_millis(100);
        let end = stage.run(TransactionKind::Detach, steps, time);

        let error = end.result.unwrap_err();
        let Error::Hotplug(error) = &error else {
            panic!("{error:?}")
        };
        match error {
            HotplugError::UnplugRefused { .. } => assert!(is_refusing),
            HotplugError::NotReleased { .. } => assert!(!is_refusing),
            other => panic!("{other:?}"),
        }
        assert_eq!(stage.in_force().last(), Some(&add_device()));
    }
}

#[test]
fn closed_monitor_leaves_the_rest_to_the_end() {
    let mut stage = Stage::new(|name| (name != "device_add").then(Reply::good));
    stage.pass_device();
    let steps = vec![Step::Do(object("a")), Step::Do(add_device())];
    let end = stage.run(TransactionKind::Attach, steps, LONG);
    let error = end.result.unwrap_err();

    assert!(
        matches!(&error, Error::Monitor(cause) if cause.is_closed()),
        "{error:?}"
    );
    assert_eq!(stage.in_force().last(), Some(&object("a")));
}

#[test]
fn interrupted_attach_is_undone() {
    let mut stage = Stage::new(|_| Some(Reply::good()));
    let steps = vec![Step::Do(object("a")), Step::Do(object("b"))];
    let mut attach = transaction(TransactionKind::Attach, steps, LONG);
    let now = Instant::now();

    assert!(
        attach
            .advance(&mut stage.ledger, &mut stage.machine, now)
            .is_none()
    );

    attach.interrupt();
    let end = stage.go_on(&mut attach);

    assert!(matches!(end.result, Err(Error::Interrupted)));
    assert_eq!(stage.commands(), ["object-add a", "object-del a"]);
    assert_eq!(stage.in_force(), []);
}

#[test]
fn interrupted_detach_stops_waiting_for_the_guest() {
    let mut stage = Stage::new(|_| Some(Reply::good()));
    let mut detach = transaction(TransactionKind::Detach, vec![remove_device()], LONG);
    let now = Instant::now();
    assert!(
        detach
            .advance(&mut stage.ledger, &mut stage.machine, now)
            .is_none()
    );

    detach.interrupt();
    let end = stage.go_on(&mut detach);
    assert!(matches!(end.result, Err(Error::Interrupted)));
    assert_eq!(stage.in_force(), []);
}
