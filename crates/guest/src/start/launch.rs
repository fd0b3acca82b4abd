//! The start of a guest, from its plan to a VMM that waits to be resumed.

use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Uid;
use passthru_host::{Error as HostError, Host};
use passthru_pci::Address;
use passthru_qemu::explain;
use passthru_qemu::monitor::Command;

use crate::error::Error;
use crate::op::apply::Context;
use crate::op::ledger::Ledger;
use crate::op::op::Op;
use crate::op::world::World;
use crate::plan::hotplug::Hotplug;
use crate::plan::start_plan::StartPlan;
use crate::run::console::{console_label, console_path};
use crate::run::folder::GuestFolder;
use crate::run::guest::{Guest, Lifecycle};
use crate::run::machine::Machine;
use crate::run::recover::clear_remains;
use crate::run::vmm::Vmm;
use crate::start::check::check_host;

/// Number of tenths of a second that a VMM has to end after it closed its monitor. A VMM that needs
/// longer counts as hung.
const CLOSING_TENTHS: usize = 50;
const TENTH: Duration = Duration::from_millis(100);

/// Starts a guest, which then waits: [`Guest::resume`] lets it run. Calls `interrupted` between the
/// operations and while it waits.
///
/// # Errors
/// The error of the operation that failed. Before this returns, everything is put back: devices are
/// on their former drivers, no process is left, and the guest's folder is gone. If a device cannot
/// be put back, then [`Error::NotRestored`].
pub fn start(plan: StartPlan, host: &Host, interrupted: &dyn Fn() -> bool) -> Result<Guest, Error> {
    if plan.needs_root() && !Uid::effective().is_root() {
        return Err(Error::NotRoot);
    }
    let folder = GuestFolder::lock(&plan.run_dir, &plan.name)?;
    // The devices that the guest gets again stay on their VFIO drivers.
    let requested: Vec<Address> = plan
        .requests
        .iter()
        .map(|request| request.address)
        .collect();
    clear_remains(&folder, &plan.records, host, &requested)?;
    check_host(&plan, host)?;
    let mut ops = plan.ops(host)?;
    // The caller lets the guest run once its console is connected.
    ops.retain(|op| *op != Op::Resume);

    let world = World::new(host, plan.user.clone(), plan.records.clone(), folder);
    let mut ledger = Ledger::new(world);
    let context = Context {
        plan: &plan,
        interrupted,
    };
    let console = match launch(&mut ledger, ops, &context) {
        Ok(console) => console,
        Err(error) => return Err(with_failed_returns(error, ledger.undo_all())),
    };
    let Some(machine) = ledger.world().machine.take() else {
        return Err(Error::Interrupted);
    };
    let hotplug = Hotplug::new(&plan.domain, &plan.handover, plan.capabilities);
    let mut domain = plan.domain;
    domain.devices.remove_display_passwords();
    Ok(Guest {
        lifecycle: Lifecycle::from_domain(&domain),
        domain,
        uid: plan.user.uid(),
        memlock: plan.memlock,
        hotplug,
        machine,
        ledger,
        console,
    })
}

/// Executes the operations, and returns the path of the guest's console.
fn launch(
    ledger: &mut Ledger,
    ops: Vec<Op>,
    context: &Context<'_>,
) -> Result<Option<PathBuf>, Error> {
    let mut done = ledger.run_all(ops, context);
    let mut console = None;
    if let (Ok(()), Some(machine)) = (&done, &mut ledger.world().machine) {
        match find_console(machine, context) {
            Ok(path) => console = path,
            Err(error) => done = Err(error),
        }
    }

    if let (Err(Error::Monitor(_)), Some(machine)) = (&done, &mut ledger.world().machine) {
        let vmm = machine.vmm();
        if has_ended_soon(vmm, context.interrupted) {
            return Err(error_of_ended(vmm, context.plan));
        }
    }

    done.map(|()| console)
}

fn find_console(machine: &mut Machine, context: &Context<'_>) -> Result<Option<PathBuf>, Error> {
    let Some(label) = console_label(&context.plan.domain) else {
        return Ok(None);
    };
    let ticket = machine.submit(&Command::QueryChardev)?;
    let answer = machine.wait(ticket, context.interrupted)?;
    Ok(console_path(&answer, &label))
}

/// Joins the error of a start with the devices that could not be given back.
fn with_failed_returns(error: Error, errors: Vec<HostError>) -> Error {
    if errors.is_empty() {
        return error;
    }
    Error::NotRestored {
        after: Box::new(error),
        errors,
    }
}

/// Waits a little for a VMM that closed its monitor. Returns whether it has ended.
fn has_ended_soon(vmm: &mut Vmm, interrupted: &dyn Fn() -> bool) -> bool {
    for _ in 0..CLOSING_TENTHS {
        if interrupted() {
            return false;
        }
        if vmm.ends_within(TENTH) {
            return true;
        }
    }

    false
}

/// Returns the error for a VMM that has ended, with its own messages.
fn error_of_ended(vmm: &mut Vmm, plan: &StartPlan) -> Error {
    let (status, messages) = vmm.wait();
    let explained = explain(&messages, &plan.line);
    let about = explained.as_ref().and_then(|e| match (&e.id, &e.host) {
        (Some(id), Some(host)) => Some(format!("{id} ({host})")),
        (Some(id), None) => Some(id.clone()),
        (None, host) => host.map(|host| host.to_string()),
    });
    let hint = plan
        .memlock
        .explain(&messages)
        .or_else(|| explained.and_then(|e| e.hint).map(String::from));
    Error::Ended {
        emulator: plan.line.emulator.clone(),
        status: status.ok(),
        about,
        messages,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::start::user::User;

    /// Plans a guest without devices whose emulator is a script.
    fn plan(folder: &Path, script: &str) -> StartPlan {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        let emulator = folder.join("emulator");
        // By another process: a child of another test must not have the script open for writing.
        let mut write = Command::new("/bin/sh");
        write.args([
            "-c",
            "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"",
        ]);
        assert!(write.arg(&emulator).arg(script).status().unwrap().success());
        let xml = format!(
            "<domain type='qemu'><name>vm</name><memory>1048576</memory><os><type arch='x86_64' \
             machine='q35'>hvm</type></os><devices><emulator>{}</emulator></devices></domain>",
            emulator.display()
        );
        StartPlan::for_test(&xml, folder, User::choose(None).unwrap())
    }

    #[test]
    fn vmm_that_ends_at_once_is_reported_by_its_message() {
        for script in [
            "echo broken >&2; exit 3",
            "sleep 0.2; echo broken >&2; exit 3",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let plan = plan(folder.path(), script);
            let Err(error) = start(plan, &Host::new(), &|| false) else {
                panic!("{script}")
            };
            let Error::Ended { messages, .. } = &error else {
                panic!("{script}: {error:?}")
            };
            assert_eq!(messages, "broken\n", "{script}");
        }
    }

    #[test]
    fn interrupted_start_leaves_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path(), "exit 1");
        let started = start(plan, &Host::new(), &|| true);
        assert!(matches!(started, Err(Error::Interrupted)), "{started:?}");
        assert!(!folder.path().join("run/domain-vm").exists());
    }
}
