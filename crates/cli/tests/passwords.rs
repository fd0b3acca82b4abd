//! Passwords of screens in messages about a domain.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Returns all that a command prints about a domain with a `<graphics>`, and its exit code.
fn printed(words: &[&str], graphics: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("screen.xml");
    let xml = format!(
        "<domain type='kvm'><name>screen</name><memory unit='MiB'>64</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <devices>{graphics}</devices></domain>"
    );
    fs::write(&file, xml).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_passthru"))
        .args(words)
        .arg(&file)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn message_about_a_screen_does_not_show_its_password() {
    for graphics in [
        "<graphics type='vnc' passwd='velvet-longer'/>",
        "<graphics type='vnc' passwd='velvet' passwdValidTo='tomorrow'/>",
        "<graphics type='vnc' passwd='velvet' connected='fail'/>",
        "<graphics type='spice' passwd='velvet' bogus='yes'/>",
        "<graphics type='sdl' passwd='velvet'/>",
        "<graphics type='vnc' passwd='velvet' passwd='velvet'/>",
        "<graphics type='vnc' passwd='velvet",
        "<graphics type='vnc' passwd='velvet'><listen type='network'/></graphics>",
    ] {
        for words in [
            &["validate"][..],
            &["validate", "--json"],
            &["-vv", "convert"],
        ] {
            let (code, text) = printed(words, graphics);
            assert!(!text.contains("velvet"), "{words:?} {graphics}: {text}");
            assert_eq!(code, Some(3), "{words:?} {graphics}: {text}");
        }
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
