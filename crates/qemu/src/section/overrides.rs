//! Elements that name options and properties of QEMU: `<qemu:commandline>`, `<qemu:override>` and
//! `<qemu:deprecation>`.

use std::collections::HashMap;

use passthru_domain::emulator::{DeprecationBehavior, DeviceOverride, Property, PropertyValue};
use passthru_domain::{Domain, Error as DomainError};

use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt, Term, Value};

/// Returns `-compat`: the policy for deprecated options.
pub(crate) fn deprecation(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let input = match context.domain.emulator_deprecation {
        None | Some(DeprecationBehavior::None) => return Ok(Vec::new()),
        Some(DeprecationBehavior::Omit) => None,
        Some(DeprecationBehavior::Reject) => Some("reject"),
        Some(DeprecationBehavior::Crash) => Some("crash"),
    };
    let compat = Object::default()
        .with("deprecated-output", "hide")
        .maybe("deprecated-input", input);
    Ok(vec![Opt::json("-compat", compat)])
}

/// Returns the arguments of `<qemu:commandline>`.
pub(crate) fn arguments(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let args = context
        .domain
        .emulator_commandline
        .iter()
        .flat_map(|line| &line.args);
    Ok(args.map(|arg| Opt::word(arg)).collect())
}

/// Returns the variables for the guest's clock, sound and windows, and those of
/// `<qemu:commandline>`, which come last.
pub(crate) fn environment(domain: &Domain) -> Vec<(String, String)> {
    let zone = super::clock::time_zone(domain).map(|zone| ("TZ".to_owned(), zone.to_owned()));
    let sound = super::audio::environment(domain);
    let windows = super::graphics::environment(domain);
    let variables = domain
        .emulator_commandline
        .iter()
        .flat_map(|line| &line.env);
    let variables = variables.map(|v| (v.name.clone(), v.value.clone().unwrap_or_default()));
    zone.into_iter()
        .chain(sound)
        .chain(windows)
        .chain(variables)
        .collect()
}

/// Sets and removes properties of devices by `<qemu:override>`.
///
/// Returns an error for each override whose alias no `-device` has. If there are `faulty_devices`,
/// which have no options, then only for aliases that no device of the domain has.
pub(crate) fn apply(
    domain: &Domain,
    options: &mut [Opt],
    faulty_devices: bool,
) -> Vec<DomainError> {
    let mut errors = Vec::new();
    for overrides in apply_known(domain, options) {
        let alias = &overrides.alias;
        if faulty_devices && has_alias(domain, alias) {
            continue;
        }
        let error = Error::unsupported(format!(
            "<qemu:override> of '{alias}', which no device has as its alias,"
        ));
        errors.push(error.in_domain(&overrides.span));
    }

    errors
}

fn has_alias(domain: &Domain, alias: &str) -> bool {
    let devices = &domain.devices;
    let mut infos = devices
        .items()
        .into_iter()
        .filter_map(|item| devices.info(item));
    infos.any(|info| info.id() == alias)
}

/// Sets and removes properties of the devices among the options. Returns the overrides of other
/// devices.
pub(crate) fn apply_known<'a>(domain: &'a Domain, options: &mut [Opt]) -> Vec<&'a DeviceOverride> {
    let Some(overrides) = &domain.emulator_override else {
        return Vec::new();
    };
    let mut devices = devices_by_alias(options);
    let mut unknown = Vec::new();
    for device in &overrides.devices {
        let Some(object) = devices.get_mut(&device.alias) else {
            unknown.push(device);
            continue;
        };
        if let Some(frontend) = &device.frontend {
            for property in &frontend.properties {
                set(object, property);
            }
        }
    }

    unknown
}

/// Returns the `-device` of each alias: the last one, if several have it.
fn devices_by_alias(options: &mut [Opt]) -> HashMap<String, &mut Object> {
    let mut devices = HashMap::new();
    for option in options.iter_mut().filter(|option| option.flag == "-device") {
        let id = option.id().map(str::to_owned);
        if let (Some(id), Value::Json(object)) = (id, &mut option.value) {
            devices.insert(id, object);
        }
    }

    devices
}

fn set(object: &mut Object, property: &Property) {
    let term = match &property.value {
        PropertyValue::Remove => return object.0.retain(|(key, _)| *key != property.name),
        PropertyValue::String(text) => text.clone().into(),
        PropertyValue::Signed(number) => Term::Signed(*number),
        PropertyValue::Unsigned(number) => (*number).into(),
        PropertyValue::Bool(on) => (*on).into(),
    };
    match object.0.iter_mut().find(|(key, _)| *key == property.name) {
        Some((_, present)) => *present = term,
        None => object.0.push((property.name.clone().into(), term)),
    }
}
