//! Variables of QEMU's environment that libraries below it read.

use passthru_qemu::Style;

use crate::helpers::{environment, guest};

#[test]
fn sound_of_pipewire_names_the_folder_of_its_socket() {
    let xml = guest("<audio id='1' type='pipewire' runtimeDir='/run/user/1000'/>");
    let expected = [("PIPEWIRE_RUNTIME_DIR".into(), "/run/user/1000".into())];
    assert_eq!(environment(&xml, Style::Managed), expected);
}

#[test]
fn sound_of_sdl_names_its_driver() {
    let xml = guest("<audio id='1' type='sdl' driver='alsa'/>");
    let expected = [("SDL_AUDIODRIVER".into(), "alsa".into())];
    assert_eq!(environment(&xml, Style::Managed), expected);
}

#[test]
fn window_of_sdl_names_its_x_server() {
    let xml = guest("<graphics type='sdl' display=':1' xauth='/root/.Xauthority'/>");
    let expected = [
        ("XAUTHORITY".into(), "/root/.Xauthority".into()),
        ("DISPLAY".into(), ":1".into()),
    ];
    assert_eq!(environment(&xml, Style::Managed), expected);
}
