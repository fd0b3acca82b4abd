//! Devices whose properties `-set` changes, in an argument of `<qemu:commandline>`.
//!
//! QEMU finds the device of `-set device.ID.PROPERTY=VALUE` among those that a `key=value` list
//! describes (`qemu_set_option`). It does not find a device that is described in JSON.

use std::collections::HashSet;

use passthru_domain::Domain;

use crate::line::{List, Object, Opt, Term, Value};

/// Describes devices whose properties `-set` changes by lists instead of JSON.
///
/// QEMU makes the devices of lists before those of JSON (`qemu_create_cli_devices`). So the
/// controllers above such a device become lists too.
pub(crate) fn describe_by_lists(domain: &Domain, options: &mut [Opt]) {
    let Some(line) = &domain.emulator_commandline else {
        return;
    };
    let ids = line.set_devices().into_iter();
    let mut wanted: Vec<_> = ids.map(str::to_owned).collect();
    let mut listed = HashSet::new();
    while let Some(id) = wanted.pop() {
        if !listed.insert(id.clone()) {
            continue;
        }
        let Some(option) = options.iter_mut().find(|option| is_device(option, &id)) else {
            continue;
        };
        let Value::Json(object) = &option.value else {
            continue;
        };
        let above = object.text("bus").map(controllers);
        if let Some(list) = as_list(object) {
            option.value = Value::List(list);
            wanted.extend(above.into_iter().flatten());
        }
    }
}

fn is_device(option: &Opt, id: &str) -> bool {
    option.flag == "-device" && option.id() == Some(id)
}

/// Returns the ids that the device of a bus can have: `pci.6` has the bus `pci.6`, and `usb` has
/// the bus `usb.0`.
fn controllers(bus: &str) -> Vec<String> {
    let short = bus.rsplit_once('.').map(|(id, _)| id);
    [Some(bus), short]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect()
}

/// Returns the list with the members of a device; `None` if one of them has no form in a list.
fn as_list(object: &Object) -> Option<List> {
    let driver = object.text("driver")?;
    let members = object.0.iter().filter(|(key, _)| key != "driver");
    let flat =
        members.filter(|(_, term)| !matches!(term, Term::Array(_) | Term::Object(_) | Term::Null));
    let list = List::new(driver).and(List(flat.cloned().collect()));
    (list.0.len() == object.0.len()).then_some(list)
}
