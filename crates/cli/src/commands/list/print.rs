//! The output of `passthru list`: a table or JSON, and notes.

use std::collections::BTreeSet;

use passthru_host::{BlindSpot, Error as HostError};

use super::args::Args;
use super::collect::{Listing, collect};
use super::table::table;
use crate::error::Error;
use crate::hint::host_hint;
use crate::host::this_host;
use crate::message::say;
use crate::output::print;

/// Prints the devices as a table with notes, or as JSON.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let listing = collect(&this_host(), args)?;
    if args.json {
        return print(&format!("{:#}\n", serde_json::json!(listing)));
    }
    if let Some(lack) = listing.host.missing() {
        match lack {
            HostError::NoIommu => say!("note: {lack}; {}", host_hint(&lack).unwrap_or_default()),
            _ => say!("note: {lack}; `run` gives devices that name no backend through type1"),
        }
    }

    let mut blind_spots: BTreeSet<&BlindSpot> = BTreeSet::new();
    for row in &listing.devices {
        blind_spots.extend(&row.unseen);
    }
    for blind_spot in blind_spots {
        say!("note: {blind_spot}");
    }
    for note in notes(&listing) {
        say!("note: {note}");
    }
    print(&format!("{}\n", table(&listing.devices).trim_fmt()))
}

/// Returns the notes below the table: facts that belong to no row of it.
pub(super) fn notes(listing: &Listing) -> Vec<String> {
    let mut notes = Vec::new();
    for guest in &listing.dead_guests {
        notes.push(guest.to_string());
    }
    for left in &listing.left {
        notes.push(format!("{}: {left}", left.device));
    }
    if let Some(reason) = &listing.records_unreadable {
        notes.push(format!(
            "what dead guests left is not shown, since passthru {reason}"
        ));
    }

    if listing.devices.iter().any(|row| row.left.is_some()) {
        notes.push("`passthru unbind` gives back what was left".into());
    }
    notes
}
