//! CPUs, and the identity of the host.

use std::collections::BTreeMap;

use passthru_domain::{Arch, Domain};
use passthru_qemu::{Capabilities, Placeholders, Style, command_line};

use crate::helpers::{domain, guest, line, values};

#[test]
fn hyperv_panic_device_is_a_property_of_the_cpu() {
    let panic = "<panic model='hyperv'/>";
    let line_of = |before: &str| {
        let xml = guest(panic).replace("<devices>", &format!("{before}<devices>"));
        line(&xml, Style::Managed)
    };
    assert_eq!(values(&line_of(""), "-cpu"), ["qemu64,hv-crash"]);

    let features = "<features><hyperv><relaxed state='on'/></hyperv>\
                    <kvm><hidden state='on'/></kvm></features>";
    assert_eq!(
        values(&line_of(features), "-cpu"),
        ["qemu64,hv-relaxed=on,hv-crash,kvm=off"]
    );
}

#[test]
fn default_cpu_of_a_32_bit_guest_is_its_emulators() {
    for (emulator, cpu) in [
        ("<emulator>/usr/bin/qemu-system-i386</emulator>", "qemu32"),
        ("<emulator>/usr/bin/qemu-system-x86_64</emulator>", "qemu64"),
        ("", "qemu32"),
    ] {
        let xml = domain("<type arch='i686' machine='pc'>hvm</type>", emulator);
        assert_eq!(
            values(&line(&xml, Style::Managed), "-cpu"),
            [cpu],
            "{emulator}"
        );
    }
}

/// Returns the values of `-smbios` on the command line of a guest with the host's identity.
fn identity(capabilities: &Capabilities, style: Style) -> Result<Vec<String>, String> {
    let xml = domain(
        "<type arch='x86_64' machine='q35'>hvm</type><smbios mode='host'/>",
        "",
    );
    let domain = Domain::parse(&xml).unwrap().complete(capabilities).unwrap();
    domain.validate(capabilities).unwrap();
    let line = command_line(&domain, capabilities, style).map_err(|e| e.to_string())?;
    let words = line.render(&Placeholders);
    Ok(values(&words, "-smbios")
        .into_iter()
        .map(str::to_owned)
        .collect())
}

#[test]
fn identity_of_the_host_goes_to_the_guest() {
    let values = [
        ("bios_date", "01/02/2025"),
        ("sys_vendor", "Example, Inc."),
        ("product_serial", ""),
        ("product_uuid", "00000000-0000-4000-8000-000000000003"),
    ];
    let values = values.map(|(file, value)| (file.to_owned(), value.to_owned()));
    let host = Capabilities::builtin(Arch::X86_64).with_dmi(values.into());
    let expected = [
        "type=0,date=01/02/2025",
        "type=1,manufacturer=Example,, Inc.",
    ];
    for style in [Style::Managed, Style::Standalone] {
        assert_eq!(identity(&host, style).unwrap(), expected);
    }

    let unnamed = Capabilities::builtin(Arch::X86_64).with_dmi(BTreeMap::new());

    assert_eq!(identity(&unnamed, Style::Managed).unwrap(), [""; 0]);
}

#[test]
fn identity_of_an_unknown_host_is_a_placeholder() {
    let capabilities = Capabilities::builtin(Arch::X86_64);
    assert_eq!(
        identity(&capabilities, Style::Managed).unwrap(),
        [
            "type=0,vendor=@bios_vendor@,version=@bios_version@,date=@bios_date@",
            "type=1,manufacturer=@sys_vendor@,product=@product_name@,\
             version=@product_version@,serial=@product_serial@,sku=@product_sku@,\
             family=@product_family@",
        ]
    );

    let error = identity(&capabilities, Style::Standalone).unwrap_err();
    assert!(
        error.contains("not supported on a standalone command line"),
        "{error}"
    );
}
