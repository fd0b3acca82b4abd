//! Character devices: the monitor, `<serial>`, `<parallel>`, `<console>` and `<channel>`.

use passthru_domain::device::address::Address;
use passthru_domain::device::chardev::{CharTargetType, Chardev};
use passthru_domain::device::controller::ControllerType;

use super::{char_backend, pci};
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Object, Opt, Term, Want, WantKind};

/// Returns the QMP monitor of a managed guest.
pub(crate) fn monitor(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    if context.is_standalone() {
        return Ok(Vec::new());
    }
    let socket = Want {
        name: "monitor".into(),
        kind: WantKind::Listener {
            path: context.state_path("monitor.sock"),
        },
    };
    let list = List::new("socket")
        .with("id", "charmonitor")
        .with("fd", socket);
    // QEMU 11.1 made the monitor an object, and -mon a deprecated spelling of it.
    let monitor = if context.capabilities.has_type("monitor-qmp") {
        Opt::object(Object::qom("monitor-qmp", "monitor").with("chardev", "charmonitor"))
    } else {
        let list = List::headless()
            .with("chardev", "charmonitor")
            .with("id", "monitor");
        Opt::list("-mon", list.with("mode", "control"))
    };
    Ok(vec![
        Opt::list("-chardev", char_backend::listening(list)),
        monitor,
    ])
}

/// Returns the options of a `<serial>`.
pub(crate) fn serial(context: &Context<'_>, serial: &Chardev) -> Result<Vec<Opt>, Error> {
    let id = serial.info.id();
    let kind = target_kind(serial).unwrap_or(context.machine.serial);
    let device = match kind {
        CharTargetType::SystemSerial => Opt::plain("-serial", format!("chardev:char{id}")),
        CharTargetType::PciSerial => {
            Opt::device(port("pci-serial", id).and(pci::address(context, &serial.info)?))
        }
        CharTargetType::UsbSerial => {
            Opt::device(port("usb-serial", id).and(pci::address(context, &serial.info)?))
        }
        CharTargetType::SclpSerial => Opt::device(port("sclpconsole", id)),
        CharTargetType::IsaSerial => {
            let index = serial.target.as_ref().and_then(|target| target.port);
            let device = port("isa-serial", id).maybe("index", index);
            Opt::device(device.and(isa_place(serial)))
        }
        CharTargetType::IsaDebug => Opt::device(port("isa-debugcon", id).and(isa_place(serial))),
        other => {
            return Err(Error::unsupported(format!(
                "a <serial> with a target of type '{other}'"
            )));
        }
    };
    let mut options = char_backend::serial(context, &serial.backend, id);
    options.push(device);
    Ok(options)
}

/// Returns port and interrupt of a device on the ISA bus, if the domain names them.
fn isa_place(chardev: &Chardev) -> Object {
    let Some(Address::Isa(isa)) = &chardev.info.address else {
        return Object::default();
    };
    Object::default()
        .maybe("iobase", isa.iobase)
        .maybe("irq", isa.irq)
}

/// Returns the options of a `<parallel>`.
pub(crate) fn parallel(context: &Context<'_>, chardev: &Chardev) -> Vec<Opt> {
    let id = chardev.info.id();
    let mut options = char_backend::parallel(context, &chardev.backend, id);
    options.push(Opt::device(port("isa-parallel", id)));
    options
}

/// Returns the options of a `<console>`; none for a console that is a serial port.
pub(crate) fn console(context: &Context<'_>, console: &Chardev) -> Result<Vec<Opt>, Error> {
    let id = console.info.id();
    let device = match target_kind(console) {
        None | Some(CharTargetType::Serial) => return Ok(Vec::new()),
        Some(CharTargetType::Virtio) => {
            virtio_place(context, console, "virtconsole").and(port_of(id))
        }
        Some(CharTargetType::Sclp) => port("sclpconsole", id),
        Some(CharTargetType::Sclplm) => port("sclplmconsole", id),
        Some(other) => {
            return Err(Error::unsupported(format!(
                "a <console> with a target of type '{other}'"
            )));
        }
    };
    let mut options = char_backend::serial(context, &console.backend, id);
    options.push(Opt::device(device));
    Ok(options)
}

/// Returns the options of a `<channel>`.
pub(crate) fn channel(context: &Context<'_>, channel: &Chardev) -> Result<Vec<Opt>, Error> {
    let id = channel.info.id();
    let target = channel.target.clone().unwrap_or_default();
    let mut options = char_backend::channel(context, channel);
    options.push(match target.kind {
        Some(CharTargetType::Guestfwd) => {
            let address = target
                .address
                .map(|address| address.0.to_string())
                .unwrap_or_default();
            let port = target.port.unwrap_or_default();
            let rule =
                Object::default().with("str", format!("tcp:{address}:{port}-chardev:char{id}"));
            let rules = Term::Array(vec![rule.into()]);
            Opt::json(
                "-netdev",
                Object::default()
                    .with("type", "user")
                    .with("guestfwd", rules)
                    .with("id", id),
            )
        }
        _ => {
            let device = virtio_place(context, channel, "virtserialport").and(port_of(id));
            Opt::device(device.maybe("name", char_backend::channel_name(channel)))
        }
    });
    Ok(options)
}

/// Returns a device on a virtio-serial controller; on the first free port if it has no address.
fn virtio_place(context: &Context<'_>, chardev: &Chardev, driver: &str) -> Object {
    let Some(Address::VirtioSerial(at)) = &chardev.info.address else {
        return Object::driver(driver);
    };
    let mut controllers = context
        .domain
        .devices
        .controllers_of(ControllerType::VirtioSerial);
    let controller = controllers.find(|c| c.index == Some(at.controller.unwrap_or(0)));
    let bus =
        controller.map(|controller| format!("{}.{}", controller.info.id(), at.bus.unwrap_or(0)));
    Object::driver(driver)
        .maybe("bus", bus)
        .maybe("nr", at.port)
}

fn target_kind(chardev: &Chardev) -> Option<CharTargetType> {
    chardev.target.as_ref().and_then(|target| target.kind)
}

fn port(driver: &str, id: &str) -> Object {
    Object::driver(driver).and(port_of(id))
}

fn port_of(id: &str) -> Object {
    Object::default()
        .with("chardev", format!("char{id}"))
        .with("id", id)
}
