//! `passthru events`: prints the events of a guest as they come.

use passthru_qemu::{format_utc, printable};
use passthru_supervisor::control::{Reply, Request};
use serde_json::{Value, json};

use super::GuestArgs;
use super::request::for_each_reply;
use crate::error::Error;
use crate::output::{escaped, print};

/// Prints the events until the guest ends, a line each.
pub(crate) fn run(args: &GuestArgs) -> Result<(), Error> {
    let mut client = args.connect()?;
    for_each_reply(&mut client, &Request::Events {}, |reply| {
        let line = match reply {
            Reply::Event(event) if args.json => escaped(&event.to_string()),
            Reply::Event(event) => text(&event),
            Reply::Lost(count) if args.json => json!({ "lost": count }).to_string(),
            Reply::Lost(count) => format!("{count} events were lost: they were not read in time"),
            Reply::Answer(_) => return Ok(false),
            _ => return Ok(true),
        };
        print(&(line + "\n"))?;
        Ok(true)
    })
}

/// Returns the line for an event: time, name, data.
fn text(event: &Value) -> String {
    let seconds = event["timestamp"]["seconds"].as_u64().unwrap_or_default();
    let name = event["event"].as_str().unwrap_or_default();
    let mut line = format!("{}Z {}", format_utc(seconds), printable(name, usize::MAX));
    let data = event["data"].as_object();
    for (key, value) in data.into_iter().flatten() {
        let member = format!(" {key}={value}");
        line += &printable(&member, usize::MAX);
    }

    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_an_event_has_its_time_name_and_data() {
        let event = json!({
            "event": "RESET",
            "data": {"guest": true, "reason": "guest-reset"},
            "timestamp": {"seconds": 1_800_000_000, "microseconds": 7},
        });
        assert_eq!(
            text(&event),
            "2027-01-15T08:00:00Z RESET guest=true reason=\"guest-reset\""
        );
    }
}
