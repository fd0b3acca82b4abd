//! `<tpm>`: trusted platform modules.

use std::path::Path;

use passthru_domain::device::Tpm;
use passthru_domain::device::tpm::{TpmBackend, TpmBackendType, TpmModel};

use crate::context::Context;
use crate::context::STATE_DIR;
use crate::line::{List, Object, Opt, Want, WantKind};

/// Returns the backend of a TPM, and its device.
pub(crate) fn device(context: &Context<'_>, tpm: &Tpm) -> Vec<Opt> {
    let id = tpm.info.id();
    let backend = tpm.backend.clone().unwrap_or_default();
    let driver = match tpm.model {
        Some(TpmModel::Tis) | None if context.is_arm() => "tpm-tis-device",
        Some(model) => model.as_str(),
        None => TpmModel::Tis.as_str(),
    };
    let device = Object::driver(driver)
        .with("tpmdev", format!("tpm-{id}"))
        .with("id", id);
    let mut options = match backend.kind {
        Some(TpmBackendType::Passthrough) => vec![passthrough(context, &backend, id)],
        _ => emulator(context, &backend, id),
    };
    options.push(Opt::device(device));
    options
}

/// Returns a TPM of the host, and the file that cancels its commands.
fn passthrough(context: &Context<'_>, backend: &TpmBackend, id: &str) -> Opt {
    let path = backend.device.clone().unwrap_or_else(|| "/dev/tpm0".into());
    let name = Path::new(&path)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let cancel = format!("/sys/class/tpm/{}/device/cancel", name.unwrap_or_default());
    let list = List::new("passthrough").with("id", format!("tpm-{id}"));
    Opt::list(
        "-tpmdev",
        if context.is_standalone() {
            list.with("path", path).with("cancel-path", cancel)
        } else {
            let tpm = Want {
                name: format!("{id}-tpm"),
                kind: WantKind::NodeSet { path },
            };
            let cancel = WantKind::Output {
                path: cancel,
                append: true,
            };
            list.with("path", tpm).with(
                "cancel-path",
                Want {
                    name: format!("{id}-cancel"),
                    kind: cancel,
                },
            )
        },
    )
}

/// Returns the options of a swtpm, at a socket: the guest's own, or one that the domain names.
fn emulator(context: &Context<'_>, backend: &TpmBackend, id: &str) -> Vec<Opt> {
    let external = backend
        .external
        .as_ref()
        .and_then(|external| external.path());
    let path = external.map_or_else(
        || format!("{STATE_DIR}/swtpm/{}-swtpm.sock", context.name()),
        str::to_owned,
    );
    let socket = List::new("socket").with("id", "chrtpm").with("path", path);
    let tpm = List::new("emulator")
        .with("id", format!("tpm-{id}"))
        .with("chardev", "chrtpm");
    vec![Opt::list("-chardev", socket), Opt::list("-tpmdev", tpm)]
}
