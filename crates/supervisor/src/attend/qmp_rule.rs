//! The commands of QEMU's monitor that a user may send.

use passthru_qemu::monitor::Command;
use serde_json::{Map, Value};

use crate::control::{ErrorKind, ErrorMessage};

/// Commands that change what the journal or the supervisor keeps track of.
const OURS: &[&str] = &[
    "add-fd",
    "block_resize",
    "chardev-add",
    "chardev-change",
    "chardev-remove",
    "client_migrate_info",
    "closefd",
    "device_add",
    "device_del",
    "getfd",
    "human-monitor-command",
    "migrate",
    "migrate-incoming",
    "migrate-recover",
    "netdev_add",
    "netdev_del",
    "object-add",
    "object-del",
    "qmp_capabilities",
    "quit",
    "remove-fd",
    "set-action",
    "snapshot-delete",
    "snapshot-load",
    "snapshot-save",
];

/// Reads a command that a user wrote, as QEMU's monitor reads it.
///
/// # Errors
/// - If it is not a command, then [`ErrorKind::BadRequest`].
/// - If the command is one of the supervisor's own, then [`ErrorKind::NotAllowed`].
pub(super) fn read_command(line: &Value) -> Result<Command, ErrorMessage> {
    let members = line.as_object().ok_or_else(|| bad("it is not an object"))?;
    let name = members.get("execute").and_then(Value::as_str);
    let name = name.ok_or_else(|| bad("it has no text 'execute'"))?;
    for key in members.keys() {
        if !["execute", "arguments", "id"].contains(&key.as_str()) {
            return Err(bad(&format!("'{key}' is not known")));
        }
    }

    let arguments = match members.get("arguments") {
        None => Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return Err(bad("'arguments' is not an object")),
    };
    if OURS.contains(&name) || name.starts_with("blockdev-") {
        let message = format!("the monitor's command '{name}' is the supervisor's own");
        return Err(ErrorMessage::new(ErrorKind::NotAllowed, message));
    }
    Ok(Command::Other {
        name: name.to_owned(),
        arguments,
    })
}

fn bad(reason: &str) -> ErrorMessage {
    let message = format!("this is no command of QEMU's monitor: {reason}");
    let message = ErrorMessage::new(ErrorKind::BadRequest, message);
    message.with_hint("write it as QEMU reads it: {\"execute\": \"query-status\"}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn command_is_read_as_the_monitor_reads_it() {
        let line = json!({"execute": "qom-list", "arguments": {"path": "/"}, "id": 7});
        let command = read_command(&line).unwrap();
        let Command::Other { name, arguments } = command else {
            panic!("{command:?}")
        };
        assert_eq!(name, "qom-list");
        assert_eq!(Value::from(arguments), json!({"path": "/"}));
    }

    #[test]
    fn command_that_bypasses_the_journal_is_refused() {
        for name in [
            "device_del",
            "blockdev-add",
            "human-monitor-command",
            "quit",
        ] {
            let error = read_command(&json!({ "execute": name })).unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotAllowed, "{name}");
            assert!(error.message.contains(name), "{error}");
        }
    }

    #[test]
    fn other_json_is_refused() {
        for line in [
            json!("stop"),
            json!({}),
            json!({"exec-oob": "quit"}),
            json!({"execute": 1}),
            json!({"execute": "query-status", "arguments": []}),
            json!({"execute": "query-status", "control": {}}),
        ] {
            let error = read_command(&line).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadRequest, "{line}");
        }
    }
}
