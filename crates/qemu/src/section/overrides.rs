//! What a domain says to QEMU to the letter: `<qemu:commandline>`, `<qemu:override>`,
//! `<qemu:deprecation>`.

use std::collections::HashMap;

use passthru_domain::Domain;
use passthru_domain::emulator::{DeprecationBehavior, Property, PropertyValue};

use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt, Term, Value};

/// `-compat`: what happens with what QEMU is going to drop.
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

/// The arguments of `<qemu:commandline>`.
pub(crate) fn arguments(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let args = context
        .domain
        .emulator_commandline
        .iter()
        .flat_map(|line| &line.args);
    Ok(args.map(|arg| Opt::word(arg)).collect())
}

/// The time zone of the guest's clock, and the variables of `<qemu:commandline>`.
pub(crate) fn environment(domain: &Domain) -> Vec<(String, String)> {
    let zone = super::clock::time_zone(domain).map(|zone| ("TZ".to_owned(), zone.to_owned()));
    let variables = domain
        .emulator_commandline
        .iter()
        .flat_map(|line| &line.env);
    let variables = variables.map(|v| (v.name.clone(), v.value.clone().unwrap_or_default()));
    zone.into_iter().chain(variables).collect()
}

/// Sets and removes properties of devices.
pub(crate) fn apply(domain: &Domain, options: &mut [Opt]) -> Result<(), Error> {
    let Some(overrides) = &domain.emulator_override else {
        return Ok(());
    };
    let mut devices: HashMap<String, &mut Object> = HashMap::new();
    for option in options.iter_mut().filter(|option| option.flag == "-device") {
        let id = option.id().map(str::to_owned);
        if let (Some(id), Value::Json(object)) = (id, &mut option.value) {
            devices.insert(id, object);
        }
    }
    for device in &overrides.devices {
        let alias = &device.alias;
        let Some(object) = devices.get_mut(alias) else {
            return Err(Error::unsupported(format!(
                "<qemu:override> of '{alias}', which no device has as its alias,"
            )));
        };
        device
            .frontend
            .iter()
            .flat_map(|f| &f.properties)
            .for_each(|property| set(object, property));
    }
    Ok(())
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
