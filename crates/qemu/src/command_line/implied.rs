//! What a board has though the domain does not say it.

use super::opt::{Object, Opt};
use super::{Context, Error};
use passthru_domain::Board;

/// A sound backend that goes nowhere, for what is on the board.
pub(super) fn audio(_: &Context<'_>) -> Result<Vec<Opt>, Error> {
    Ok(vec![Opt::json("-audiodev", Object::default().with("id", "audio1").with("driver", "none"))])
}

/// The watchdog that Q35's chip set has.
pub(super) fn watchdog(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    if context.board() != Board::Q35 {
        return Ok(Vec::new());
    }
    Ok(vec![Opt::plain("-global", "ICH9-LPC.noreboot=off"), Opt::plain("-watchdog-action", "reset")])
}
