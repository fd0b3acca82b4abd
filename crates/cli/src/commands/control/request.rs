//! Requests to the supervisor of a guest.

use passthru_guest::RUN_DIR;
use passthru_supervisor::control::{Client, ClientError, Reply, Request};
use serde_json::Value;

use super::refusal::client_error;
use crate::error::Error;
use crate::folder::run_dir;
use crate::output::{print, print_json};

/// Arguments of a command for one guest.
#[derive(clap::Args)]
pub(crate) struct GuestArgs {
    /// Name of the guest, as in its XML
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl GuestArgs {
    /// Connects to the guest's supervisor: of the caller's own guests, else of root's.
    pub(super) fn connect(&self) -> Result<Client, Error> {
        connect(&self.name).map_err(client_error)
    }

    /// Sends a request and waits for its answer.
    pub(super) fn call(&self, request: &Request) -> Result<Value, Error> {
        let answer = self.connect()?.call(request, &[]).map_err(client_error)?;
        Ok(answer.value)
    }

    /// Prints an answer as JSON, or the text if that is asked for.
    pub(super) fn show(&self, answer: &Value, text: &str) -> Result<(), Error> {
        if self.json {
            print_json(answer)
        } else {
            print(text)
        }
    }
}

/// Connects to the supervisor of a guest.
pub(super) fn connect(name: &str) -> Result<Client, ClientError> {
    let own = run_dir();
    match Client::connect(&own, name) {
        Err(ClientError::NoSocket { .. }) if own != *RUN_DIR => {
            Client::connect(RUN_DIR.as_ref(), name)
        }
        connected => connected,
    }
}

/// Sends a request, and passes each reply to `each` until that returns false.
pub(super) fn for_each_reply(
    client: &mut Client,
    request: &Request,
    mut each: impl FnMut(Reply) -> Result<bool, Error>,
) -> Result<(), Error> {
    for reply in client.request(request, &[]).map_err(client_error)? {
        if !each(reply.map_err(client_error)?)? {
            break;
        }
    }

    Ok(())
}
