//! What the guest boots: `-boot`, and a kernel given directly.

use passthru_domain::Domain;

use crate::context::Context;
use crate::error::Error;
use crate::line::{Access, FilePassing, List, Opt, Want};

/// `-boot`, `-kernel` and what goes with it.
pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let menu = context.domain.os.bootmenu.as_ref();
    let enable = menu.and_then(|menu| menu.enable);
    let timeout = menu
        .and_then(|menu| menu.timeout)
        .filter(|_| enable == Some(true));
    let boot = List::headless()
        .maybe("menu", enable)
        .maybe("reboot-timeout", reboot_timeout(context))
        .maybe("splash-time", timeout.map(u32::from))
        .with("strict", true);
    Ok([Opt::list("-boot", boot)]
        .into_iter()
        .chain(kernel(context.domain))
        .collect())
}

/// -1 is a value here, and no list has negative numbers but as text.
fn reboot_timeout(context: &Context<'_>) -> Option<String> {
    let timeout = context.domain.os.bios.as_ref()?.reboot_timeout?;
    Some(timeout.to_string())
}

fn kernel(domain: &Domain) -> Vec<Opt> {
    let os = &domain.os;
    let file = |flag, name: &str, path: &Option<String>| {
        let want = Want::file(name, path.as_deref()?, Access::ReadOnly, FilePassing::Copy);
        Some(Opt::plain(flag, want))
    };
    let options = [
        file("-kernel", "kernel", &os.kernel),
        file("-initrd", "initrd", &os.initrd),
        os.cmdline
            .as_deref()
            .map(|cmdline| Opt::plain("-append", cmdline)),
        file("-dtb", "dtb", &os.dtb),
        file("-shim", "shim", &os.shim),
    ];
    options.into_iter().flatten().collect()
}
