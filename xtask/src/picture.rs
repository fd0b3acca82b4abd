//! `cargo xtask picture`: docs/passthru.svg, from the output of `lab/picture` on the virtual host.

use std::fs;

use anstyle_svg::{Term, WIN10_CONSOLE};
use anyhow::{Context, Result};

use crate::cargo::root;
use crate::lab::{self, MachineArgs};

const FILE: &str = "docs/passthru.svg";
/// Width of the terminal in columns, as set by `lab/picture`.
const COLUMNS: usize = 104;
/// Distance of tab stops in columns.
const TAB: usize = 8;
/// Smallest width in pixels. With margins of 10 pixels, that is the width of a README.
const WIDTH: usize = 880;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
}

/// Runs the commands on a terminal of the virtual host. Writes the picture if all succeed.
pub(crate) fn run(args: &Args) -> Result<u8> {
    lab::build(&args.machine)?;
    let words = [
        "script",
        "--quiet",
        "--return",
        "--command",
        "/src/lab/picture",
        "/dev/null",
    ];
    let (code, output) = lab::record(&args.machine, &words.map(Into::into))?;
    if code == 0 {
        let text = String::from_utf8(output).context("the output of lab/picture")?;
        fs::write(root().join(FILE), svg(&text)).context(FILE)?;
        println!("{FILE} is written");
    }

    Ok(code)
}

/// Draws the contents of a terminal. Of control sequences, those of colours are supported.
fn svg(text: &str) -> String {
    let screen = screen(text.trim_matches(['\r', '\n']));
    Term::new()
        .palette(WIN10_CONSOLE)
        .min_width_px(WIDTH)
        .render_svg(&screen)
}

/// Lays text out as a terminal does: long lines continue on the next, tabs become spaces.
fn screen(text: &str) -> String {
    let mut screen = String::new();
    let mut column = 0;
    let mut in_sequence = false;
    for c in text.chars() {
        match c {
            '\r' => {}
            '\n' => {
                column = 0;
                screen.push(c);
            }
            '\x1b' => {
                in_sequence = true;
                screen.push(c);
            }
            // `ESC [`, parameters, and a letter at the end.
            _ if in_sequence => {
                in_sequence = !c.is_ascii_alphabetic();
                screen.push(c);
            }
            _ => {
                if column == COLUMNS {
                    column = 0;
                    screen.push('\n');
                }
                let (shown, width) = if c == '\t' {
                    (' ', TAB - column % TAB)
                } else {
                    (c, 1)
                };
                screen.extend(std::iter::repeat_n(shown, width));
                column += width;
            }
        }
    }

    screen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of a command on a pseudo terminal, as `script` records it.
    const RECORDED: &str = "\r\n\x1b[1;32m$\x1b[0m \x1b[1mpassthru bind 03:00.0\x1b[0m\r\n\
        \x1b[1m\x1b[91merror\x1b[0m: \x1b[1m0000:03:00.0 is in use: the file system on /data \
        (nvme1n1)\x1b[0m\r\n";

    #[test]
    fn picture_has_each_line_and_no_control_characters() {
        let svg = svg(RECORDED);
        assert!(svg.contains(">passthru bind 03:00.0<"), "{svg}");
        assert!(
            svg.contains(">0000:03:00.0 is in use: the file system on /data (nvme1n1)<"),
            "{svg}"
        );
        assert!(
            !svg.contains(|c: char| c.is_control() && c != '\n'),
            "{svg}"
        );
        assert_eq!(svg.matches("<tspan x=").count(), 2, "{svg}");
    }

    #[test]
    fn picture_has_the_colours_of_the_terminal() {
        let svg = svg(RECORDED);
        assert!(svg.contains(r#"class="fg-green bold">$<"#), "{svg}");
        assert!(
            svg.contains(r#"class="fg-bright-red bold">error<"#),
            "{svg}"
        );
    }

    #[test]
    fn long_line_continues_on_the_next() {
        let line = "x".repeat(COLUMNS);
        assert_eq!(screen(&line), line);
        let coloured = format!("\x1b[1m{line}y\x1b[0m\r\nz");
        assert_eq!(screen(&coloured), format!("\x1b[1m{line}\ny\x1b[0m\nz"));
    }

    #[test]
    fn tab_advances_to_the_next_stop() {
        assert_eq!(screen("Uid:\t65534\t0"), "Uid:    65534   0");
    }

    #[test]
    fn picture_is_as_wide_as_a_readme() {
        let svg = svg(&format!("{RECORDED}{}\r\n", "x".repeat(3 * COLUMNS)));
        assert!(svg.starts_with(r#"<svg width="900px""#), "{svg}");
    }
}
