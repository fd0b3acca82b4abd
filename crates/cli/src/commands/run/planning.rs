//! The plan of a run, with all errors of the document, the command line and the host together.

use passthru_domain::{Arch, Backend, Domain, Errors, IdSet, ParsedDomain};
use passthru_guest::{
    LostFirmware, NamedFds, RECORD_DIR, Records, StartPlan, StartSettings, User, check_devices,
    has_stdio,
};
use passthru_host::Host;
use passthru_qemu::{Capabilities, FirmwareCatalog};

use super::args::Args;
use super::backend::choose_backend;
use super::dry_run::without_unseen;
use super::named_fds::{check_names, named_fds};
use super::notices::Notices;
use crate::commands::backend_argument::{BackendPolicy, check_disk_backend};
use crate::config::Config;
use crate::document::Document;
use crate::error::Error;
use crate::exit::Code;
use crate::firmware::{Firmwares, unseen_record_note};
use crate::folder::{log_dir, run_dir};
use crate::user::choose_user;
use crate::{emulator, input};

/// Plans the start of the domain in a document.
///
/// # Errors
/// All errors of the document, the domain and the command line, and those that keep the guest's
/// user, firmware, emulator or backend from being known.
pub(super) fn plan(
    args: &Args,
    document: &Document,
    config: &Config,
    host: &Host,
    notices: &mut Notices,
) -> Result<StartPlan, Error> {
    let named = named_fds(args)?;
    let parsed = input::parse_with_errors(document)?;
    let mut base = Base::new(args, &parsed, config, host, notices);
    let (domain, mut errors) = examine(parsed, document, &base, args, &named);
    let is_refused = !errors.is_empty() || !base.errors.is_empty();
    if let Some(domain) = domain.as_ref().filter(|_| is_refused) {
        let refused = check_devices(domain, host).err().and_then(without_unseen);
        base.errors.extend(refused.map(Error::from));
    }

    errors.append(&mut base.errors);
    if let Some(error) = Error::several(errors) {
        return Err(error);
    }
    if args.detached && domain.as_ref().is_some_and(has_stdio) {
        let error =
            "a serial port or console of type 'stdio' needs the terminal that --detach leaves";
        return Err(Error::new(Code::Domain, error).hint(Some("use <serial type='pty'/>")));
    }
    let (Some(domain), Some(user)) = (domain, base.user) else {
        return Err(Error::new(Code::Failure, "the start has no plan"));
    };
    let settings = StartSettings {
        user,
        named,
        run_dir: run_dir(),
        log_dir: log_dir(),
        records: Records::new(RECORD_DIR),
        lost_firmware: base.lost_firmware,
        share_user: args.share_user,
        accept_new_device: args.accept_new_device,
    };
    Ok(StartPlan::new(domain, &base.capabilities, settings)?)
}

/// Base of a plan besides the domain, as far as it is known.
struct Base {
    user: Option<User>,
    /// Capabilities of the emulator, or the built-in ones.
    capabilities: Capabilities,
    backend: Option<Backend>,
    lost_firmware: Option<LostFirmware>,
    /// Errors of the parts that are not known.
    errors: Vec<Error>,
}

impl Base {
    fn new(
        args: &Args,
        parsed: &ParsedDomain,
        config: &Config,
        host: &Host,
        notices: &mut Notices,
    ) -> Self {
        let domain = &parsed.domain;
        let mut errors = Vec::new();
        let user = known(user_of(args, parsed, config, host), &mut errors).flatten();
        let firmwares = firmwares_of(domain, user.as_ref(), &mut errors);
        let is_root = User::caller().is_none();
        let unseen = unseen_record_note(domain, is_root).filter(|_| args.dry_run);
        for note in firmwares.notes.iter().map(String::as_str).chain(unseen) {
            notices.say(format!("note: {note}"));
        }

        let probed = match &user {
            Some(user) => known(emulator::probe(domain, None, user), &mut errors),
            None => None,
        };
        let can_choose = probed.is_some() && check_disks(args, domain).is_ok();
        let arch = domain.os.kind.arch.unwrap_or(Arch::X86_64);
        let capabilities = probed
            .unwrap_or_else(|| Capabilities::builtin(arch))
            .with_nodes(nodes(host))
            .with_dmi(host.dmi())
            .with_firmware(firmwares.catalog);
        let mut backend = None;
        if can_choose {
            let chosen = choose_backend(args.backend, domain, host, &capabilities, notices);
            backend = known(chosen, &mut errors);
        }

        Self {
            user,
            capabilities,
            backend,
            lost_firmware: firmwares.lost,
            errors,
        }
    }
}

/// Returns the host's firmwares for a guest, or those at well-known paths.
fn firmwares_of(domain: &Domain, user: Option<&User>, errors: &mut Vec<Error>) -> Firmwares {
    let records = Records::new(RECORD_DIR);
    let found = user.and_then(|user| known(Firmwares::of_host(domain, &records, user), errors));
    found.unwrap_or_else(|| FirmwareCatalog::WellKnown.into())
}

/// Returns the user of the guest; `None` if errors hide the guest's name or architecture.
fn user_of(
    args: &Args,
    parsed: &ParsedDomain,
    config: &Config,
    host: &Host,
) -> Result<Option<User>, Error> {
    let domain = &parsed.domain;
    let hides = domain.name.is_none() || domain.os.kind.arch.is_none();
    if hides && !parsed.errors.is_empty() {
        return Ok(None);
    }
    let name = domain.name.as_deref().unwrap_or_default();
    choose_user(args.user.as_deref(), config, name, host).map(Some)
}

/// Returns a value; adds the error to the list if there is none.
fn known<T>(value: Result<T, Error>, errors: &mut Vec<Error>) -> Option<T> {
    match value {
        Ok(value) => Some(value),
        Err(error) => {
            errors.push(error);
            None
        }
    }
}

/// Completes and validates a domain, and makes its command line. Returns the domain, if all of that
/// is right, and the errors with those of the descriptors' names.
fn examine(
    parsed: ParsedDomain,
    document: &Document,
    base: &Base,
    args: &Args,
    named: &NamedFds,
) -> (Option<Domain>, Vec<Error>) {
    let mut found = parsed.examine(&base.capabilities, base.backend);
    found.check(|domain| check_disks(args, domain));
    found.check(Domain::check_nvme_controllers);
    found.check(|domain| base.capabilities.check(domain));
    // A missing descriptor is not a fault of the domain.
    let is_right = found.errors.is_empty();
    let code = if is_right { Code::Host } else { Code::Domain };
    found.check(|domain| check_names(domain, named));
    let domain = found.domain.take().filter(|_| is_right);
    if found.errors.is_empty() {
        return (domain, Vec::new());
    }
    let error = Error::at_places(code, document, found.into_errors());
    (domain, vec![error])
}

/// Checks that the disks of a domain can have the backend that the command line names.
fn check_disks(args: &Args, domain: &Domain) -> Result<(), Errors> {
    match args.backend {
        BackendPolicy::Named(backend) => check_disk_backend(domain, backend),
        BackendPolicy::Auto => Ok(()),
    }
}

/// Returns the host's NUMA nodes with their CPUs. Leaves out nodes without CPUs.
fn nodes(host: &Host) -> Vec<(u32, IdSet)> {
    host.numa_nodes()
        .into_iter()
        .filter_map(|(node, cpus)| Some((node, cpus.parse().ok()?)))
        .collect()
}
