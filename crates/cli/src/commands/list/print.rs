//! The output of `passthru list`: a table or JSON, and notes.

use std::collections::BTreeSet;

use passthru_host::BlindSpot;

use super::args::Args;
use super::collect::{Listing, collect};
use super::table::table;
use crate::error::Error;
use crate::hint::host_hint;
use crate::host::this_host;
use crate::message::say;
use crate::output::print;

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let listing = collect(&this_host(), args)?;
    if args.json {
        return print(&format!("{:#}\n", serde_json::json!(listing)));
    }
    if let Some(lack) = listing.host.missing() {
        say!("note: {lack}; {}", host_hint(&lack).unwrap_or_default());
    }
    let unseen: BTreeSet<&BlindSpot> = listing.devices.iter().flat_map(|row| &row.unseen).collect();
    let unseen = unseen.into_iter().map(ToString::to_string);
    for note in unseen.chain(notes(&listing)) {
        say!("note: {note}");
    }
    print(&format!("{}\n", table(&listing.devices).trim_fmt()))
}

/// Returns the notes below the table: facts that belong to no row of it.
pub(super) fn notes(listing: &Listing) -> Vec<String> {
    let mut notes: Vec<String> = listing
        .dead_guests
        .iter()
        .map(ToString::to_string)
        .collect();
    notes.extend(
        listing
            .left
            .iter()
            .map(|left| format!("{}: {left}", left.device)),
    );
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
