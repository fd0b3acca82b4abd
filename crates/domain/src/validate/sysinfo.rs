//! `<sysinfo>`: the UUID of the guest in its SMBIOS tables.

use super::check::Check;
use crate::model::uuid::Uuid;

/// Checks that the tables name the UUID of the guest (libvirt's `virSysinfoSystemParseXML`).
pub(super) fn check(check: &mut Check<'_>) {
    let domain = check.domain;
    for table in domain.sysinfos.iter().filter_map(|s| s.system.as_ref()) {
        let Some(text) = table.get("uuid") else {
            continue;
        };
        match text.parse::<Uuid>() {
            Err(expected) => {
                let text = text.escape_debug();
                let message = format!("malformed uuid '{text}' in <sysinfo>: {expected}");
                check.error(&table.span, message);
            }
            Ok(uuid) if domain.uuid.is_some_and(|own| own != uuid) => {
                let message =
                    format!("UUID mismatch between <uuid> and <sysinfo>, which has {uuid}");
                check.error_with_hint(&table.span, message, "leave one of them out");
            }
            Ok(_) => {}
        }
    }
}
