//! Passwords of screens.

use passthru_domain::UtcTime;
use passthru_domain::device::graphics::{ConnectedPolicy, GraphicsType};

use crate::common;
use crate::common::guest;
use crate::helpers::complete;

const SCREENS: &str = "<graphics type='vnc' passwd='velvet'/>\
    <graphics type='spice' port='5903' passwd='velour' passwdValidTo='2031-04-09T15:51:00' \
    connected='keep'/>";

#[test]
fn passwords_of_screens_have_their_end_and_policy() {
    let devices = complete("q35", SCREENS).devices;
    let passwords = devices.display_passwords();
    assert_eq!(passwords.len(), 2);
    assert_eq!(passwords[0].protocol, GraphicsType::Vnc);
    assert_eq!(passwords[0].password, "velvet");
    assert_eq!(passwords[0].valid_to, None);

    assert_eq!(passwords[1].protocol, GraphicsType::Spice);
    assert_eq!(passwords[1].password, "velour");
    assert_eq!(passwords[1].connected, Some(ConnectedPolicy::Keep));
    let end = passwords[1].valid_to.map(UtcTime::unix_seconds);
    assert_eq!(end, Some(1_933_516_260));

    let open = complete("q35", "<graphics type='spice' port='5903'/>").devices;
    assert_eq!(open.display_passwords(), []);
}

#[test]
fn password_is_not_shown_for_debugging() {
    let devices = complete("q35", SCREENS).devices;
    let shown = format!("{:?}", devices.display_passwords());
    assert!(
        !shown.contains("velvet") && !shown.contains("velour"),
        "{shown}"
    );
}

#[test]
fn end_of_a_password_that_is_no_time_is_refused() {
    let screen = "<graphics type='vnc' passwd='velvet' passwdValidTo='tomorrow'/>";
    let words = "expected a time in UTC, as in 2031-04-09T15:51:00";
    common::refused(&guest("q35", screen), words, "");
}
