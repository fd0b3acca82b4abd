//! `passthru ps`: lists the guests that run.

use std::path::Path;

use comfy_table::Table;
use passthru_guest::RUN_DIR;
use passthru_host::Host;
use passthru_supervisor::control::{Client, Request};
use passthru_supervisor::{Attendance, SurveyedGuest, survey};
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use crate::folder::run_dir;
use crate::message::say;
use crate::output::{print, print_json};
use crate::table::{new_table, or_dash};
use crate::units::{age_text, now, size_text};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the guests as JSON
    #[arg(long)]
    json: bool,
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    state: String,
    pid: Option<u64>,
    supervisor: Option<u64>,
    since: Option<u64>,
    /// Memory of the guest, in bytes.
    memory: Option<u64>,
    devices: Vec<String>,
}

/// Prints the guests of the caller, and those of root whose supervisors answer the caller.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let run = run_dir();
    let guests = survey(&run, &Host::new());
    let mut rows = Vec::from_iter(guests.into_iter().map(row));
    if run != *RUN_DIR {
        rows.extend(rows_of_root());
    }
    if args.json {
        return print_json(&serde_json::json!({ "guests": rows }));
    }

    let states = ["dead", "unattended"];
    if rows.iter().any(|row| states.contains(&row.state.as_str())) {
        say!("note: `passthru recover` attends guests without supervisor, and clears dead ones");
    }
    let table = table(&rows, now());
    print(&format!("{}\n", table.trim_fmt()))
}

fn row(guest: SurveyedGuest) -> Row {
    let status = guest.status.as_ref();
    let state = match guest.attendance {
        Attendance::Ended => "dead",
        Attendance::Unattended => "unattended",
        Attendance::Attended => status.map_or("starting", |status| status.state.name()),
    };
    let lives = guest.attendance != Attendance::Ended;
    let vmm = status
        .and_then(|status| status.vmm.as_ref())
        .filter(|_| lives);
    let is_attended = guest.attendance == Attendance::Attended;
    let supervisor = status.filter(|_| is_attended);
    Row {
        state: state.into(),
        pid: vmm.map(|vmm| vmm.pid.into()),
        supervisor: supervisor.map(|status| status.supervisor.pid.into()),
        since: status.map(|status| status.since),
        memory: status.map(|status| status.memory),
        devices: status
            .map(|status| status.devices.clone())
            .unwrap_or_default(),
        name: guest.name,
    }
}

/// Asks the supervisors of root's guests. Leaves out those that do not answer the caller.
fn rows_of_root() -> Vec<Row> {
    let mut rows = Vec::new();
    let sockets = std::fs::read_dir(Path::new(RUN_DIR).join("control"));
    for entry in sockets.into_iter().flatten().flatten() {
        let file_name = entry.file_name();
        let name = file_name
            .to_str()
            .and_then(|name| name.strip_suffix(".sock"));
        let Some(name) = name else { continue };
        let answer = Client::connect(RUN_DIR.as_ref(), name)
            .and_then(|mut client| client.call(&Request::Info {}, &[]));
        match answer {
            Ok(answer) => rows.push(row_of_info(name, &answer.value)),
            Err(error) => tracing::debug!("{error}"),
        }
    }

    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

fn row_of_info(name: &str, info: &Value) -> Row {
    let devices = info["devices"].as_array().into_iter().flatten();
    let devices = devices.filter_map(|device| device["device"].as_str());
    Row {
        name: name.into(),
        state: info["state"].as_str().unwrap_or("unknown").into(),
        pid: info["pid"].as_u64(),
        supervisor: info["supervisor"].as_u64(),
        since: info["since"].as_u64(),
        memory: info["memory"].as_u64(),
        devices: devices.map(str::to_owned).collect(),
    }
}

fn table(rows: &[Row], now: u64) -> Table {
    let mut table = new_table(&["NAME", "STATE", "PID", "FOR", "MEMORY", "DEVICES"]);
    for row in rows {
        let devices = row.devices.join(" ");
        table.add_row([
            row.name.clone(),
            row.state.clone(),
            or_dash(row.pid),
            or_dash(row.since.map(|since| age_text(since, now))),
            or_dash(row.memory.map(size_text)),
            or_dash((!devices.is_empty()).then_some(devices)),
        ]);
    }

    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_shows_a_dash_for_what_is_not_known() {
        let rows = [
            Row {
                name: "vm".into(),
                state: "running".into(),
                pid: Some(7),
                supervisor: Some(6),
                since: Some(1000),
                memory: Some(4 << 30),
                devices: vec!["0000:01:00.0".into(), "0000:02:00.0".into()],
            },
            row(SurveyedGuest {
                name: "new".into(),
                status: None,
                attendance: Attendance::Attended,
            }),
        ];
        let text = table(&rows, 1090).trim_fmt();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();

        assert_eq!(
            lines[1],
            [
                "vm",
                "running",
                "7",
                "1",
                "min",
                "4096",
                "MiB",
                "0000:01:00.0",
                "0000:02:00.0"
            ]
        );
        assert_eq!(lines[2], ["new", "starting", "-", "-", "-", "-"]);
    }
}
