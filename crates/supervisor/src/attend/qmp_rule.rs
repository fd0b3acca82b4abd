//! The commands of QEMU's monitor that a user may send.

use passthru_qemu::monitor::Command;
use serde_json::{Map, Value};

use crate::control::{ErrorKind, ErrorMessage};

/// Commands that change nothing that the journal or the supervisor keeps track of. So are those
/// whose name begins with `query-`.
const ALLOWED: &[&str] = &[
    "cont",
    "device-list-properties",
    "inject-nmi",
    "input-send-event",
    "qom-get",
    "qom-list",
    "qom-list-properties",
    "qom-list-types",
    "screendump",
    "send-key",
    "stop",
    "system_reset",
    "system_wakeup",
    "trace-event-get-state",
    "trace-event-set-state",
];

/// Reads a command that a user wrote, as QEMU's monitor reads it.
///
/// # Errors
/// - If it is not a command, then [`ErrorKind::BadRequest`].
/// - If the command may change what the supervisor keeps track of, then [`ErrorKind::NotAllowed`].
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
    if !ALLOWED.contains(&name) && !name.starts_with("query-") {
        let message = format!("the monitor's command '{name}' may bypass the supervisor");
        return Err(ErrorMessage::new(ErrorKind::NotAllowed, message));
    }

    Ok(Command::Other {
        name: name.to_owned(),
        arguments,
    })
}

fn bad(reason: &str) -> ErrorMessage {
    let message = format!("this is not a command of QEMU's monitor: {reason}");
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
