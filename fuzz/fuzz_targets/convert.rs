//! Any text: parsed, completed, validated and turned into a command line, as by `passthru convert`.
//! The text may be refused, but nothing may panic, hang or grow without bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passthru_domain::{Arch, Backend, ParsedDomain};
use passthru_qemu::{Capabilities, Paths, Placeholders, Style, command_line};

fuzz_target!(|text: &str| {
    let Ok(parsed) = ParsedDomain::parse(text) else {
        return;
    };
    let capabilities = Capabilities::builtin(parsed.domain.os.kind.arch.unwrap_or(Arch::X86_64));
    let mut found = parsed.examine(&capabilities, Some(Backend::Type1));
    let managed = found.check(|domain| command_line(domain, &capabilities, Style::Managed));
    let standalone = found.check(|domain| command_line(domain, &capabilities, Style::Standalone));
    for error in &found.errors {
        assert!(!error.message.is_empty());
        if let Some(span) = &error.span {
            assert!(
                text.get(span.clone()).is_some(),
                "{span:?} is not within the text: {error}"
            );
        }
    }

    if let Some(line) = managed {
        assert!(!line.pretty(&Placeholders).is_empty());
    }
    if let Some(line) = standalone {
        assert!(!line.pretty(&Paths).is_empty());
    }
});
