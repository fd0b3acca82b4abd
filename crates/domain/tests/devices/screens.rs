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
    assert_eq!(passwords[0].password.as_str(), "velvet");
    assert_eq!(passwords[0].valid_to, None);

    assert_eq!(passwords[1].protocol, GraphicsType::Spice);
    assert_eq!(passwords[1].password.as_str(), "velour");
    assert_eq!(passwords[1].connected, Some(ConnectedPolicy::Keep));

    let end = passwords[1].valid_to.map(UtcTime::unix_seconds);
    assert_eq!(end, Some(1_933_516_260));

    let open = complete("q35", "<graphics type='spice' port='5903'/>").devices;
    assert_eq!(open.display_passwords(), []);
}

#[test]
fn password_is_not_shown_for_debugging() {
    let devices = complete("q35", SCREENS).devices;
    for shown in [
        format!("{:?}", devices.display_passwords()),
        format!("{devices:?}"),
    ] {
        let is_hidden = !shown.contains("velvet") && !shown.contains("velour");
        assert!(is_hidden && shown.contains("Password"), "{shown}");
    }
}

#[test]
fn end_of_a_password_that_is_no_time_is_refused() {
    let screen = "<graphics type='vnc' passwd='velvet' passwdValidTo='tomorrow'/>";
    let words = "expected a time in UTC, as in 2031-04-09T15:51:00";
    common::refused(&guest("q35", screen), words, "");
}

#[test]
fn password_longer_than_its_protocol_permits_is_refused() {
    for (kind, limit, words) in [
        (
            "vnc",
            8,
            "VNC password has 9 bytes, and VNC permits at most 8",
        ),
        (
            "spice",
            59,
            "SPICE password has 60 bytes, and SPICE permits at most 59",
        ),
    ] {
        let longest = "v".repeat(limit);
        complete(
            "q35",
            &format!("<graphics type='{kind}' passwd='{longest}'/>"),
        );

        let screen = format!("<graphics type='{kind}' passwd='{longest}v'/>");
        common::refused(&guest("q35", &screen), words, "<graphics");
    }
}

#[test]
fn length_of_a_password_is_counted_in_bytes() {
    let screen = "<graphics type='vnc' passwd='véélvét'/>";
    let words = "VNC password has 10 bytes";
    common::refused(&guest("q35", screen), words, "<graphics");
}

#[test]
fn vnc_that_ends_sessions_at_a_new_password_is_refused() {
    for policy in ["fail", "disconnect"] {
        let screen = format!("<graphics type='vnc' passwd='velvet' connected='{policy}'/>");
        let words = "'connected' must be 'keep'";
        common::refused(&guest("q35", &screen), words, "<graphics");
    }

    for screen in [
        "<graphics type='vnc' passwd='velvet' connected='keep'/>",
        "<graphics type='spice' passwd='velvet' connected='disconnect'/>",
        "<graphics type='spice' passwd='velvet' connected='fail'/>",
    ] {
        complete("q35", screen);
    }
}

#[test]
fn password_that_has_expired_is_accepted() {
    let screen = "<graphics type='vnc' passwd='velvet' passwdValidTo='2001-02-03T04:05:06'/>";
    complete("q35", screen);
}

#[test]
fn end_of_a_missing_password_is_noted() {
    let end = "passwdValidTo='2031-04-09T15:51:00'";
    for (attributes, names) in [
        (end.to_owned(), "passwdValidTo"),
        ("connected='keep'".to_owned(), "connected"),
        (
            format!("{end} connected='keep'"),
            "passwdValidTo, connected",
        ),
    ] {
        for kind in ["vnc", "spice"] {
            let screen = format!("<graphics type='{kind}' port='5903' {attributes}/>");
            let notes = complete("q35", &screen).notes();
            assert_eq!(notes.len(), 1, "{notes:?}");

            let words = format!(
                "{names} of <graphics> has no effect: without 'passwd', every client that reaches \
                 the screen gets in"
            );
            assert_eq!(notes[0].message, words);

            let source = guest("q35", &screen);
            let span = notes[0].span.clone().unwrap();
            assert!(source[span].starts_with("<graphics"));
        }
    }

    let screen = format!("<graphics type='vnc' passwd='velvet' {end} connected='keep'/>");
    assert_eq!(complete("q35", &screen).notes(), []);
}
