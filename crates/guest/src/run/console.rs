//! The guest's console: the pseudo terminal that the VMM makes for it.

use std::path::PathBuf;

use passthru_domain::Domain;
use passthru_domain::device::chardev::CharSourceType;
use serde_json::Value;

/// Returns QEMU's label of the guest's console: the first serial port or console of the domain that
/// is a pseudo terminal.
pub(crate) fn console_label(domain: &Domain) -> Option<String> {
    let mut ports = domain
        .devices
        .serials
        .iter()
        .chain(&domain.devices.consoles);
    let port = ports.find(|port| port.backend.kind == Some(CharSourceType::Pty))?;
    Some(format!("char{}", port.info.id()))
}

/// Returns the path of the pseudo terminal that has `label` in the answer to `query-chardev`.
pub(crate) fn console_path(answer: &Value, label: &str) -> Option<PathBuf> {
    let chardevs = answer.as_array()?;
    let chardev = chardevs
        .iter()
        .find(|chardev| chardev.get("label").and_then(Value::as_str) == Some(label))?;
    pty_path(chardev.get("filename")?.as_str()?)
}

/// Reads `pty:/dev/pts/N`, and nothing else. The VMM is not trusted to name other paths, since root
/// opens them.
fn pty_path(name: &str) -> Option<PathBuf> {
    let number = name.strip_prefix("pty:/dev/pts/")?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| PathBuf::from(format!("/dev/pts/{number}")))
}
