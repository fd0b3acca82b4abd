//! `passthru run --dry-run`.

use std::process::ExitCode;

use passthru_guest::{Error as GuestError, StartPlan, Step, User, check};
use passthru_host::{Error as HostError, Host};

use super::args::Args;
use super::notices::Notices;
use crate::error::Error;
use crate::message::say;
use crate::output;

/// Prints the steps of a start, unless they cannot be told, and checks whether the host permits it
/// now.
pub(super) fn dry_run(
    args: &Args,
    plan: &StartPlan,
    host: &Host,
    notices: &mut Notices,
) -> Result<ExitCode, Error> {
    let steps = plan.steps(host);
    if let Ok(steps) = &steps {
        let text = if args.json {
            format!("{:#}\n", serde_json::json!({ "steps": steps }))
        } else {
            text(steps, plan)
        };
        output::print(&text)?;
    }

    notices.say_notes(plan, host);
    if let Some(error) = check(plan, host).err().and_then(without_unseen) {
        return Err(error.into());
    }
    steps?;
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

fn text(steps: &[Step], plan: &StartPlan) -> String {
    let mut text = String::new();
    for (index, step) in steps.iter().enumerate() {
        text += &format!("{:2}. {step}\n", index + 1);
    }
    text + &format!("\nThe command:\n{}", plan.command())
}

/// Returns whether the only objections are that usages cannot be seen.
fn only_unseen(error: &HostError) -> bool {
    match error {
        HostError::UsageUnknown { .. } => true,
        HostError::Several(errors) => errors.iter().all(only_unseen),
        _ => false,
    }
}
