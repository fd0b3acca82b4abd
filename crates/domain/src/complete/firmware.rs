//! The firmware: defaults of `<loader>`, the platform's choice, and the storage of the variables.

use crate::error::Error;
use crate::model::domain::Domain;
use crate::model::firmware::{FirmwareFormat, LoaderType};
use crate::model::nvram::{Nvram, NvramType};
use crate::model::os::Os;
use crate::model::toggle::OnOff;
use crate::platform::{FirmwareChoice, FirmwareMapping, Machine, Platform};

/// Fills in the firmware.
///
/// The order is that of libvirt's `qemuFirmwareFillDomain`: the kind of `<loader>`, the choice,
/// then the formats and the variables.
///
/// # Errors
/// If the platform has no firmware that fits `<os firmware=…>`. The domain then keeps what it says.
pub(super) fn fill(
    domain: &mut Domain,
    machine: &Machine,
    platform: &dyn Platform,
) -> Result<(), Error> {
    if let Some(loader) = domain.os.loader.as_mut().filter(|l| l.path.is_some()) {
        loader.kind.get_or_insert(LoaderType::Rom);
    }
    let choice = platform.firmware(domain, machine);
    let result = match choice {
        Ok(Some(choice)) => {
            apply(domain, choice);
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) if error.span.is_none() => Err(error.at(domain.os.span.0.clone())),
        Err(error) => Err(error),
    };
    fill_formats(&mut domain.os);
    result
}

/// Enters the platform's choice, as libvirt's `qemuFirmwareEnableFeaturesModern` does.
fn apply(domain: &mut Domain, choice: FirmwareChoice) {
    let os = &mut domain.os;
    let loader = os.loader.get_or_insert_default();
    loader.path = Some(choice.loader);
    if choice.requires_smm {
        loader.secure = Some(true);
    }
    match choice.mapping {
        FirmwareMapping::Flash { format, template } => {
            loader.kind = Some(LoaderType::Pflash);
            loader.readonly = Some(true);
            loader.format = Some(format);
            if let Some((path, format)) = template {
                add_template(os, path, format);
            }
        }
        FirmwareMapping::Rom { varstore } => {
            loader.kind = Some(LoaderType::Rom);
            if let Some(template) = varstore {
                let varstore = os.varstore.get_or_insert_default();
                varstore.template = varstore.template.take().or(template);
            }
        }
    }

    if choice.requires_smm {
        let features = domain.features.get_or_insert_default();
        features.smm.get_or_insert_default().state = Some(OnOff::On);
    }
}

/// Enters the template of the variables and its format. Variables on another host keep what they
/// have: nothing here can make them. So do variables with another template.
fn add_template(os: &mut Os, path: String, format: FirmwareFormat) {
    let nvram = os.nvram.get_or_insert_default();
    if nvram.kind == Some(NvramType::Network) {
        return;
    }
    if *nvram.template.get_or_insert_with(|| path.clone()) == path {
        fill_format(nvram, format);
    }
}

/// Fills in the formats, and the variables of read-only flash memory, as libvirt's
/// `qemuFirmwareEnsureNVRAM` does.
fn fill_formats(os: &mut Os) {
    let Some(loader) = os.loader.as_mut().filter(|l| l.path.is_some()) else {
        return;
    };
    let format = *loader.format.get_or_insert(FirmwareFormat::Raw);
    let keeps_variables = loader.kind == Some(LoaderType::Pflash)
        && loader.readonly == Some(true)
        && loader.stateless != Some(true);
    if keeps_variables {
        os.nvram.get_or_insert_default();
    }
    if let Some(nvram) = &mut os.nvram {
        fill_format(nvram, format);
    }
}

/// Fills in the format of the variables: that of their template, of which they are a plain copy.
/// `default` is the format of a template whose format is not given.
fn fill_format(nvram: &mut Nvram, default: FirmwareFormat) {
    let format = nvram.template_format.unwrap_or(default);
    nvram.format.get_or_insert(format);
}
