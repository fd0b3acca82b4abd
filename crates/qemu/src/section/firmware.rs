//! Firmware: flash memories as block nodes, or a file for `-bios`.

use passthru_domain::Arch;
use passthru_domain::firmware::{Firmware, FirmwareFormat, Loader, LoaderType};
use passthru_domain::nvram::{Nvram, NvramProtocol, NvramSource, NvramType};

use super::block::{FileNode, file_node, layers_raw};
use super::secret;
use crate::context::Context;
use crate::context::NVRAM_DIR;
use crate::error::Error;
use crate::line::{Access, FilePassing, List, Object, Opt, Want};

/// Returns the block nodes of the flash memories, or `-bios`.
pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let os = &context.domain.os;
    let named = os.loader.as_ref().and_then(|loader| {
        let path = loader.path.as_ref()?;
        Some((loader, path))
    });
    let Some((loader, path)) = named else {
        // Without a firmware that is named, QEMU would start the guest by its BIOS.
        return if os.firmware == Some(Firmware::Efi) {
            Err(Error::NoFirmware)
        } else {
            Ok(Vec::new())
        };
    };
    if !is_flash(loader) {
        return Ok(vec![Opt::plain(
            "-bios",
            Want::file("firmware", path, Access::ReadOnly, FilePassing::Copy),
        )]);
    }

    let mut nodes = layered_node("pflash0", path, is_readonly(loader), loader.format);
    if let Some(nvram) = &context.domain.os.nvram {
        nodes.extend(nvram_nodes(context, nvram)?);
    }
    Ok(nodes)
}

/// Returns QEMU's device that keeps the variables of `<varstore>`.
pub(crate) fn varstore(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let Some(varstore) = &context.domain.os.varstore else {
        return Ok(Vec::new());
    };
    let path = match &varstore.path {
        Some(path) => path.clone(),
        None if context.is_standalone() => format!("{NVRAM_DIR}/{}_VARS.json", context.name()),
        None => context.state_path("varstore"),
    };
    let want = Want::file("varstore", path, Access::ReadWrite, FilePassing::FdSet);
    let driver = varstore_driver(context.machine.arch);
    let device = Object::driver(driver).with("jsonfile", want);
    Ok(vec![Opt::json("-device", device)])
}

/// Returns the name of QEMU's device that keeps the variables of a guest's firmware.
pub(crate) const fn varstore_driver(arch: Arch) -> &'static str {
    match arch {
        Arch::I686 | Arch::X86_64 => "uefi-vars-x64",
        Arch::Aarch64 | Arch::S390x => "uefi-vars-sysbus",
    }
}

/// Adds the nodes of the flash memories to `-machine`.
pub(crate) fn on_machine(context: &Context<'_>, list: List) -> List {
    if !context
        .domain
        .os
        .loader
        .as_ref()
        .is_some_and(|loader| loader.path.is_some() && is_flash(loader))
    {
        return list;
    }

    let nvram = context.domain.os.nvram.as_ref();
    let variables = nvram.map(|nvram| {
        if is_layered(context, nvram) {
            "libvirt-pflash1-format"
        } else {
            "libvirt-pflash1-storage"
        }
    });
    list.with("pflash0", "libvirt-pflash0-format")
        .maybe("pflash1", variables)
}

fn is_flash(loader: &Loader) -> bool {
    loader.kind == Some(LoaderType::Pflash)
}

/// Returns whether the domain says that the flash memory is read-only.
fn is_readonly(loader: &Loader) -> bool {
    loader.readonly == Some(true)
}

/// Returns whether the variables have a format node above the node of their file.
fn is_layered(context: &Context<'_>, nvram: &Nvram) -> bool {
    layers_raw(context) || nvram.format == Some(FirmwareFormat::Qcow2)
}

/// Returns the file of the firmware's variables.
///
/// Without a path, a managed guest has the file in its own folder. A standalone guest has it in
/// [`NVRAM_DIR`], which survives a reboot of the host.
fn file(context: &Context<'_>, nvram: &Nvram) -> String {
    match nvram.file() {
        Some(path) => path.to_owned(),
        None if context.is_standalone() => format!("{NVRAM_DIR}/{}_VARS.fd", context.name()),
        None => context.state_path("nvram"),
    }
}

/// Returns the nodes of the variables. A raw image of variables has a format node on Arm only,
/// unlike the code, which always has one.
fn nvram_nodes(context: &Context<'_>, nvram: &Nvram) -> Result<Vec<Opt>, Error> {
    if nvram.kind == Some(NvramType::Network) {
        let mut nodes = network_nodes(context, nvram.source.as_ref())?;
        if is_layered(context, nvram) {
            nodes.push(format_node("pflash1", false, nvram.format));
        }
        return Ok(nodes);
    }

    let path = file(context, nvram);
    if is_layered(context, nvram) {
        return Ok(layered_node("pflash1", &path, false, nvram.format));
    }
    let want = Want::file(
        "libvirt-pflash1-storage",
        path,
        Access::ReadWrite,
        FilePassing::FdSet,
    );
    let driver = match nvram.kind {
        Some(NvramType::Block) => "host_device",
        _ => "file",
    };
    Ok(vec![Opt::json(
        "-blockdev",
        file_node(driver, want, &FileNode::plain(false)),
    )])
}

/// Returns the node of variables on another host, after the password of the login.
fn network_nodes(context: &Context<'_>, source: Option<&NvramSource>) -> Result<Vec<Opt>, Error> {
    let source = source.ok_or_else(no_host)?;
    let host = source.host.as_ref().ok_or_else(no_host)?;
    let name = host.name.as_deref().unwrap_or_default();
    let mut nodes = Vec::new();
    let node = match source.protocol {
        Some(NvramProtocol::Nbd) => {
            let server = Object::default()
                .with("type", "inet")
                .with("host", name)
                .with("port", host.port.unwrap_or(10809).to_string());
            Object::driver("nbd")
                .with("server", server)
                .maybe("export", source.name.as_deref())
        }
        Some(NvramProtocol::Iscsi) => {
            let volume = source.name.as_deref().ok_or_else(no_host)?;
            let (target, lun) = volume.split_once('/').unwrap_or((volume, "0"));
            let lun: u32 = lun.parse().map_err(|_| no_host())?;
            Object::driver("iscsi")
                .with("portal", format!("{name}:{}", host.port.unwrap_or(3260)))
                .with("target", target)
                .with("lun", lun)
                .with("transport", "tcp")
                .and(login(context, source, &mut nodes)?)
        }
        None => return Err(no_host()),
    };
    let node = node
        .with("node-name", "libvirt-pflash1-storage")
        .with("read-only", false);
    nodes.push(Opt::json("-blockdev", node));
    Ok(nodes)
}

/// Returns the login to an iSCSI host, and adds the object of its password to `before`.
fn login(
    context: &Context<'_>,
    source: &NvramSource,
    before: &mut Vec<Opt>,
) -> Result<Object, Error> {
    let Some(auth) = &source.auth else {
        return Ok(Object::default());
    };
    let id = "libvirt-pflash1-storage-auth-secret0";
    before.push(secret::object(context, id, auth.secret.as_ref())?);
    Ok(Object::default()
        .with("user", auth.username.as_str())
        .with("password-secret", id))
}

fn no_host() -> Error {
    Error::unsupported("<nvram type='network'> without a <source> with its <host>")
}

/// Returns the node of a file, and a format node above it.
fn layered_node(
    name: &str,
    path: &str,
    readonly: bool,
    format: Option<FirmwareFormat>,
) -> Vec<Opt> {
    let access = if readonly {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };
    let want = Want::file(
        format!("libvirt-{name}-storage"),
        path,
        access,
        FilePassing::FdSet,
    );
    vec![
        Opt::json(
            "-blockdev",
            file_node("file", want, &FileNode::below_format()),
        ),
        format_node(name, readonly, format),
    ]
}

fn format_node(name: &str, readonly: bool, format: Option<FirmwareFormat>) -> Opt {
    let format = Object::default()
        .with("node-name", format!("libvirt-{name}-format"))
        .with("read-only", readonly)
        .with("driver", format.unwrap_or(FirmwareFormat::Raw).as_str())
        .with("file", format!("libvirt-{name}-storage"));
    Opt::json("-blockdev", format)
}
