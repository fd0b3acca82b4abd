//! `passthru dumpxml`: prints the domain XML of a guest as it is now.

use passthru_supervisor::control::Request;

use super::GuestArgs;
use crate::error::Error;

/// Prints the XML, without the passwords of screens.
pub(crate) fn run(args: &GuestArgs) -> Result<(), Error> {
    let answer = args.call(&Request::DumpXml {})?;
    let xml = answer["xml"].as_str().unwrap_or_default().to_owned();
    args.show(&answer, &xml)
}
