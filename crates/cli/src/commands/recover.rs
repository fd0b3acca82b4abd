//! `passthru recover`: attends guests whose supervisor died, and puts back what dead guests left.

use std::process::ExitCode;

use passthru_guest::{
    Error as GuestError, FolderError, RECORD_DIR, Records, Recovered, dead_guests, guest_names,
    recover,
};
use serde_json::json;

use super::run::start_supervisor;
use crate::error::Error;
use crate::exit::Code;
use crate::folder::run_dir;
use crate::host::this_host;
use crate::output::{print, print_json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Names of guests [default: all whose supervisor has died]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Recovers the guests, and goes on after one that fails.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let run = run_dir();
    let host = this_host();
    let records = Records::new(RECORD_DIR);
    let mut names = args.names.clone();
    if names.is_empty() {
        names.extend(dead_guests(&run, &host).into_iter().map(|guest| guest.name));
    }

    let mut recovered = Vec::new();
    let mut attended = Vec::new();
    let mut errors = Vec::new();
    let mut failed = None;
    let known = guest_names(&run);
    for name in &names {
        if !known.contains(name) {
            let error = format!("there is nothing of a guest '{name}'");
            errors.push(Error::new(Code::Failure, error));
            continue;
        }
        match recover(name, &records, &run, &host) {
            Ok(guest) => recovered.push(guest),
            Err(GuestError::Folder(FolderError::VmmLives { .. })) => match start_supervisor(name) {
                Ok(Ok(_)) => attended.push(name),
                Ok(Err(code)) => failed = Some(code),
                Err(error) => errors.push(error),
            },
            Err(error) => errors.push(Error::from(error)),
        }
    }

    for guest in &recovered {
        errors.extend(Error::not_restored(&guest.not_restored));
    }

    if args.json {
        print_json(&json!({ "guests": recovered, "attended": attended }))?;
    } else {
        let mut lines = recovered.iter().map(text).collect::<String>();
        for name in attended {
            lines += &format!("{name}: runs, and has a supervisor again\n");
        }
        print(&lines)?;
    }

    match Error::several(errors) {
        Some(error) => Err(error),
        None => Ok(failed.unwrap_or(ExitCode::SUCCESS)),
    }
}

/// Returns the line about a guest that was recovered.
fn text(guest: &Recovered) -> String {
    if guest.devices.is_empty() {
        return format!("{}: nothing is left of it\n", guest.name);
    }
    let devices = Vec::from_iter(guest.devices.iter().map(ToString::to_string));
    format!("{}: gave back {}\n", guest.name, devices.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_the_devices() {
        let mut guest = Recovered {
            name: "vm".into(),
            devices: vec!["0000:01:00.0".parse().unwrap()],
            ..Recovered::default()
        };
        assert_eq!(text(&guest), "vm: gave back 0000:01:00.0\n");

        guest.devices.clear();
        assert_eq!(text(&guest), "vm: nothing is left of it\n");
    }
}
