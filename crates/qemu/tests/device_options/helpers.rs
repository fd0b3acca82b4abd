//! Guests that these tests share, and the words of their command lines.

use passthru_domain::Domain;
use passthru_qemu::{Capabilities, CommandLine, Placeholders, Style, command_line};
use serde_json::Value;

/// Returns a q35 guest with these devices.
pub(crate) fn guest(devices: &str) -> String {
    domain("<type arch='x86_64' machine='q35'>hvm</type>", devices)
}

/// Returns a guest with these contents of `<os>` and these devices.
pub(crate) fn domain(os: &str, devices: &str) -> String {
    format!(
        "<domain type='kvm'><name>vm</name><memory unit='MiB'>512</memory>\
         <os>{os}</os><devices>{devices}</devices></domain>"
    )
}

/// Returns the words of a guest's command line.
#[track_caller]
pub(crate) fn line(xml: &str, style: Style) -> Vec<String> {
    try_line(xml, style).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn try_line(xml: &str, style: Style) -> Result<Vec<String>, String> {
    Ok(made(xml, style)?.render(&Placeholders))
}

/// Returns the variables that a guest's QEMU gets.
#[track_caller]
pub(crate) fn environment(xml: &str, style: Style) -> Vec<(String, String)> {
    made(xml, style).unwrap_or_else(|e| panic!("{e}")).env
}

fn made(xml: &str, style: Style) -> Result<CommandLine, String> {
    let parsed = Domain::parse(xml).map_err(|e| e.to_string())?;
    let capabilities = Capabilities::builtin(parsed.os.kind.arch.unwrap());
    let domain = parsed.complete(&capabilities).map_err(|e| e.to_string())?;
    domain.validate(&capabilities).map_err(|e| e.to_string())?;
    command_line(&domain, &capabilities, style).map_err(|e| e.to_string())
}

/// Returns the values of a flag.
pub(crate) fn values<'a>(line: &'a [String], flag: &str) -> Vec<&'a str> {
    let pairs = line.iter().zip(line.iter().skip(1));
    let of_flag = pairs.filter(|(word, _)| *word == flag);
    of_flag.map(|(_, value)| value.as_str()).collect()
}

/// Returns the options of a flag whose value is a JSON object of this driver or type.
pub(crate) fn objects(line: &[String], flag: &str, driver: &str) -> Vec<Value> {
    let all = values(line, flag)
        .into_iter()
        .filter_map(|value| serde_json::from_str::<Value>(value).ok());
    all.filter(|object| object["driver"] == driver || object["qom-type"] == driver)
        .collect()
}
