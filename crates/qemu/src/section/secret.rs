//! Secrets: objects that hold what proves who asks, or what decrypts. The secrets themselves are
//! elsewhere.

use passthru_domain::device::secret::Secret;

use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt, Want, WantKind};

/// The object that holds a secret, encrypted with the guest's master key.
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
    sealed(context, id, name)
}

/// The object that holds what is kept from the command line's readers.
pub(crate) fn sealed(context: &Context<'_>, id: &str, name: String) -> Result<Opt, Error> {
    if context.is_standalone() {
        return Err(Error::unsupported_on(
            format!("the secret '{name}'"),
            "a standalone command line",
        ));
    }
    let part = |part: &str| Want {
        name: format!("{id}-{part}"),
        kind: WantKind::Secret { name: name.clone() },
    };
    Ok(Opt::object(
        Object::qom("secret", id)
            .with("data", part("data"))
            .with("keyid", MASTER_KEY)
            .with("iv", part("iv"))
            .with("format", "base64"),
    ))
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
