//! Any text that is a domain: what is written of it reads as the same domain and is written the
//! same again. So is what is written of the completed domain, which completes to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passthru_domain::{Arch, Domain};
use passthru_qemu::Capabilities;

fuzz_target!(|text: &str| {
    let Ok(domain) = Domain::parse(text) else { return };
    same(&domain);
    let capabilities = Capabilities::builtin(domain.os.kind.arch.unwrap_or(Arch::X86_64));
    let Ok(domain) = domain.complete(&capabilities) else { return };
    if domain.validate(&capabilities).is_err() {
        return;
    }
    let written = same(&domain);
    let again = Domain::parse(&written).map(|d| d.complete(&capabilities));
    let again = again.expect("what is written is a domain").expect("what is complete can be completed");
    assert_eq!(again.format(), written);
});

/// Returns what is written of a domain, after a look at what is read of that.
fn same(domain: &Domain) -> String {
    let written = domain.format();
    let again = Domain::parse(&written).unwrap_or_else(|e| panic!("{e}\n{written}"));
    assert_eq!(again.format(), written);
    written
}
