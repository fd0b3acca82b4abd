//! Secrets: objects that hold passwords and keys. Their content is a [`Want`]: the guest's
//! manager supplies it.

use passthru_domain::device::secret::Secret;

use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt, Want, WantKind};

/// Returns the object that holds a secret of the domain, encrypted with the guest's master key.
///
/// # Errors
/// Those of [`named_object`].
pub(crate) fn object(
    context: &Context<'_>,
    id: &str,
    secret: Option<&Secret>,
) -> Result<Opt, Error> {
    let name = secret.map_or_else(String::new, |secret| {
        secret
            .usage
            .clone()
            .or(secret.uuid.map(|uuid| uuid.to_string()))
            .unwrap_or_default()
    });
    named_object(context, id, name)
}

/// Returns the object that holds a secret with a name, encrypted with the guest's master key.
///
/// # Errors
/// If the line is standalone, then [`Error::Unsupported`]: other users can read its arguments.
pub(crate) fn named_object(context: &Context<'_>, id: &str, name: String) -> Result<Opt, Error> {
    if context.is_standalone() {
        return Err(Error::unsupported_on(
            format!("the secret '{name}'"),
            "a standalone command line",
        ));
    }

    Ok(Opt::object(
        Object::qom("secret", id)
            .with("data", part_of_secret(id, "data", &name))
            .with("keyid", MASTER_KEY)
            .with("iv", part_of_secret(id, "iv", &name))
            .with("format", "base64"),
    ))
}

fn part_of_secret(id: &str, part: &str, name: &str) -> Want {
    Want {
        name: format!("{id}-{part}"),
        kind: WantKind::Secret {
            name: name.to_owned(),
        },
    }
}

/// Id of the guest's master key.
const MASTER_KEY: &str = "masterKey0";

/// Puts the guest's master key before the first secret that is encrypted with it.
pub(crate) fn insert_master_key(context: &Context<'_>, options: &mut Vec<Opt>) {
    let mut drivers = options.iter().map(Opt::driver);
    let Some(first) = drivers.position(|driver| driver == Some("secret")) else {
        return;
    };
    let key = Object::qom("secret", MASTER_KEY)
        .with("format", "raw")
        .with("file", context.state_path("master-key.aes"));
    options.insert(first, Opt::object(key));
}
