//! Screens: SPICE and VNC.

use passthru_qemu::Style;

use crate::helpers::{guest, line, values};

#[test]
fn spice_without_a_password_disables_ticketing() {
    let xml = guest(
        "<graphics type='spice' port='5903' tlsPort='5904'>\
         <listen type='address' address='127.0.0.1'/><mouse mode='client'/></graphics>",
    );
    for style in [Style::Managed, Style::Standalone] {
        assert_eq!(
            values(&line(&xml, style), "-spice"),
            [
                "port=5903,tls-port=5904,addr=127.0.0.1,agent-mouse=on,disable-ticketing=on,\
              x509-dir=/etc/pki/libvirt-spice,seamless-migration=on"
            ]
        );
    }
}

#[test]
fn password_of_a_screen_is_not_on_the_command_line() {
    for kind in ["spice", "vnc"] {
        let xml = guest(&format!("<graphics type='{kind}' passwd='velvet'/>"));
        let line = line(&xml, Style::Managed);
        assert!(!line.iter().any(|word| word.contains("velvet")), "{line:?}");
        let has_no_ticket = line.iter().any(|word| word.contains("disable-ticketing"));
        assert!(!has_no_ticket, "{line:?}");
    }
}

#[test]
fn keymap_of_a_screen_gives_a_keyboard_layout() {
    for kind in ["spice", "vnc"] {
        let xml = guest(&format!("<graphics type='{kind}' keymap='fr'/>"));
        assert_eq!(values(&line(&xml, Style::Managed), "-k"), ["fr"], "{kind}");
    }
}

#[test]
fn render_node_needs_opengl_on() {
    for (enable, expected) in [("yes", true), ("no", false)] {
        let xml = guest(&format!(
            "<graphics type='spice'><listen type='none'/>\
             <gl enable='{enable}' rendernode='/dev/dri/renderD128'/></graphics>"
        ));
        let spice = values(&line(&xml, Style::Managed), "-spice")[0].to_owned();
        assert_eq!(spice.contains("rendernode=/dev/dri/renderD128"), expected);
    }
}
