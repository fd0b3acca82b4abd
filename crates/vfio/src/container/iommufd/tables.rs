//! [`Tables`]: the page tables of an iommufd container, their devices, and their dirty tracking.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use passthru_iommufd::Hwpt;

use super::table_set::{TableSet, User, UserId, is_ioas, is_over, root, tracks_dirty_pages};
use crate::Failed;
use crate::container::{Discards, Error, Ioas};
use crate::device::{self, Attached, Bound, PasidAttachment, Target};

/// The page tables over an address space, and the devices that are attached to it.
#[derive(Debug)]
pub(super) struct Tables {
    ioas: Arc<Ioas>,
    state: Mutex<TableSet>,
}

/// Registration of a device, or a PASID of one, as a user of the mappings, until it is dropped.
#[derive(Debug)]
pub(super) struct UserGuard {
    tables: Arc<Tables>,
    bound: Bound,
    id: UserId,
}

/// Inclusion of a page table in the dirty tracking of its container, until it is dropped.
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

    /// Attaches a device to the mappings, or to the given target.
    pub(super) fn attach(
        self: &Arc<Self>,
        bound: Bound,
        to: Option<Target>,
    ) -> Result<(Attached, UserGuard), Failed<Bound, Error>> {
        let guard = self.guard(&bound, bound.device().name());
        let attached = guard.place(bound, to, Bound::attach)?;
        Ok((attached, guard))
    }

    /// Attaches a PASID of a device.
    pub(super) fn attach_pasid(
        self: &Arc<Self>,
        bound: &Bound,
        pasid: u32,
        to: Target,
    ) -> Result<(PasidAttachment, UserGuard), Error> {
        let guard = self.guard(bound, format!("{} (PASID {pasid})", bound.device().name()));
        let placed = self
            .lock()
            .place_on((), &guard.id, to, &self.ioas, |(), to| {
                bound.attach_pasid(pasid, to).map_err(without_state)
            });
        let attached = placed.map_err(|failed| failed.error)?;
        Ok((attached, guard))
    }

    fn guard(self: &Arc<Self>, bound: &Bound, name: String) -> UserGuard {
        UserGuard {
            tables: Arc::clone(self),
            bound: bound.duplicate(),
            id: self.lock().new_id(name),
        }
    }

    /// Includes a page table in the dirty tracking.
    pub(super) fn include(self: &Arc<Self>, table: &Arc<Hwpt>) -> Result<IncludedTable, Error> {
        let mut state = self.lock();
        let table = root(&Target::Hwpt(Arc::clone(table))).filter(|root| is_over(root, &self.ioas));
        let table = table.ok_or(Error::OtherTable)?;
        state.add_table(&table)?;
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

    /// Starts tracking on all tables or on none; or stops it.
    pub(super) fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        let mut state = self.lock();
        if on {
            state.start_tracking()
        } else {
            state.stop_tracking()
        }
    }

    /// Returns all tables that track writes.
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

impl UserGuard {
    pub(super) fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    pub(super) fn replace(&self, attached: &mut Attached, by: Option<Target>) -> Result<(), Error> {
        self.place((), by, |(), by| attached.replace(by).map_err(without_state))
            .map_err(|failed| failed.error)
    }

    pub(super) fn replace_pasid(
        &self,
        attached: &mut PasidAttachment,
        by: Target,
    ) -> Result<(), Error> {
        let mut state = self.tables.lock();
        let ioas = &self.tables.ioas;
        state
            .place_on((), &self.id, by, ioas, |(), by| {
                attached.replace(by).map_err(without_state)
            })
            .map_err(|failed| failed.error)
    }

    /// Attaches with `attach`, and records the target. Without a target, the container's own tables
    /// come first.
    fn place<S, A>(
        &self,
        start: S,
        to: Option<Target>,
        attach: impl FnMut(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        let ioas = &self.tables.ioas;
        let mut state = self.tables.lock();
        if let Some(target) = to.filter(|to| !is_ioas(to, ioas)) {
            return state.place_on(start, &self.id, target, ioas, attach);
        }
        match tracks_dirty_pages(&self.bound) {
            Ok(true) => state.place_on_table(start, &self.id, &self.bound, ioas, attach),
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

fn without_state(error: device::Error) -> Failed<(), device::Error> {
    Failed { state: (), error }
}
