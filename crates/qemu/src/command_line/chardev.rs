//! Character devices: the monitor, `<serial>` and `<console>`.

use super::opt::{List, Object, Opt};
use super::want::{Want, What};
use super::{Context, Error, pci};
use passthru_domain::device::chardev::{CharSourceType, CharTargetType, Chardev, SocketMode};

/// The monitor that a manager talks to by QMP.
pub(super) fn monitor(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    if context.is_standalone() {
        return Ok(Vec::new());
    }
    let socket =
        Want { name: "monitor".into(), what: What::Listener { path: context.state_path("monitor.sock") } };
    let list = List::new("socket").with("id", "charmonitor").with("fd", socket);
    // QEMU 11.1 made the monitor an object, and -mon a deprecated spelling of it.
    let monitor = match context.capabilities.has_type("monitor-qmp") {
        true => Opt::object(Object::qom("monitor-qmp", "monitor").with("chardev", "charmonitor")),
        false => {
            let list = List::headless().with("chardev", "charmonitor").with("id", "monitor");
            Opt::list("-mon", list.with("mode", "control"))
        }
    };
    Ok(vec![Opt::list("-chardev", listening(list)), monitor])
}

/// `<serial>`.
pub(super) fn serials(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let serials = context.domain.devices.serials.iter();
    Ok(serials.map(|serial| self::serial(context, serial)).collect::<Result<Vec<_>, _>>()?.concat())
}

/// `<console>`: those that are no serial port under another name.
pub(super) fn consoles(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let consoles = context.domain.devices.consoles.iter();
    Ok(consoles.map(|console| self::console(context, console)).collect::<Result<Vec<_>, _>>()?.concat())
}

fn serial(context: &Context<'_>, serial: &Chardev) -> Result<Vec<Opt>, Error> {
    let id = serial.info.id();
    let kind = target_kind(serial).unwrap_or(context.machine.serial);
    let device = match kind {
        CharTargetType::SystemSerial => Opt::plain("-serial", format!("chardev:char{id}")),
        CharTargetType::PciSerial => {
            let device = port("pci-serial", id).and(pci::address(context, &serial.info)?);
            Opt::device(device)
        }
        CharTargetType::IsaSerial => {
            let index = serial.target.as_ref().and_then(|target| target.port);
            Opt::device(port("isa-serial", id).maybe("index", index))
        }
        other => return Err(Error::unsupported(format!("a <serial> with a target of type '{other}'"))),
    };
    Ok(vec![backend(context, serial)?, device])
}

fn console(context: &Context<'_>, console: &Chardev) -> Result<Vec<Opt>, Error> {
    match target_kind(console) {
        None | Some(CharTargetType::Serial) => Ok(Vec::new()),
        Some(CharTargetType::Virtio) => {
            let device = port("virtconsole", console.info.id());
            Ok(vec![backend(context, console)?, Opt::device(device)])
        }
        Some(other) => Err(Error::unsupported(format!("a <console> with a target of type '{other}'"))),
    }
}

fn target_kind(chardev: &Chardev) -> Option<CharTargetType> {
    chardev.target.as_ref().and_then(|target| target.kind)
}

fn port(driver: &str, id: &str) -> Object {
    Object::driver(driver).with("chardev", format!("char{id}")).with("id", id)
}

/// `-chardev`: the host's end.
fn backend(context: &Context<'_>, chardev: &Chardev) -> Result<Opt, Error> {
    let id = chardev.info.id();
    let kind = chardev.kind.unwrap_or(CharSourceType::Pty);
    let list = |backend: &str| List::new(backend).with("id", format!("char{id}"));
    let list = match kind {
        CharSourceType::Pty | CharSourceType::Null | CharSourceType::Stdio => list(kind.as_str()),
        CharSourceType::File => file(context, list("file"), chardev),
        CharSourceType::Unix => unix(context, list("socket"), chardev),
    };
    Ok(Opt::list("-chardev", list))
}

/// A descriptor of an fd set stands for a file that is open already: whether it was made empty then is
/// settled, and QEMU must not do it.
fn file(context: &Context<'_>, list: List, chardev: &Chardev) -> List {
    let append = chardev.source.as_ref().and_then(|source| source.append);
    if context.is_standalone() {
        return list.with("path", path(chardev)).maybe("append", append);
    }
    let append = append == Some(true);
    let what = What::Output { path: path(chardev), append };
    list.with("path", Want { name: source_name(chardev), what }).with("append", true)
}

fn unix(context: &Context<'_>, list: List, chardev: &Chardev) -> List {
    let mode = chardev.source.as_ref().and_then(|source| source.mode);
    if mode != Some(SocketMode::Bind) {
        return list.with("path", path(chardev));
    }
    if context.is_standalone() {
        return listening(list.with("path", path(chardev)));
    }
    let what = What::Listener { path: path(chardev) };
    listening(list.with("fd", Want { name: source_name(chardev), what }))
}

fn listening(list: List) -> List {
    list.with("server", true).with("wait", false)
}

fn path(chardev: &Chardev) -> String {
    chardev.source.as_ref().and_then(|source| source.path.clone()).unwrap_or_default()
}

fn source_name(chardev: &Chardev) -> String {
    format!("{}-source", chardev.info.id())
}
