//! The user that a guest's VMM runs as.

use passthru_guest::{Error as GuestError, RECORD_DIR, Records, User};
use passthru_host::Host;

use crate::config::Config;
use crate::error::Error;
use crate::exit::Code;

/// Chooses the user of a guest: the named one, else the configured one, else one of the guest's
/// own. Without root, a guest whose user is not named runs as the caller.
pub(crate) fn choose_user(
    named: Option<&str>,
    config: &Config,
    guest: &str,
    host: &Host,
) -> Result<User, Error> {
    if let Some(named) = named.or(config.user.as_deref()) {
        return User::named(named).map_err(|error| {
            let hint = error.hint();
            Error::new(Code::Usage, error).hint(hint)
        });
    }

    if let Some(caller) = User::caller() {
        return Ok(caller);
    }
    let records = Records::new(RECORD_DIR);
    let user = User::for_guest(guest, &records, config.uid_range, host);
    Ok(user.map_err(GuestError::from)?)
}
