//! The entry of a start in the guest's record: its user, its devices, its firmware.

use crate::error::Error;
use crate::plan::start_plan::Plan;
use crate::start::record::{
    Error as RecordError, Firmware, GuestRecord, Ids, Records, is_possible,
};
use crate::start::user::{Kind, User};
use nix::unistd::Uid;
use passthru_host::{Comparison, Host, Identity};
use passthru_pci::Address;

/// Record that was written for a start. If the start fails, the former record comes back.
#[derive(Debug)]
#[must_use = "the former record comes back when this is dropped"]
pub(crate) struct Registration {
    records: Records,
    name: String,
    /// The former record, until the start has succeeded.
    former: Option<Option<GuestRecord>>,
}

impl Plan {
    /// Compares the devices with those that the guest had at the same addresses, and returns their
    /// identities.
    pub(crate) fn identities(&self, host: &Host) -> Result<Vec<Identity>, Error> {
        let record = if self.is_recorded() {
            self.records.read(&self.name)?
        } else {
            None
        };
        let mut identities = Vec::new();
        for request in &self.requests {
            let now = host.identity(request.address)?;
            let last = record
                .as_ref()
                .and_then(|record| record.device(request.address));
            match last.filter(|last| !self.accept_new_device && !is_possible(&now, last)) {
                Some(last) => return Err(self.new_device(host, now, last)),
                None => identities.push(now),
            }
        }
        Ok(identities)
    }

    /// Lists what the user should know of a start that is not refused: devices of which it cannot
    /// be told whether they are those of the last start, while the host has others of the same
    /// kind.
    ///
    /// # Errors
    /// If the guest's record or a device cannot be read.
    pub fn notes(&self, host: &Host) -> Result<Vec<String>, Error> {
        let record = if self.is_recorded() {
            self.records.read(&self.name)?
        } else {
            None
        };
        let mut notes = Vec::new();
        for request in &self.requests {
            let Some(last) = record
                .as_ref()
                .and_then(|record| record.device(request.address))
            else {
                continue;
            };
            let now = host.identity(request.address)?;
            let twins = host.twins(&now);
            if now.compare(last) == Comparison::Unsure && !twins.is_empty() {
                let twins: Vec<String> = twins.iter().map(ToString::to_string).collect();
                notes.push(format!(
                    "cannot tell {} from {}, of the same kind: no serial number is known of both \
                     this device and the one that the guest had last time",
                    request.address,
                    twins.join(", ")
                ));
            }
        }
        Ok(notes)
    }

    /// Writes the start into the guest's record. The caller has the guest's lock.
    pub(crate) fn register(
        &self,
        identities: Vec<Identity>,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Registration, Error> {
        let records = self.records.lock_unless(interrupted)?;
        let former = self.records.read(&self.name)?;
        let mut record = former
            .clone()
            .unwrap_or_else(|| GuestRecord::new(&self.name));
        let ids = Ids {
            uid: self.user.uid(),
            gid: self.user.gid.as_raw(),
        };
        let others = || self.records.others(&self.name);
        match self.user.kind {
            Kind::Own if record.own == Some(ids) => record.named = None,
            Kind::Own => {
                let taken =
                    record.own.is_some() || others()?.iter().any(|other| other.has_uid(ids.uid));
                if taken {
                    return Err(RecordError::UidTaken { uid: ids.uid }.into());
                }
                record.own = Some(ids);
                record.named = None;
            }
            Kind::Named | Kind::Caller => {
                if !self.share_user {
                    check_sharing(&self.user, &others()?)?;
                }
                record.named = Some(ids);
            }
        }
        record.note_devices(identities);
        record.firmware = Firmware::of(&self.domain);
        records.write(&record)?;
        drop(records);
        Ok(Registration {
            records: self.records.clone(),
            name: self.name.clone(),
            former: Some(former),
        })
    }

    /// Checks that no other guest has the named user.
    pub(crate) fn check_user(&self) -> Result<(), Error> {
        if self.user.kind != Kind::Named || self.share_user || !self.is_recorded() {
            return Ok(());
        }
        Ok(check_sharing(
            &self.user,
            &self.records.others(&self.name)?,
        )?)
    }

    /// Returns whether this start is recorded: root alone can read and write records.
    pub(crate) fn is_recorded(&self) -> bool {
        Uid::effective().is_root()
    }

    fn new_device(&self, host: &Host, now: Identity, last: &Identity) -> Error {
        let mut addresses = host
            .twins(last)
            .into_iter()
            .filter(|address| *address != now.address);
        let is_last = |address: &Address| {
            host.identity(*address)
                .is_ok_and(|identity| identity.compare(last) == Comparison::Same)
        };
        Error::NewDevice {
            guest: self.name.clone(),
            device: now.address,
            moved_to: addresses.find(is_last),
            last: Box::new(last.clone()),
            now: Box::new(now),
        }
    }
}

impl Registration {
    /// Keeps the record: the guest runs.
    pub(crate) fn keep(mut self) {
        self.former = None;
    }

    fn undo(&self, former: Option<&GuestRecord>) -> Result<(), RecordError> {
        let records = self.records.lock()?;
        match former {
            Some(former) => records.write(former),
            None => records.remove(&self.name),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(former) = self.former.take() else {
            return;
        };
        if let Err(error) = self.undo(former.as_ref()) {
            tracing::warn!(
                "cannot restore the record of guest '{}': {error}",
                self.name
            );
        }
    }
}

fn check_sharing(user: &User, others: &[GuestRecord]) -> Result<(), RecordError> {
    match others.iter().find(|other| other.has_uid(user.uid())) {
        Some(other) => Err(RecordError::Shared {
            user: user.name.clone(),
            guest: other.name.clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UidRange;
    use crate::plan::start_plan::Settings;
    use passthru_domain::{Arch, Backend, Domain};
    use passthru_qemu::Capabilities;
    use std::fs;
    use std::path::Path;
    use tempfile::TempDir;

    const NVME: &str = "0000:01:00.0";

    fn add_device(root: &Path, address: &str, serial: Option<&str>) {
        let dir = root.join("sys/bus/pci/devices").join(address);
        fs::create_dir_all(dir.join("nvme/nvme0")).unwrap();
        for (file, text) in [
            ("vendor", "0x1b36"),
            ("device", "0x0010"),
            ("class", "0x010802"),
        ] {
            fs::write(dir.join(file), text).unwrap();
        }
        fs::write(dir.join("nvme/nvme0/serial"), serial.unwrap_or_default()).unwrap();
    }

    fn host(serial: Option<&str>) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        add_device(root.path(), NVME, serial);
        root
    }

    fn plan(root: &Path, name: &str, user: User) -> Plan {
        let xml = format!(
            "<domain type='kvm'><name>{name}</name><memory>1048576</memory>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os><devices><hostdev mode='subsystem' \
             type='pci' managed='yes'><source><address domain='0' bus='1' slot='0' function='0'/></source>\
             </hostdev></devices></domain>"
        );
        let capabilities = Capabilities::builtin(Arch::X86_64);
        let mut domain = Domain::parse(&xml)
            .unwrap()
            .complete(&capabilities)
            .unwrap();
        domain.settle_backend(Backend::Iommufd);
        let settings = Settings {
            user,
            named: Default::default(),
            run_dir: root.join("run"),
            records: Records::new(root.join("guests")),
            share_user: false,
            accept_new_device: false,
        };
        Plan::new(domain, &capabilities, settings).unwrap()
    }

    fn own(uid: u32) -> User {
        User::own(Ids { uid, gid: uid })
    }

    fn start(plan: &Plan, root: &Path) -> Result<Registration, Error> {
        plan.register(plan.identities(&Host::at(root))?, &|| false)
    }

    #[test]
    fn another_device_is_refused_until_accepted() {
        let root = host(Some("A"));
        let mut plan = plan(root.path(), "vm", own(7));
        start(&plan, root.path()).unwrap().keep();
        start(&plan, root.path()).unwrap().keep();

        add_device(root.path(), NVME, Some("B"));
        add_device(root.path(), "0000:02:00.0", Some("A"));
        let error = start(&plan, root.path()).unwrap_err();
        let Error::NewDevice { moved_to, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*moved_to, Some("02:00.0".parse().unwrap()));
        let text = error.to_string();
        assert!(
            text.contains("serial B") && text.contains("serial A"),
            "{text}"
        );

        plan.accept_new_device = true;
        start(&plan, root.path()).unwrap().keep();
        plan.accept_new_device = false;
        start(&plan, root.path()).unwrap().keep();
    }

    #[test]
    fn cards_that_cannot_be_told_apart_are_noted() {
        let root = host(Some("A"));
        let plan = plan(root.path(), "vm", own(7));
        start(&plan, root.path()).unwrap().keep();
        let host = Host::at(root.path());
        assert!(plan.notes(&host).unwrap().is_empty());
        add_device(root.path(), NVME, None);
        assert!(plan.notes(&host).unwrap().is_empty());
        add_device(root.path(), "0000:02:00.0", None);
        let notes = plan.notes(&host).unwrap();
        assert!(
            notes[0].starts_with("cannot tell 0000:01:00.0 from 0000:02:00.0"),
            "{notes:?}"
        );
    }

    #[test]
    fn failed_start_restores_the_former_record() {
        let root = host(Some("A"));
        let mut plan = plan(root.path(), "vm", own(7));
        drop(start(&plan, root.path()).unwrap());
        assert_eq!(plan.records.read("vm").unwrap(), None);
        start(&plan, root.path()).unwrap().keep();
        let former = plan.records.read("vm").unwrap();
        plan.accept_new_device = true;
        add_device(root.path(), NVME, Some("B"));
        let registration = start(&plan, root.path()).unwrap();
        assert_ne!(plan.records.read("vm").unwrap(), former);
        drop(registration);
        assert_eq!(plan.records.read("vm").unwrap(), former);
    }

    #[test]
    fn id_that_another_guest_took_meanwhile_is_not_shared() {
        let root = host(None);
        let (one, two) = (
            plan(root.path(), "one", own(7)),
            plan(root.path(), "two", own(7)),
        );
        start(&one, root.path()).unwrap().keep();
        let error = start(&two, root.path()).unwrap_err();
        assert!(
            matches!(error, Error::Record(RecordError::UidTaken { uid: 7 })),
            "{error}"
        );
    }

    #[test]
    fn starts_at_once_get_different_ids() {
        let root = host(None);
        let path = root.path();
        let range: UidRange = "2100000000-2100000007".parse().unwrap();
        let take = |name: String| loop {
            let records = Records::new(path.join("guests"));
            let user = User::of_guest(&name, &records, range, &Host::at(path)).unwrap();
            let uid = user.uid();
            match start(&plan(path, &name, user), path) {
                Ok(registration) => {
                    registration.keep();
                    return uid;
                }
                Err(Error::Record(RecordError::UidTaken { .. })) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let mut uids: Vec<u32> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|n| scope.spawn(move || take(format!("vm{n}"))))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        uids.sort_unstable();
        assert_eq!(uids, (2_100_000_000..2_100_000_008).collect::<Vec<_>>());
    }

    #[test]
    fn plan_is_refused_while_an_old_vmm_may_live() {
        let root = host(None);
        let plan = plan(root.path(), "vm", own(7));
        let folder = root.path().join("run/domain-vm");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("vmm.json"), "{").unwrap();
        let error = plan.check(&Host::at(root.path())).unwrap_err();
        assert!(
            matches!(error, Error::State(crate::StateError::BadNote { .. })),
            "{error}"
        );
    }

    #[test]
    fn named_user_belongs_to_one_guest_unless_shared() {
        let root = host(None);
        let daemon = || User::named("daemon").unwrap();
        let one = plan(root.path(), "one", daemon());
        let mut two = plan(root.path(), "two", daemon());
        start(&one, root.path()).unwrap().keep();
        let error = start(&two, root.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the user 'daemon' belongs to guest 'one'"
        );
        assert!(two.check_user().is_err());
        two.share_user = true;
        start(&two, root.path()).unwrap().keep();
        // With a user of its own again, the guest lets the other one go.
        let one = plan(root.path(), "one", own(7));
        start(&one, root.path()).unwrap().keep();
        let record = one.records.read("one").unwrap().unwrap();
        assert_eq!(
            (record.own.map(|ids| ids.uid), record.named),
            (Some(7), None)
        );
    }
}
