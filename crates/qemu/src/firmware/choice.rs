//! The match of a descriptor and a domain, by the rules of libvirt's `qemuFirmwareMatchDomain`.

use passthru_domain::firmware::{FirmwareFormat, Loader, LoaderType};
use passthru_domain::nvram::Nvram;
use passthru_domain::toggle::OnOff;
use passthru_domain::{FirmwareChoice, FirmwareMapping};

use super::descriptor::{FirmwareDescriptor, Flash, FlashFile, FlashMode, Mapping, Memory};
use super::request::Request;

/// Feature of firmware whose variables QEMU's device `uefi-vars` keeps.
const HOST_VARIABLES: &str = "host-uefi-vars";

/// The reason why a firmware does not fit a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// The firmware has another interface, or is for other machines.
    Platform,
    /// The domain asks for something else. The text goes on after the firmware's name.
    Wish(String),
}

impl Mismatch {
    fn wish(text: impl Into<String>) -> Result<(), Self> {
        Err(Self::Wish(text.into()))
    }
}

/// Checks whether a firmware fits a domain.
///
/// # Errors
/// The first reason why the firmware does not fit.
pub(super) fn check(
    descriptor: &FirmwareDescriptor,
    request: &Request<'_>,
) -> Result<(), Mismatch> {
    if !descriptor.has_interface(request.interface) || !request.is_for(descriptor) {
        return Err(Mismatch::Platform);
    }
    if request
        .path()
        .is_some_and(|path| descriptor.code() != Some(path))
    {
        return Mismatch::wish("is another file than <loader> names");
    }

    for feature in &request.needed {
        if !descriptor.has(feature) {
            return Mismatch::wish(format!("lacks {feature}"));
        }
    }

    for feature in &request.unwanted {
        if descriptor.has(feature) {
            return Mismatch::wish(format!("has {feature}"));
        }
    }

    check_smm(descriptor, request)?;
    match descriptor.mapping() {
        Mapping::Flash(flash) => check_flash(flash, request),
        Mapping::Memory(memory) => check_memory(descriptor, memory, request),
        Mapping::Other => Mismatch::wish("is neither for flash memory nor for read-only memory"),
    }
}

/// Checks the need of System Management Mode.
fn check_smm(descriptor: &FirmwareDescriptor, request: &Request<'_>) -> Result<(), Mismatch> {
    let secure = request.loader().and_then(|loader| loader.secure);
    let requires_smm = descriptor.has("requires-smm");
    if requires_smm && request.smm == Some(OnOff::Off) {
        return Mismatch::wish("needs <smm>, which is off");
    }
    if requires_smm && secure == Some(false) {
        return Mismatch::wish("needs <loader secure='yes'>");
    }
    if !requires_smm && secure == Some(true) {
        return Mismatch::wish("does not protect its variables (<loader secure='yes'>)");
    }
    Ok(())
}

/// Checks firmware in flash memory.
fn check_flash(flash: &Flash, request: &Request<'_>) -> Result<(), Mismatch> {
    let default = Loader::default();
    let loader = request.loader().unwrap_or(&default);
    if loader.kind == Some(LoaderType::Rom) {
        return Mismatch::wish("is for flash memory (<loader type='pflash'>)");
    }
    if request.os.varstore.is_some() {
        return Mismatch::wish("does not use a <varstore>");
    }
    let is_stateless = loader.stateless == Some(true);
    if is_stateless && flash.mode != FlashMode::Stateless {
        return Mismatch::wish("keeps variables (<loader stateless='yes'>)");
    }
    if !is_stateless && flash.mode != FlashMode::Split {
        return Mismatch::wish("keeps no variables in a file of their own");
    }
    if loader.readonly == Some(false) {
        return Mismatch::wish("is read-only (<loader readonly='no'>)");
    }

    check_format(&flash.executable, loader.format)?;
    match (flash.mode, &flash.template) {
        (FlashMode::Split, None) => Mismatch::wish("names no template of its variables"),
        (FlashMode::Split, Some(template)) => check_template(template, request.os.nvram.as_ref()),
        _ => Ok(()),
    }
}

/// Checks the template of the variables.
fn check_template(template: &FlashFile, nvram: Option<&Nvram>) -> Result<(), Mismatch> {
    let named = nvram.and_then(|nvram| nvram.template.as_deref());
    if named.is_some_and(|named| named != template.filename) {
        return Mismatch::wish("has another template than <nvram> names");
    }
    check_format(template, nvram.and_then(|nvram| nvram.format))
}

/// Checks that a file has a format that is known, and the wanted one.
fn check_format(file: &FlashFile, wanted: Option<FirmwareFormat>) -> Result<(), Mismatch> {
    match format(file) {
        Some(format) if wanted.is_none_or(|wanted| wanted == format) => Ok(()),
        _ => Mismatch::wish(format!("has the format {}", file.format)),
    }
}

/// Returns the format of a file; `None` if it is not known.
fn format(file: &FlashFile) -> Option<FirmwareFormat> {
    let mut known = FirmwareFormat::ALL.iter().copied();
    known.find(|format| format.as_str() == file.format)
}

/// Checks firmware in read-only memory.
fn check_memory(
    descriptor: &FirmwareDescriptor,
    memory: &Memory,
    request: &Request<'_>,
) -> Result<(), Mismatch> {
    let default = Loader::default();
    let loader = request.loader().unwrap_or(&default);
    if loader.kind == Some(LoaderType::Pflash) {
        return Mismatch::wish("is for read-only memory (<loader type='rom'>)");
    }
    if request.os.nvram.is_some() {
        return Mismatch::wish("does not use an <nvram>");
    }
    if loader.readonly == Some(false) {
        return Mismatch::wish("is read-only (<loader readonly='no'>)");
    }
    if loader
        .format
        .is_some_and(|format| format != FirmwareFormat::Raw)
    {
        return Mismatch::wish("has the format raw");
    }

    let keeps_variables = descriptor.has(HOST_VARIABLES);
    if keeps_variables && !request.has_varstore {
        return Mismatch::wish(format!("needs QEMU's device {}", request.varstore_driver));
    }
    if !keeps_variables && request.os.varstore.is_some() {
        return Mismatch::wish("does not use a <varstore>");
    }
    if !keeps_variables && loader.stateless == Some(false) {
        return Mismatch::wish("keeps no variables (<loader stateless='no'>)");
    }
    if keeps_variables && loader.stateless == Some(true) {
        return Mismatch::wish("keeps variables (<loader stateless='yes'>)");
    }
    let varstore = request.os.varstore.as_ref();
    let named = varstore.and_then(|varstore| varstore.template.as_deref());
    if named.is_some() && named != memory.uefi_vars.as_ref().map(|vars| &*vars.template) {
        return Mismatch::wish("has another template than <varstore> names");
    }
    Ok(())
}

/// Returns what a firmware that fits gives a domain; `None` for a mapping that is not known.
pub(super) fn choice(descriptor: &FirmwareDescriptor) -> Option<FirmwareChoice> {
    let mapping = match descriptor.mapping() {
        Mapping::Flash(flash) => FirmwareMapping::Flash {
            format: format(&flash.executable)?,
            template: template(flash),
        },
        Mapping::Memory(memory) => FirmwareMapping::Rom {
            varstore: descriptor
                .has(HOST_VARIABLES)
                .then(|| Some(memory.uefi_vars.as_ref()?.template.clone())),
        },
        Mapping::Other => return None,
    };
    Some(FirmwareChoice {
        loader: descriptor.code()?.to_owned(),
        mapping,
        requires_smm: descriptor.has("requires-smm"),
    })
}

/// Returns the choice for a domain that only names the code of a firmware: read-only flash memory,
/// and the template of its variables.
///
/// libvirt does so by a list of pairs (`qemuFirmwareFillDomainLegacy`).
pub(super) fn pair(
    descriptor: &FirmwareDescriptor,
    request: &Request<'_>,
) -> Option<FirmwareChoice> {
    let loader = request.loader()?;
    let Mapping::Flash(flash) = descriptor.mapping() else {
        return None;
    };
    let is_pair = loader.path.as_deref() == Some(&*flash.executable.filename)
        && loader.kind == Some(LoaderType::Pflash)
        && loader.readonly != Some(false)
        && loader.stateless != Some(true)
        && flash.mode == FlashMode::Split
        && check_format(&flash.executable, loader.format).is_ok();
    let choice = choice(descriptor).filter(|_| is_pair)?;
    Some(FirmwareChoice {
        requires_smm: false,
        ..choice
    })
}

/// Returns path and format of the template of split flash memory.
fn template(flash: &Flash) -> Option<(String, FirmwareFormat)> {
    let template = flash.template.as_ref();
    let template = template.filter(|_| flash.mode == FlashMode::Split)?;
    Some((template.filename.clone(), format(template)?))
}
