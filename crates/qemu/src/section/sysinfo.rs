//! Data that the guest reads of its machine: `-smbios`, `-fw_cfg`, `-acpitable`, and the VM
//! generation id.

use passthru_domain::os::{AcpiTable, AcpiTableType, SmbiosMode};
use passthru_domain::sysinfo::{FwcfgEntry, Sysinfo, SysinfoTable, SysinfoType};

use crate::capabilities::DMI_TABLES;
use crate::context::Context;
use crate::error::Error;
use crate::line::{Access, FilePassing, List, Object, Opt, Want};

pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let mut options = smbios(context)?;
    let fwcfg = context
        .domain
        .sysinfos
        .iter()
        .filter(|sysinfo| sysinfo.kind == Some(SysinfoType::Fwcfg));
    options.extend(
        fwcfg
            .flat_map(|sysinfo| &sysinfo.entries)
            .enumerate()
            .map(|(n, entry)| fw_cfg(n, entry)),
    );
    options.extend(generation(context));
    Ok(options)
}

/// Returns the SMBIOS tables of the host or of `<sysinfo>`, if `<os>` says so.
fn smbios(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    match context.domain.os.smbios {
        None | Some(SmbiosMode::Emulate) => Ok(Vec::new()),
        Some(SmbiosMode::Host) => tables_of_host(context),
        Some(SmbiosMode::Sysinfo) => {
            let mut sysinfos = context.domain.sysinfos.iter();
            let tables = sysinfos.find(|sysinfo| sysinfo.kind == Some(SysinfoType::Smbios));
            tables.map(self::tables).ok_or_else(|| {
                Error::unsupported(
                    "<smbios mode='sysinfo'/> of <os> without <sysinfo type='smbios'>",
                )
            })
        }
    }
}

/// Returns the tables with the host's identity. A field that the host lacks is left out.
///
/// # Errors
/// If the line is standalone, and made without the host, then [`Error::Unsupported`]: the guest
/// would have placeholders.
fn tables_of_host(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let dmi = context.capabilities.dmi();
    if context.is_standalone() && dmi.is_placeholder() {
        return Err(Error::unsupported_on(
            "<smbios mode='host'/> of <os>",
            "a standalone command line",
        ));
    }

    let mut options = Vec::new();
    for table in DMI_TABLES {
        let fields = table.fields.iter();
        let known = fields.filter_map(|(file, word)| Some((*word, dmi.value(file)?)));
        let list = known.fold(List::headless(), |list, (word, value)| {
            list.with(word, value)
        });
        if !list.0.is_empty() {
            let number = List::headless().with("type", table.number);
            options.push(Opt::list("-smbios", number.and(list)));
        }
    }

    Ok(options)
}

/// Names of a table's entries, each with QEMU's word.
type Names = &'static [(&'static str, &'static str)];

const BIOS: Names = &[
    ("vendor", "vendor"),
    ("version", "version"),
    ("date", "date"),
    ("release", "release"),
];
const SYSTEM: Names = &[
    ("manufacturer", "manufacturer"),
    ("product", "product"),
    ("version", "version"),
    ("serial", "serial"),
    ("uuid", "uuid"),
    ("sku", "sku"),
    ("family", "family"),
];
const BASE_BOARD: Names = &[
    ("manufacturer", "manufacturer"),
    ("product", "product"),
    ("version", "version"),
    ("serial", "serial"),
    ("asset", "asset"),
    ("location", "location"),
];
const CHASSIS: Names = &[
    ("manufacturer", "manufacturer"),
    ("version", "version"),
    ("serial", "serial"),
    ("asset", "asset"),
    ("sku", "sku"),
];

fn tables(sysinfo: &Sysinfo) -> Vec<Opt> {
    let one = |number: u32, table: &SysinfoTable, names: Names| {
        let list = List::headless().with("type", number);
        let known = names
            .iter()
            .filter_map(|(name, word)| Some((*word, table.get(name)?)));
        Opt::list(
            "-smbios",
            known.fold(list, |list, (word, value)| list.with(word, value)),
        )
    };
    let mut options = Vec::new();
    options.extend(sysinfo.bios.as_ref().map(|table| one(0, table, BIOS)));
    options.extend(sysinfo.system.as_ref().map(|table| one(1, table, SYSTEM)));
    options.extend(
        sysinfo
            .base_boards
            .iter()
            .map(|table| one(2, table, BASE_BOARD)),
    );
    options.extend(sysinfo.chassis.as_ref().map(|table| one(3, table, CHASSIS)));
    options.extend(sysinfo.oem_strings.as_ref().map(|strings| {
        let texts = strings
            .entries
            .iter()
            .filter_map(|entry| entry.text.as_deref());
        let list = List::headless().with("type", 11u32);
        Opt::list(
            "-smbios",
            texts.fold(list, |list, text| list.with("value", text)),
        )
    }));
    options
}

fn fw_cfg(number: usize, entry: &FwcfgEntry) -> Opt {
    let file = entry.file.as_deref();
    let want = file.map(|path| {
        Want::file(
            format!("fwcfg{number}"),
            path,
            Access::ReadOnly,
            FilePassing::Copy,
        )
    });
    let list = List::headless()
        .maybe("name", entry.name.as_deref())
        .maybe("file", want)
        .maybe("string", entry.value.as_deref());
    Opt::list("-fw_cfg", list)
}

fn generation(context: &Context<'_>) -> Option<Opt> {
    let uuid = context.domain.genid.as_ref()?.uuid?;
    let device = Object::driver("vmgenid")
        .with("guid", uuid.to_string())
        .with("id", "vmgenid0");
    Some(Opt::device(device))
}

/// Returns `-acpitable`: additional ACPI tables.
pub(crate) fn acpi_tables(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let tables = context.domain.os.acpi.iter().flat_map(|acpi| &acpi.tables);
    tables
        .enumerate()
        .map(|(number, table)| acpi_table(number, table))
        .collect()
}

fn acpi_table(number: usize, table: &AcpiTable) -> Result<Opt, Error> {
    let signature = match table.kind {
        Some(AcpiTableType::Slic) => Some("SLIC"),
        Some(AcpiTableType::Msdm) => Some("MSDM"),
        Some(AcpiTableType::Raw) => None,
        Some(AcpiTableType::Rawset) | None => {
            return Err(Error::unsupported("an ACPI <table type='rawset'>"));
        }
    };
    let path = table.path.as_deref().unwrap_or_default();
    let file = Want::file(
        format!("acpitable{number}"),
        path,
        Access::ReadOnly,
        FilePassing::Copy,
    );
    Ok(Opt::list(
        "-acpitable",
        List::headless().maybe("sig", signature).with("file", file),
    ))
}
