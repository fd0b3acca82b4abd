//! `passthru pause` and `passthru resume`: stop a guest's processors, and let them go on.

use passthru_supervisor::control::Request;

use super::GuestArgs;
use crate::error::Error;

/// Stops the processors of a guest.
pub(crate) fn pause(args: &GuestArgs) -> Result<(), Error> {
    let answer = args.call(&Request::Pause {})?;
    args.show(&answer, &format!("guest '{}' is paused\n", args.name))
}

/// Lets the processors of a guest go on.
pub(crate) fn resume(args: &GuestArgs) -> Result<(), Error> {
    let answer = args.call(&Request::Resume {})?;
    args.show(&answer, &format!("guest '{}' goes on\n", args.name))
}
