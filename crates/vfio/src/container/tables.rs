//! The page tables of an iommufd container: which devices are attached to which, and what these say of dirty pages.

use super::{Error, Ioas};
use crate::Failed;
use crate::device::{self, Attached, Bound, Device, Target};
use passthru_iommufd::{BoundDevice, HwCapabilities, HwInfo, Hwpt, HwptOptions, HwptParent, Iommufd};
use rustix::io::Errno;
use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The page tables over an address space, and the devices that are attached to it.
#[derive(Debug)]
pub(super) struct Tables {
    ioas: Arc<Ioas>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tracking: bool,
    uses: Vec<Use>,
    /// Tables that no device uses any more, with what was written to while dirty pages are tracked.
    left: Vec<Arc<Hwpt>>,
}

/// A device that reaches the mappings, with the page table that tells its dirty pages, if there is one.
#[derive(Debug)]
struct Use {
    device: String,
    table: Option<Arc<Hwpt>>,
}

/// Keeps a device among those that reach the mappings, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    tables: Arc<Tables>,
    who: Who,
}

/// Has a page table tell its dirty pages with those of the container, until it is dropped.
#[derive(Debug)]
pub struct Included {
    tables: Arc<Tables>,
    name: String,
}

/// A bound device, by what it is known by.
#[derive(Debug)]
struct Who {
    context: Arc<Iommufd>,
    id: u32,
    device: Device,
}

impl Tables {
    pub(super) fn new(ioas: Arc<Ioas>) -> Self {
        Self { ioas, state: Mutex::default() }
    }

    /// Attaches a device to the mappings, or to a target.
    pub(super) fn attach(
        self: &Arc<Self>,
        bound: Bound,
        to: Option<Target>,
    ) -> Result<(Attached, Held), Failed<Bound, Error>> {
        let who = Who::of(&bound);
        let attached = self.place(bound, &who, to, Bound::attach)?;
        Ok((attached, Held { tables: Arc::clone(self), who }))
    }

    /// Counts a page table among those that tell dirty pages.
    pub(super) fn include(self: &Arc<Self>, table: &Arc<Hwpt>) -> Result<Included, Error> {
        let mut state = self.lock();
        let table = root(&Target::Hwpt(Arc::clone(table))).filter(|root| over(root, &self.ioas));
        let table = table.ok_or(Error::OtherTable)?;
        state.track(&table)?;
        let name = format!("page table {}", table.id());
        state.uses.push(Use { device: name.clone(), table: Some(table) });
        Ok(Included { tables: Arc::clone(self), name })
    }

    /// Attaches what `attach` attaches, first to the tables that are there, and remembers what to.
    fn place<S, A>(
        &self,
        start: S,
        who: &Who,
        to: Option<Target>,
        attach: impl Fn(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        let mut state = self.lock();
        let foreign = to.filter(|to| !matches!(to, Target::Ioas(ioas) if Arc::ptr_eq(ioas, &self.ioas)));
        if let Some(target) = foreign {
            return state.place_on(start, who, target, &self.ioas, attach);
        }
        match who.tells_dirty_pages() {
            Ok(true) => state.place_on_table(start, who, &self.ioas, attach),
            Ok(false) => state.place_on_ioas(start, who, &self.ioas, attach),
            Err(error) => Err(Failed { state: start, error: error.into() }),
        }
    }

    /// Begins or ends tracking on all tables, or on none.
    pub(super) fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        let mut state = self.lock();
        if state.tracking == on {
            return Ok(());
        }
        if on {
            state.all_tell()?;
        }
        let tables = state.tables();
        for (done, table) in tables.iter().enumerate() {
            if let Err(error) = table.set_dirty_tracking(on) {
                for former in tables.iter().take(done) {
                    warn_of(former.set_dirty_tracking(!on));
                }
                return Err(error.into());
            }
        }
        state.tracking = on;
        state.left.clear();
        Ok(())
    }

    /// Returns all tables that say what was written to.
    pub(super) fn tracking(&self) -> Result<Vec<Arc<Hwpt>>, Error> {
        let state = self.lock();
        if state.tracking { Ok(state.tables()) } else { Err(Error::NotTracking) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Attaches to what the caller chose. It belongs to the container as far as it is made over its address space.
    fn place_on<S, A>(
        &mut self,
        start: S,
        who: &Who,
        target: Target,
        ioas: &Arc<Ioas>,
        attach: impl Fn(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        let root = root(&target).filter(|root| over(root, ioas));
        if let Some(root) = &root
            && let Err(error) = self.track(root)
        {
            return Err(Failed { state: start, error });
        }
        let attached = attach(start, target).map_err(into)?;
        self.forget(&who.name());
        self.uses.extend(root.map(|table| Use { device: who.name(), table: Some(table) }));
        Ok(attached)
    }

    /// Attaches to a table that tells dirty pages: to the first that the device can have, or to a new one.
    fn place_on_table<S, A>(
        &mut self,
        mut start: S,
        who: &Who,
        ioas: &Arc<Ioas>,
        attach: impl Fn(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        for table in self.tables().into_iter().filter(|table| over(table, ioas)) {
            match attach(start, Target::Hwpt(Arc::clone(&table))) {
                Ok(attached) => return Ok(self.used(who, Some(table), attached)),
                Err(Failed { state, error }) if error.errno() == Some(Errno::INVAL) => start = state,
                Err(failed) => return Err(into(failed)),
            }
        }
        let table = match self.new_table(who, ioas) {
            Ok(table) => table,
            Err(error) => return Err(Failed { state: start, error }),
        };
        let attached = attach(start, Target::Hwpt(Arc::clone(&table))).map_err(into)?;
        Ok(self.used(who, Some(table), attached))
    }

    /// Attaches to the address space, where the kernel makes the page table, which does not tell dirty pages.
    fn place_on_ioas<S, A>(
        &mut self,
        start: S,
        who: &Who,
        ioas: &Arc<Ioas>,
        attach: impl Fn(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        if self.tracking {
            let error = Error::NoDirtyTracking { devices: vec![who.name()] };
            return Err(Failed { state: start, error });
        }
        let attached = attach(start, Target::Ioas(Arc::clone(ioas))).map_err(into)?;
        Ok(self.used(who, None, attached))
    }

    fn new_table(&self, who: &Who, ioas: &Arc<Ioas>) -> Result<Arc<Hwpt>, Error> {
        let options = HwptOptions { dirty_tracking: true, ..HwptOptions::default() };
        let table = Arc::new(Hwpt::alloc(who, ioas, &options)?);
        self.track(&table)?;
        Ok(table)
    }

    /// Has a table that comes in now tell dirty pages, while all do.
    fn track(&self, table: &Arc<Hwpt>) -> Result<(), Error> {
        let known = self.tables().iter().any(|known| Arc::ptr_eq(known, table));
        if self.tracking && !known {
            table.set_dirty_tracking(true)?;
        }
        Ok(())
    }

    fn used<A>(&mut self, who: &Who, table: Option<Arc<Hwpt>>, attached: A) -> A {
        self.forget(&who.name());
        self.uses.push(Use { device: who.name(), table });
        attached
    }

    /// Lets go of a device's table, unless that has something to tell still.
    fn forget(&mut self, device: &str) {
        let Some(index) = self.uses.iter().position(|used| used.device == device) else { return };
        let gone = self.uses.remove(index).table;
        self.left.extend(gone.filter(|_| self.tracking));
    }

    fn all_tell(&self) -> Result<(), Error> {
        let silent = self.uses.iter().filter(|used| used.table.is_none());
        let devices: Vec<_> = silent.map(|used| used.device.clone()).collect();
        if devices.is_empty() { Ok(()) } else { Err(Error::NoDirtyTracking { devices }) }
    }

    /// Returns each table once.
    fn tables(&self) -> Vec<Arc<Hwpt>> {
        let mut tables: Vec<_> = self.uses.iter().filter_map(|used| used.table.clone()).collect();
        tables.extend(self.left.iter().cloned());
        tables.sort_by_key(|table| table.id());
        tables.dedup_by_key(|table| table.id());
        tables
    }
}

impl Held {
    pub(super) fn replace(&self, attached: &mut Attached, by: Option<Target>) -> Result<(), Error> {
        self.tables.place(attached, &self.who, by, replace).map_err(|failed| failed.error)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tables.lock().forget(&self.who.name());
    }
}

impl Drop for Included {
    fn drop(&mut self) {
        self.tables.lock().forget(&self.name);
    }
}

impl Who {
    fn of(bound: &Bound) -> Self {
        Self { context: Arc::clone(bound.context()), id: bound.id(), device: bound.device().clone() }
    }

    fn name(&self) -> String {
        self.device.name()
    }

    /// Asks whether its IOMMU tells dirty pages. A mediated device has none: its driver writes to memory.
    fn tells_dirty_pages(&self) -> Result<bool, passthru_iommufd::Error> {
        if self.device.is_mdev() {
            return Ok(false);
        }
        Ok(HwInfo::of(self)?.capabilities.contains(HwCapabilities::DIRTY_TRACKING))
    }
}

impl BoundDevice for Who {
    fn context(&self) -> &Arc<Iommufd> {
        &self.context
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn binding(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(self.device.clone())
    }
}

fn replace(attached: &mut Attached, by: Target) -> Result<(), Failed<&mut Attached, device::Error>> {
    attached.replace(by).map_err(|error| Failed { state: attached, error })
}

/// Returns the table that a target is made over in the end: what the kernel fills with mappings.
fn root(target: &Target) -> Option<Arc<Hwpt>> {
    let Target::Hwpt(table) = target else { return None };
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
    Failed { state: failed.state, error: failed.error.into() }
}

fn warn_of(result: Result<(), passthru_iommufd::Error>) {
    if let Err(error) = result {
        tracing::warn!("{error}: {}", error.io().map(io::Error::to_string).unwrap_or_default());
    }
}
