//! Progress of a request that takes a while.

use indicatif::{ProgressBar, ProgressStyle};
use passthru_supervisor::control::{Progress, Reply, Request};
use serde_json::Value;

use super::GuestArgs;
use super::request::for_each_reply;
use crate::error::Error;
use crate::units::size_text;

/// Sends a request, and shows its progress on a terminal until the answer comes.
pub(super) fn call_with_progress(guest: &GuestArgs, request: &Request) -> Result<Value, Error> {
    let mut client = guest.connect()?;
    let bar = bar();
    let mut answer = Value::Null;
    let done = for_each_reply(&mut client, request, |reply| {
        match reply {
            Reply::Progress(progress) => bar.set_message(text(&progress)),
            Reply::Answer(last) => answer = last.value,
            _ => {}
        }
        Ok(true)
    });
    bar.finish_and_clear();
    done.map(|()| answer)
}

/// Returns the aliases of the devices that an answer names, in words.
pub(super) fn aliases(answer: &Value) -> String {
    let aliases = answer["aliases"].as_array().into_iter().flatten();
    let aliases = Vec::from_iter(aliases.filter_map(Value::as_str));
    aliases.join(" and ")
}

/// Returns a line on standard error that is shown on a terminal only.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        bar.set_style(style);
    }
    bar
}

fn text(progress: &Progress) -> String {
    let Progress { op, at, of, pinned } = progress;
    let mut text = format!("{at} of {of}: {op}");
    if let Some(bytes) = pinned {
        text += &format!("; {} pinned", size_text(*bytes));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_the_operation_and_the_pinned_memory() {
        let progress = Progress {
            op: "plug hostdev0".into(),
            at: 3,
            of: 9,
            pinned: Some(3 << 20),
        };
        assert_eq!(text(&progress), "3 of 9: plug hostdev0; 3 MiB pinned");
    }
}
