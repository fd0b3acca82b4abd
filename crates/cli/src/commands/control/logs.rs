//! `passthru logs`: prints what the VMM of a guest has written to standard error.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use passthru_guest::LogReader;

use crate::error::Error;
use crate::exit::Code;
use crate::folder::{log_dir, supervisor_log};
use crate::output::print;

/// Interval in which a log is looked at for new lines.
const INTERVAL: Duration = Duration::from_millis(250);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the guest, as in its XML
    #[arg(value_name = "NAME")]
    name: String,
    /// Wait for further lines, and print them as they come
    #[arg(short, long)]
    follow: bool,
    /// Print the messages of a detached supervisor instead
    #[arg(long, conflicts_with = "follow")]
    supervisor: bool,
}

/// The log of a guest cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

/// Prints the log of a guest: of its last start, and of earlier ones as far as the log goes back.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let path = if args.supervisor {
        supervisor_log(&args.name)
    } else {
        log_dir().join(format!("{}.log", args.name))
    };
    let mut reader = LogReader::open(&path).map_err(|source| unreadable(&path, source))?;
    loop {
        let part = reader.read().map_err(|source| unreadable(&path, source))?;
        if !part.is_empty() {
            print(&String::from_utf8_lossy(&part))?;
        } else if args.follow {
            sleep(INTERVAL);
        } else {
            return Ok(());
        }
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    let is_missing = source.kind() == ErrorKind::NotFound;
    let hint = is_missing.then_some("a guest has a log once it was started");
    let path = path.into();
    Error::new(Code::Failure, Unreadable { path, source }).hint(hint)
}
