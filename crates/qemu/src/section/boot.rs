//! The boot: `-boot`, and a kernel that the host gives (`-kernel`).

use passthru_domain::Domain;

use crate::context::Context;
use crate::error::Error;
use crate::line::{Access, FilePassing, List, Opt, Want};

/// Returns `-boot`, and the options of a kernel that the host gives.
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

/// Returns `reboot-timeout` as text: the value -1 is valid, and lists have no negative numbers.
fn reboot_timeout(context: &Context<'_>) -> Option<String> {
    let timeout = context.domain.os.bios.as_ref()?.reboot_timeout?;
    Some(timeout.to_string())
}

fn kernel(domain: &Domain) -> Vec<Opt> {
    let os = &domain.os;
    let append = os.cmdline.as_deref();
    let options = [
        file("-kernel", "kernel", os.kernel.as_deref()),
        file("-initrd", "initrd", os.initrd.as_deref()),
        append.map(|cmdline| Opt::plain("-append", cmdline)),
        file("-dtb", "dtb", os.dtb.as_deref()),
        file("-shim", "shim", os.shim.as_deref()),
    ];
    options.into_iter().flatten().collect()
}

/// Returns an option that names a file, if there is a path.
fn file(flag: &'static str, name: &str, path: Option<&str>) -> Option<Opt> {
    let want = Want::file(name, path?, Access::ReadOnly, FilePassing::Copy);
    Some(Opt::plain(flag, want))
}
