//! Elements that name options and properties of QEMU: `<qemu:commandline>`, `<qemu:override>` and
//! `<qemu:deprecation>`.

use passthru_domain::Domain;
use passthru_domain::emulator::{DeprecationBehavior, DeviceOverride, Property, PropertyValue};

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

/// Returns the time zone of the guest's clock, and the variables of `<qemu:commandline>`.
pub(crate) fn environment(domain: &Domain) -> Vec<(String, String)> {
    let zone = super::clock::time_zone(domain).map(|zone| ("TZ".to_owned(), zone.to_owned()));
    let variables = domain
        .emulator_commandline
        .iter()
        .flat_map(|line| &line.env);
    let variables = variables.map(|v| (v.name.clone(), v.value.clone().unwrap_or_default()));
    zone.into_iter().chain(variables).collect()
}

/// Sets and removes properties of devices by `<qemu:override>`.
///
/// # Errors
/// If an override names an alias that no `-device` has, then [`Error::Unsupported`].
pub(crate) fn apply(domain: &Domain, options: &mut [Opt]) -> Result<(), Error> {
    for overrides in overrides_of(domain) {
        if !apply_one(overrides, options) {
            return Err(Error::unsupported(format!(
                "<qemu:override> of '{}', which no device has as its alias,",
                overrides.alias
            )));
        }
    }

    Ok(())
}

/// Sets and removes properties of the devices among the options. Overrides of other devices are
/// ignored.
pub(crate) fn apply_known(domain: &Domain, options: &mut [Opt]) {
    for overrides in overrides_of(domain) {
        apply_one(overrides, options);
    }
}

fn overrides_of(domain: &Domain) -> &[DeviceOverride] {
    let overrides = domain.emulator_override.as_ref();
    overrides.map_or(&[], |overrides| &overrides.devices)
}

/// Changes the device of an override. Returns whether the options have the device.
fn apply_one(overrides: &DeviceOverride, options: &mut [Opt]) -> bool {
    let Some(object) = device_mut(options, &overrides.alias) else {
        return false;
    };
    if let Some(frontend) = &overrides.frontend {
        for property in &frontend.properties {
            set(object, property);
        }
    }

    true
}

/// Returns the `-device` of an alias: the last one, if several have it.
fn device_mut<'a>(options: &'a mut [Opt], alias: &str) -> Option<&'a mut Object> {
    let option = options
        .iter_mut()
        .rfind(|option| option.flag == "-device" && option.id() == Some(alias))?;
    match &mut option.value {
        Value::Json(object) => Some(object),
        _ => None,
    }
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
