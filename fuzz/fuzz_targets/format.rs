//! Any text that is a domain. The formatted domain parses to the same domain, and formats to the
//! same text.
//!
//! The same holds for the completed domain, which also completes to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passthru_domain::{Arch, Domain};
use passthru_qemu::Capabilities;

fuzz_target!(|text: &str| {
    let Ok(domain) = Domain::parse(text) else {
        return;
    };
    format_checked(&domain);
    let capabilities = Capabilities::builtin(domain.os.kind.arch.unwrap_or(Arch::X86_64));
    let Ok(domain) = domain.complete(&capabilities) else {
        return;
    };
    if domain.validate(&capabilities).is_err() {
        return;
    }
    let written = format_checked(&domain);
    let again = Domain::parse(&written).map(|d| d.complete(&capabilities));
    let again = again
        .expect("a formatted domain parses")
        .expect("a complete domain completes");
    assert_eq!(again.format(), written);
});

/// Formats a domain, and checks that the result parses and formats to the same text.
fn format_checked(domain: &Domain) -> String {
    let written = domain.format();
    let again = Domain::parse(&written).unwrap_or_else(|e| panic!("{e}\n{written}"));
    assert_eq!(again.format(), written);
    written
}
