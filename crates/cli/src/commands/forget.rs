//! `passthru forget`: removes the records of guests.

use std::path::Path;

use passthru_guest::{Forgotten, RECORD_DIR, RUN_DIR, Records, forget};
use passthru_host::Host;

use crate::error::Error;
use crate::output::print;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Names of guests, as in their XML
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Print the removed records as JSON
    #[arg(long)]
    json: bool,
}

/// Removes the records of guests, up to the first that fails.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let records = Records::new(RECORD_DIR);
    let host = Host::new();
    let mut forgotten = Vec::new();
    let mut failure = None;
    for name in &args.names {
        match forget(name, &records, Path::new(RUN_DIR), &host) {
            Ok(guest) => forgotten.push(guest),
            Err(error) => {
                failure = Some(error.into());
                break;
            }
        }
    }

    if args.json {
        print(&format!(
            "{:#}\n",
            serde_json::json!({ "guests": forgotten })
        ))?;
    } else {
        print(&forgotten.iter().map(text).collect::<String>())?;
    }

    failure.map_or(Ok(()), Err)
}

/// Returns the line about a guest whose record was removed.
fn text(guest: &Forgotten) -> String {
    let mut text = format!("{} is forgotten", guest.name);
    if let Some(uid) = guest.uid {
        text += &format!("; user id {uid} is free");
    }
    if let Some(reason) = &guest.unreadable {
        text += &format!("; its user id is not known, since {reason}");
    }
    if let Some(nvram) = &guest.nvram {
        text += &format!("; {nvram} is kept");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_the_free_id_and_the_kept_file() {
        let mut guest = Forgotten {
            name: "vm".into(),
            uid: Some(2_100_000_007),
            devices: Vec::new(),
            nvram: Some("/var/lib/vars.fd".into()),
            unreadable: None,
        };
        let expected = "vm is forgotten; user id 2100000007 is free; /var/lib/vars.fd is kept\n";
        assert_eq!(text(&guest), expected);

        guest = Forgotten {
            uid: None,
            nvram: None,
            unreadable: Some("x is damaged".into()),
            ..guest
        };
        assert_eq!(
            text(&guest),
            "vm is forgotten; its user id is not known, since x is damaged\n"
        );
    }
}
