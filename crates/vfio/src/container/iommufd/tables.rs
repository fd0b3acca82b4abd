//! The page tables of an iommufd container: which devices are attached to which, and what these say
//! of dirty pages.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use passthru_iommufd::{HwCapabilities, HwInfo, Hwpt, HwptOptions, HwptParent};
use rustix::io::Errno;

use crate::Failed;
use crate::container::{Discards, Error, Ioas};
use crate::device::{self, Attached, Bound, PasidAttachment, Target};

/// The page tables over an address space, and the devices that are attached to it.
#[derive(Debug)]
pub(super) struct Tables {
    ioas: Arc<Ioas>,
    state: Mutex<TableSet>,
}

#[derive(Debug, Default)]
struct TableSet {
    /// Where it is told which tables pin memory: each of them does, for as long as it is there.
    discards: Discards,
    tracking: bool,
    users: Vec<User>,
    /// Tables that track what is written. Some may have no device any more, and something to tell
    /// still; and where an end has failed, these are the ones that go on.
    tracked: Vec<Arc<Hwpt>>,
    /// Tables that the container has made. Devices share these alone: what the caller makes is the
    /// caller's.
    shared: Vec<Weak<Hwpt>>,
    /// How many there ever were who could reach the mappings.
    last_id: u64,
}

/// One that reaches the mappings, with the page table that tells its dirty pages, if there is one.
#[derive(Debug)]
struct User {
    id: UserId,
    table: Option<Arc<Hwpt>>,
}

/// A device, a PASID of one, or a page table, each time that it comes.
#[derive(Clone, Debug)]
struct UserId {
    number: u64,
    name: String,
}

/// Keeps a device, or a PASID of one, among those that reach the mappings, until it is dropped.
#[derive(Debug)]
pub(super) struct UserGuard {
    tables: Arc<Tables>,
    bound: Bound,
    id: UserId,
}

/// Has a page table tell its dirty pages with those of the container, until it is dropped.
#[derive(Debug)]
pub struct IncludedTable {
    tables: Arc<Tables>,
    id: UserId,
}

impl Tables {
    pub(super) fn new(ioas: Arc<Ioas>) -> Self {
        Self {
            ioas,
            state: Mutex::default(),
        }
    }

    pub(super) fn set_discards(&self, discards: Discards) {
        self.lock().discards = discards;
    }

    /// Attaches a device to the mappings, or to a target.
    pub(super) fn attach(
        self: &Arc<Self>,
        bound: Bound,
        to: Option<Target>,
    ) -> Result<(Attached, UserGuard), Failed<Bound, Error>> {
        let guard = self.guard(&bound, bound.device().name());
        let attached = guard.place(bound, to, Bound::attach)?;
        Ok((attached, guard))
    }

    /// Attaches what a device does under a PASID.
    pub(super) fn attach_pasid(
        self: &Arc<Self>,
        bound: &Bound,
        pasid: u32,
        to: Target,
    ) -> Result<(PasidAttachment, UserGuard), Error> {
        let guard = self.guard(bound, format!("{} (PASID {pasid})", bound.device().name()));
        let attach = |(), to| bound.attach_pasid(pasid, to).map_err(alone);
        let attached = self.lock().place_on((), &guard.id, to, &self.ioas, attach);
        Ok((attached.map_err(|failed| failed.error)?, guard))
    }

    fn guard(self: &Arc<Self>, bound: &Bound, name: String) -> UserGuard {
        UserGuard {
            tables: Arc::clone(self),
            bound: bound.duplicate(),
            id: self.lock().new_id(name),
        }
    }

    /// Counts a page table among those that tell dirty pages.
    pub(super) fn include(self: &Arc<Self>, table: &Arc<Hwpt>) -> Result<IncludedTable, Error> {
        let mut state = self.lock();
        let table = root(&Target::Hwpt(Arc::clone(table))).filter(|root| over(root, &self.ioas));
        let table = table.ok_or(Error::OtherTable)?;
        state.take_in(&table)?;
        let id = state.new_id(format!("page table {}", table.id()));
        state.users.push(User {
            id: id.clone(),
            table: Some(table),
        });
        Ok(IncludedTable {
            tables: Arc::clone(self),
            id,
        })
    }

    /// Begins tracking on all tables, or on none; or ends it.
    pub(super) fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        let mut state = self.lock();
        if on { state.begin() } else { state.end() }
    }

    /// Returns all tables that say what was written to.
    pub(super) fn tracking(&self) -> Result<Vec<Arc<Hwpt>>, Error> {
        let state = self.lock();
        if state.tracking {
            Ok(state.tracked.clone())
        } else {
            Err(Error::NotTracking)
        }
    }

    fn lock(&self) -> MutexGuard<'_, TableSet> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TableSet {
    fn new_id(&mut self, name: String) -> UserId {
        self.last_id += 1;
        UserId {
            number: self.last_id,
            name,
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        if self.tracking {
            return Ok(());
        }
        self.all_tell()?;
        let tables = self.tables();
        for table in &tables {
            if let Err(error) = self.turn_on(table) {
                warn_of(self.end());
                return Err(error);
            }
        }
        self.tracked = tables;
        self.tracking = true;
        Ok(())
    }

    /// Ends tracking on as many tables as it can. What was noted is lost with the first of them,
    /// since to turn one on again makes its pages clean: so tracking has ended even where it goes
    /// on with some.
    fn end(&mut self) -> Result<(), Error> {
        self.tracking = false;
        let mut result = Ok(());
        self.tracked
            .retain(|table| match table.set_dirty_tracking(false) {
                Ok(()) => false,
                Err(error) => {
                    result = Err(error.into());
                    true
                }
            });
        result
    }

    /// Counts a table that comes in now among what pins memory, and has it tell dirty pages, while
    /// all do. Returns whether it did not tell them before.
    fn take_in(&mut self, table: &Arc<Hwpt>) -> Result<bool, Error> {
        self.discards
            .pin_while(format!("page table {}", table.id()), table)?;
        let begins = self.tracking && !self.tracked.iter().any(|known| Arc::ptr_eq(known, table));
        if begins {
            self.turn_on(table)?;
        }
        Ok(begins)
    }

    fn turn_on(&mut self, table: &Arc<Hwpt>) -> Result<(), Error> {
        table.set_dirty_tracking(true)?;
        self.tracked.push(Arc::clone(table));
        Ok(())
    }

    /// Attaches to what the caller chose. It belongs to the container as far as it is made over its
    /// address space.
    fn place_on<S, A>(
        &mut self,
        start: S,
        id: &UserId,
        target: Target,
        ioas: &Arc<Ioas>,
        mut attach: impl FnMut(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        if is(&target, ioas) {
            return self.place_on_ioas(start, id, ioas, attach);
        }
        let Some(root) = root(&target).filter(|root| over(root, ioas)) else {
            let attached = attach(start, target).map_err(into)?;
            self.forget(id);
            return Ok(attached);
        };
        let begins = match self.take_in(&root) {
            Ok(begins) => begins,
            Err(error) => {
                return Err(Failed {
                    state: start,
                    error,
                });
            }
        };
        match attach(start, target) {
            Ok(attached) => Ok(self.used(id, Some(root), attached)),
            Err(failed) => {
                if begins {
                    self.tracked.retain(|table| !Arc::ptr_eq(table, &root));
                    warn_of(root.set_dirty_tracking(false).map_err(Error::from));
                }
                Err(into(failed))
            }
        }
    }

    /// Attaches to a table of the container that tells dirty pages: to the first that the device
    /// can have, or to a new one.
    fn place_on_table<S, A>(
        &mut self,
        mut start: S,
        guard: &UserGuard,
        ioas: &Arc<Ioas>,
        mut attach: impl FnMut(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        for table in self
            .shared
            .iter()
            .filter_map(Weak::upgrade)
            .collect::<Vec<_>>()
        {
            match self.place_on(start, &guard.id, table.into(), ioas, &mut attach) {
                Err(Failed {
                    state,
                    error: Error::Device(error),
                }) if error.errno() == Some(Errno::INVAL) => start = state,
                answer => return answer,
            }
        }
        match self.new_table(&guard.bound, ioas) {
            Ok(table) => self.place_on(start, &guard.id, table.into(), ioas, attach),
            Err(error) => Err(Failed {
                state: start,
                error,
            }),
        }
    }

    /// Attaches to the address space, where the kernel makes the page table, which does not tell
    /// dirty pages.
    fn place_on_ioas<S, A>(
        &mut self,
        start: S,
        id: &UserId,
        ioas: &Arc<Ioas>,
        mut attach: impl FnMut(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        if self.tracking {
            let error = Error::NoDirtyTracking {
                devices: vec![id.name.clone()],
            };
            return Err(Failed {
                state: start,
                error,
            });
        }
        let attached = attach(start, Target::Ioas(Arc::clone(ioas))).map_err(into)?;
        Ok(self.used(id, None, attached))
    }

    fn new_table(&mut self, device: &Bound, ioas: &Arc<Ioas>) -> Result<Arc<Hwpt>, Error> {
        let options = HwptOptions {
            dirty_tracking: true,
            ..HwptOptions::default()
        };
        let table = Arc::new(Hwpt::alloc(device, ioas, &options)?);
        self.shared.retain(|table| table.strong_count() > 0);
        self.shared.push(Arc::downgrade(&table));
        Ok(table)
    }

    fn used<A>(&mut self, id: &UserId, table: Option<Arc<Hwpt>>, attached: A) -> A {
        self.forget(id);
        self.users.push(User {
            id: id.clone(),
            table,
        });
        attached
    }

    fn forget(&mut self, id: &UserId) {
        self.users.retain(|used| used.id.number != id.number);
    }

    fn all_tell(&self) -> Result<(), Error> {
        let silent = self.users.iter().filter(|used| used.table.is_none());
        let devices: Vec<_> = silent.map(|used| used.id.name.clone()).collect();
        if devices.is_empty() {
            Ok(())
        } else {
            Err(Error::NoDirtyTracking { devices })
        }
    }

    /// Returns each table that is used, once.
    fn tables(&self) -> Vec<Arc<Hwpt>> {
        let mut tables: Vec<_> = self
            .users
            .iter()
            .filter_map(|used| used.table.clone())
            .collect();
        tables.sort_by_key(|table| table.id());
        tables.dedup_by_key(|table| table.id());
        tables
    }
}

impl UserGuard {
    pub(super) fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    pub(super) fn replace(&self, attached: &mut Attached, by: Option<Target>) -> Result<(), Error> {
        let replace = |(), by| attached.replace(by).map_err(alone);
        self.place((), by, replace).map_err(|failed| failed.error)
    }

    pub(super) fn replace_pasid(
        &self,
        attached: &mut PasidAttachment,
        by: Target,
    ) -> Result<(), Error> {
        let replace = |(), by| attached.replace(by).map_err(alone);
        let placed = self
            .tables
            .lock()
            .place_on((), &self.id, by, &self.tables.ioas, replace);
        placed.map_err(|failed| failed.error)
    }

    /// Attaches what `attach` attaches, first to the tables that are there, and remembers what to.
    fn place<S, A>(
        &self,
        start: S,
        to: Option<Target>,
        attach: impl FnMut(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        let ioas = &self.tables.ioas;
        let mut state = self.tables.lock();
        if let Some(target) = to.filter(|to| !is(to, ioas)) {
            return state.place_on(start, &self.id, target, ioas, attach);
        }
        match tells_dirty_pages(&self.bound) {
            Ok(true) => state.place_on_table(start, self, ioas, attach),
            Ok(false) => state.place_on_ioas(start, &self.id, ioas, attach),
            Err(error) => Err(Failed {
                state: start,
                error: error.into(),
            }),
        }
    }
}

impl Drop for UserGuard {
    fn drop(&mut self) {
        self.tables.lock().forget(&self.id);
    }
}

impl Drop for IncludedTable {
    fn drop(&mut self) {
        self.tables.lock().forget(&self.id);
    }
}

/// Asks whether a device's IOMMU tells dirty pages. A mediated device has none: its driver writes
/// to memory.
fn tells_dirty_pages(bound: &Bound) -> Result<bool, passthru_iommufd::Error> {
    Ok(!bound.device().is_mdev()
        && HwInfo::query(bound)?
            .capabilities
            .contains(HwCapabilities::DIRTY_TRACKING))
}

/// Whether a target is the address space itself.
fn is(target: &Target, ioas: &Arc<Ioas>) -> bool {
    matches!(target, Target::Ioas(target) if Arc::ptr_eq(target, ioas))
}

/// Returns the table that a target is made over in the end: what the kernel fills with mappings.
fn root(target: &Target) -> Option<Arc<Hwpt>> {
    let Target::Hwpt(table) = target else {
        return None;
    };
    let mut table = Arc::clone(table);
    loop {
        let parent = match table.parent() {
            HwptParent::Hwpt(parent) => Arc::clone(parent),
            HwptParent::Viommu(viommu) => Arc::clone(viommu.hwpt()),
            _ => return Some(table),
        };
        table = parent;
    }
}

/// Whether a table is filled with the mappings of an address space.
fn over(table: &Hwpt, ioas: &Arc<Ioas>) -> bool {
    matches!(table.parent(), HwptParent::Ioas(parent) if Arc::ptr_eq(parent, ioas))
}

fn into<S>(failed: Failed<S, device::Error>) -> Failed<S, Error> {
    Failed {
        state: failed.state,
        error: failed.error.into(),
    }
}

fn alone(error: device::Error) -> Failed<(), device::Error> {
    Failed { state: (), error }
}

fn warn_of(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::warn!(
            "{error}: {}",
            error.io().map(io::Error::to_string).unwrap_or_default()
        );
    }
}
