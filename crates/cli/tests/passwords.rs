//! Passwords of screens in messages about a domain.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::run_on;

/// Returns all that a command prints about a domain with a `<graphics>`, and its exit code.
fn printed(words: &[&str], graphics: &str) -> (Option<i32>, String) {
    let xml = format!(
        "<domain type='kvm'><name>screen</name><memory unit='MiB'>64</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <devices>{graphics}</devices></domain>"
    );
    common::printed(run_on("screen", &xml, words))
}

/// Words of the commands that refuse a domain before they look at the host.
const COMMANDS: [&[&str]; 7] = [
    &["validate"],
    &["validate", "--json"],
    &["-vv", "convert"],
    &["convert", "--json"],
    &["format"],
    &["format", "--as-written"],
    &["-vv", "run", "--dry-run"],
];

/// Asserts that no command shows the password of a `<graphics>` that it refuses.
fn assert_hidden(graphics: &str, commands: &[&[&str]]) {
    for words in commands {
        let (code, text) = printed(words, graphics);
        assert!(!text.contains("velvet"), "{words:?} {graphics}: {text}");
        assert_eq!(code, Some(3), "{words:?} {graphics}: {text}");
    }
}

#[test]
fn message_about_a_screen_does_not_show_its_password() {
    for graphics in [
        "<graphics type='vnc' passwd='velvet-longer'/>",
        "<graphics type='vnc' passwd='velvet' connected='fail'/>",
        "<graphics type='vnc' passwd='velvet'><listen type='network'/></graphics>",
    ] {
        // Other commands look at the host first, or do not check the domain.
        assert_hidden(graphics, &COMMANDS[..5]);
    }
}

#[test]
fn message_about_the_text_does_not_show_a_password() {
    for graphics in [
        "<graphics type='vnc' passwd='velvet' passwdValidTo='tomorrow'/>",
        "<graphics type='spice' passwd='velvet' bogus='yes'/>",
        "<graphics type='sdl' passwd='velvet'/>",
        "<graphics type='vnc'> passwd='velvet'</graphics>",
        "<graphics type='vnc'><passwd>velvet</passwd></graphics>",
        "<graphics type='vnc'><passwd value='velvet'/></graphics>",
        "<graphics type='vnc' password='velvet'/>",
        "<graphics type='vnc' Passwd='velvet'/>",
        "<graphics type='vnc' PASSPHRASE=\"velvet\"/>",
        "<graphics type=\"vnc passwd='velvet'\"/>",
        "<graphics type='vnc' autoport='no passwd=velvet'/>",
    ] {
        assert_hidden(graphics, &COMMANDS);
    }
}

#[test]
fn syntax_error_does_not_show_a_password() {
    for graphics in [
        "<graphics type='vnc' passwd='velvet' passwd='velvet'/>",
        "<graphics type='vnc' passwd='velvet",
        "<graphics type='vnc' passwd=velvet/>",
        "<graphics type='vnc' passwd=velvet'/>",
        "<graphics type='vnc' passwd 'velvet'/>",
        "<graphics type='vnc' passwd='ab&velvet;cd'/>",
        "<graphics type='vnc' passwd='ab&velvet'/>",
        "<graphics type='vnc' passwd='ab'velvet'/>",
        "<graphics type='vnc' passwd='velvet<'/>",
        "<graphics type='vnc' passwd='velvet&#x110000;'/>",
        "<graphics type='vnc passwd='velvet'/>",
        "<graphics type='vnc'> passwd='ab&velvet;'</graphics>",
    ] {
        assert_hidden(graphics, &COMMANDS);
    }
}

#[test]
fn message_does_not_quote_a_password_of_another_place() {
    let graphics = "<graphics type='vnc' passwd='velvet'/><hostdev mode='velvet'/>";
    let (code, text) = printed(&["validate", "--json"], graphics);
    assert!(!text.contains("velvet"), "{text}");
    assert!(text.contains("'mode' of <hostdev> is '******'"), "{text}");
    assert_eq!(code, Some(3), "{text}");
}

#[test]
fn message_in_a_password_says_what_to_write() {
    for (value, message) in [
        ("'ab&velvet;cd'", "write it as '&amp;'"),
        ("velvet", "the value of a password has no quotation marks"),
    ] {
        let graphics = format!("<graphics type='vnc' passwd={value}/>");
        let (_, text) = printed(&["validate"], &graphics);
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn converted_screen_does_not_show_its_password() {
    for kind in ["vnc", "spice"] {
        let graphics = format!("<graphics type='{kind}' passwd='velvet' connected='keep'/>");
        let (code, text) = printed(&["-vv", "convert"], &graphics);
        assert!(!text.contains("velvet"), "{text}");
        assert!(text.contains(&format!("-{kind} ")), "{text}");
        assert_eq!(code, Some(0), "{text}");
    }
}

#[test]
fn run_forbids_core_files_of_itself() {
    let program = env!("CARGO_BIN_EXE_passthru");
    let mut run = Command::new("sh")
        .args([
            "-c",
            "ulimit -S -c $(ulimit -H -c); exec \"$0\" run -",
            program,
        ])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let limits = format!("/proc/{}/limits", run.id());
    let end = Instant::now() + Duration::from_secs(10);
    let soft = loop {
        let text = fs::read_to_string(&limits).unwrap();
        let line = text.lines().find(|line| line.starts_with("Max core"));
        let soft = line.and_then(|line| line.split_whitespace().nth(4));
        let soft = soft.unwrap().to_owned();
        if soft == "0" || Instant::now() > end {
            break soft;
        }
        sleep(Duration::from_millis(10));
    };
    drop(run.stdin.take());
    run.wait().unwrap();

    assert_eq!(soft, "0");
}
