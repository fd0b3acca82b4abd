//! `passthru info`: describes a guest that runs.

use passthru_qemu::printable;
use passthru_supervisor::control::Request;
use serde_json::Value;

use super::GuestArgs;
use crate::error::Error;
use crate::table::or_dash;
use crate::units::{age_text, now, size_text};

/// Prints the state, the processes, the memory and the devices of a guest.
pub(crate) fn run(args: &GuestArgs) -> Result<(), Error> {
    let answer = args.call(&Request::Info {})?;
    args.show(&answer, &text(&answer, now()))
}

fn text(info: &Value, now: u64) -> String {
    let mut text = String::new();
    let since = info["since"].as_u64().unwrap_or(now);
    line(&mut text, "name", &plain(&info["name"]));
    line(&mut text, "uuid", &plain(&info["uuid"]));
    line(&mut text, "state", &plain(&info["state"]));
    line(&mut text, "runs for", &age_text(since, now));
    line(
        &mut text,
        "VMM",
        &format!("process {}, uid {}", info["pid"], info["uid"]),
    );
    line(
        &mut text,
        "supervisor",
        &format!("process {}", info["supervisor"]),
    );
    line(&mut text, "processors", &plain(&info["vcpus"]));
    line(&mut text, "memory", &size(&info["memory"]));
    line(&mut text, "pinned", &size(&info["pinned"]));
    line(&mut text, "console", &plain(&info["console"]));
    let devices = info["devices"].as_array();
    for device in devices.into_iter().flatten() {
        let name = format!(
            "{} ({}, {})",
            plain(&device["device"]),
            plain(&device["alias"]),
            plain(&device["backend"])
        );
        line(&mut text, "device", &name);
    }

    text
}

fn line(text: &mut String, key: &str, value: &str) {
    *text += &format!("{key:<12}{value}\n");
}

/// Returns a value as text, `-` if there is none.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => printable(text, usize::MAX),
        other => other.to_string(),
    }
}

/// Returns a number of bytes as text, `-` if there is none.
fn size(bytes: &Value) -> String {
    or_dash(bytes.as_u64().map(size_text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_has_a_line_for_each_fact_and_device() {
        let info = json!({
            "name": "vm", "uuid": null, "state": "running", "pid": 7, "uid": 2_100_000_000,
            "supervisor": 6, "since": 1000, "memory": 4_u64 << 30, "pinned": 1 << 20, "vcpus": 4,
            "console": "/dev/pts/3",
            "devices": [{"alias": "hostdev0", "device": "0000:01:00.0", "backend": "iommufd"}],
        });
        let expected = "\
name        vm
uuid        -
state       running
runs for    1 min
VMM         process 7, uid 2100000000
supervisor  process 6
processors  4
memory      4096 MiB
pinned      1 MiB
console     /dev/pts/3
device      0000:01:00.0 (hostdev0, iommufd)
";
        assert_eq!(text(&info, 1090), expected);
    }
}
