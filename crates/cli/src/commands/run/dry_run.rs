//! `passthru run --dry-run`.

use std::process::ExitCode;

use passthru_guest::{Error as GuestError, Op, StartPlan, User, check};
use passthru_host::{Error as HostError, Host};

use super::args::Args;
use super::notices::Notices;
use crate::error::Error;
use crate::message::say;
use crate::output;

/// Prints the operations of a start, unless they cannot be told, and checks whether the host
/// permits it now.
pub(super) fn dry_run(
    args: &Args,
    plan: &StartPlan,
    host: &Host,
    notices: &mut Notices,
) -> Result<ExitCode, Error> {
    let ops = plan.ops(host);
    if let Ok(ops) = &ops {
        let text = if args.json {
            let json = serde_json::json!({ "operations": ops, "at_the_end": undo_texts(ops) });
            format!("{json:#}\n")
        } else {
            text(ops, plan)
        };
        output::print(&text)?;
    }

    notices.say_notes(plan, host);
    if let Some(error) = check(plan, host).err().and_then(without_unseen) {
        return Err(error.into());
    }
    ops?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the objections of a dry run that usages cannot be seen, and returns the other errors.
///
/// A dry run works without root, who alone can see all usages. A start is refused then. As root,
/// all errors are returned.
pub(super) fn without_unseen(error: GuestError) -> Option<GuestError> {
    if User::caller().is_none() {
        return Some(error);
    }
    let errors = match error {
        GuestError::Several(errors) => errors,
        error => vec![error],
    };
    let mut others = Vec::new();
    for error in errors {
        match error {
            GuestError::Host(unseen) if only_unseen(&unseen) => say!("note: {unseen}"),
            error => others.push(error),
        }
    }

    GuestError::several(others)
}

fn text(ops: &[Op], plan: &StartPlan) -> String {
    let mut text = String::new();
    for (index, op) in ops.iter().enumerate() {
        text += &format!("{:2}. {op}\n", index + 1);
    }

    text += "\nAt its end:\n";
    for undo in undo_texts(ops) {
        text += &format!("  - {undo}\n");
    }
    text + &format!("\nThe command:\n{}", plan.command())
}

/// Returns what the guest's end undoes, in its order.
fn undo_texts(ops: &[Op]) -> Vec<String> {
    ops.iter().rev().filter_map(Op::undo_text).collect()
}

/// Returns whether the only objections are that usages cannot be seen.
fn only_unseen(error: &HostError) -> bool {
    match error {
        HostError::UsageUnknown { .. } => true,
        HostError::Several(errors) => errors.iter().all(only_unseen),
        _ => false,
    }
}
