//! `passthru attach`: gives a guest devices while it runs.

use std::path::PathBuf;

use passthru_domain::DeviceDocument;
use passthru_supervisor::control::Request;

use super::GuestArgs;
use super::progress::{aliases, call_with_progress};
use crate::error::Error;
use crate::input;
use crate::message::say;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    /// XML of a device, or of several below `<devices>`; `-` reads standard input
    #[arg(value_name = "DEVICE.xml")]
    file: PathBuf,
}

/// Attaches the devices of a document, all or none.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let document = input::read(&args.file)?;
    let xml = document.text().to_owned();
    // The supervisor reads the document too. Here its errors are shown at their places.
    if let Err(errors) = DeviceDocument::parse(&xml) {
        return Err(Error::in_document(&document, errors));
    }
    let request = Request::Attach {
        xml,
        fds: Vec::new(),
        accept_new_device: false,
    };
    let answer = call_with_progress(&args.guest, &request)?;
    for note in answer["notes"].as_array().into_iter().flatten() {
        say!("note: {}", note.as_str().unwrap_or_default());
    }
    let text = format!("guest '{}' has {}\n", args.guest.name, aliases(&answer));
    args.guest.show(&answer, &text)
}
