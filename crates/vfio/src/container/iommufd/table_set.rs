//! [`TableSet`]: the users of an address space, and the page tables over it.

use std::io;
use std::sync::{Arc, Weak};

use passthru_iommufd::{HwCapabilities, HwInfo, Hwpt, HwptOptions, HwptParent};
use rustix::io::Errno;

use crate::Failed;
use crate::container::{Discards, Error, Ioas};
use crate::device::{self, Bound, Target};

/// The users of an address space, and the page tables over it.
#[derive(Debug, Default)]
pub(super) struct TableSet {
    /// Registry of those that pin memory. Each table pins for as long as it exists.
    pub(super) discards: Discards,
    pub(super) tracking: bool,
    pub(super) users: Vec<User>,
    /// Tables that track writes. Some may have lost their last device but still hold dirty pages.
    /// After a failed stop, these are the ones that still track.
    pub(super) tracked: Vec<Arc<Hwpt>>,
    /// Tables that the container made. Only these are shared by devices.
    shared: Vec<Weak<Hwpt>>,
    /// Last number handed out; numbers are never reused.
    last_id: u64,
}

/// A user of the mappings, with the page table that tracks its writes, if one does.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: UserId,
    pub(super) table: Option<Arc<Hwpt>>,
}

/// Identity of a device, a PASID of one, or an included page table, anew for each attach.
#[derive(Clone, Debug)]
pub(super) struct UserId {
    number: u64,
    name: String,
}

impl TableSet {
    pub(super) fn new_id(&mut self, name: String) -> UserId {
        self.last_id += 1;
        UserId {
            number: self.last_id,
            name,
        }
    }

    pub(super) fn start_tracking(&mut self) -> Result<(), Error> {
        if self.tracking {
            return Ok(());
        }
        self.check_all_track()?;
        let tables = self.tables();
        for table in &tables {
            if let Err(error) = self.turn_on(table) {
                log_failure(self.stop_tracking());
                return Err(error);
            }
        }

        self.tracked = tables;
        self.tracking = true;
        Ok(())
    }

    /// Stops tracking on as many tables as possible.
    ///
    /// Dirty pages are lost with the first table that stops, since a restart makes its pages clean.
    /// So tracking counts as stopped even if some tables still track.
    pub(super) fn stop_tracking(&mut self) -> Result<(), Error> {
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

    /// Records the pins of a table, and starts tracking on it if all tables track. Returns whether
    /// this call started it.
    pub(super) fn add_table(&mut self, table: &Arc<Hwpt>) -> Result<bool, Error> {
        self.discards
            .pin_while(format!("page table {}", table.id()), table)?;
        let started = self.tracking && !self.tracked.iter().any(|known| Arc::ptr_eq(known, table));
        if started {
            self.turn_on(table)?;
        }
        Ok(started)
    }

    fn turn_on(&mut self, table: &Arc<Hwpt>) -> Result<(), Error> {
        table.set_dirty_tracking(true)?;
        self.tracked.push(Arc::clone(table));
        Ok(())
    }

    /// Attaches to a target that the caller chose. It belongs to the container if it is made over
    /// the container's address space.
    pub(super) fn place_on<S, A>(
        &mut self,
        start: S,
        id: &UserId,
        target: Target,
        ioas: &Arc<Ioas>,
        mut attach: impl FnMut(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        if is_ioas(&target, ioas) {
            return self.place_on_ioas(start, id, ioas, attach);
        }
        let Some(root) = root(&target).filter(|root| is_over(root, ioas)) else {
            let attached = attach(start, target).map_err(into_container_error)?;
            self.forget(id);
            return Ok(attached);
        };
        let started = match self.add_table(&root) {
            Ok(started) => started,
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
                if started {
                    self.tracked.retain(|table| !Arc::ptr_eq(table, &root));
                    log_failure(root.set_dirty_tracking(false).map_err(Error::from));
                }
                Err(into_container_error(failed))
            }
        }
    }

    /// Attaches to the container's first table that the kernel accepts for the device, or to a new
    /// one.
    pub(super) fn place_on_table<S, A>(
        &mut self,
        mut start: S,
        id: &UserId,
        bound: &Bound,
        ioas: &Arc<Ioas>,
        mut attach: impl FnMut(S, Target) -> Result<A, Failed<S, device::Error>>,
    ) -> Result<A, Failed<S, Error>> {
        for table in self
            .shared
            .iter()
            .filter_map(Weak::upgrade)
            .collect::<Vec<_>>()
        {
            match self.place_on(start, id, table.into(), ioas, &mut attach) {
                Err(Failed {
                    state,
                    error: Error::Device(error),
                }) if error.errno() == Some(Errno::INVAL) => start = state,
                result => return result,
            }
        }

        match self.new_table(bound, ioas) {
            Ok(table) => self.place_on(start, id, table.into(), ioas, attach),
            Err(error) => Err(Failed {
                state: start,
                error,
            }),
        }
    }

    /// Attaches to the address space itself. The kernel makes the page table, which does not track
    /// writes.
    pub(super) fn place_on_ioas<S, A>(
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

        let attached =
            attach(start, Target::Ioas(Arc::clone(ioas))).map_err(into_container_error)?;
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

    pub(super) fn forget(&mut self, id: &UserId) {
        self.users.retain(|used| used.id.number != id.number);
    }

    fn check_all_track(&self) -> Result<(), Error> {
        let untracked = self.users.iter().filter(|used| used.table.is_none());
        let devices: Vec<_> = untracked.map(|used| used.id.name.clone()).collect();
        if devices.is_empty() {
            Ok(())
        } else {
            Err(Error::NoDirtyTracking { devices })
        }
    }

    /// Returns each table in use once.
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

/// Returns whether a device's IOMMU tracks dirty pages. A mediated device has no IOMMU: its driver
/// writes to memory.
pub(super) fn tracks_dirty_pages(bound: &Bound) -> Result<bool, passthru_iommufd::Error> {
    Ok(!bound.device().is_mdev()
        && HwInfo::query(bound)?
            .capabilities
            .contains(HwCapabilities::DIRTY_TRACKING))
}

/// Returns whether a target is the address space itself.
pub(super) fn is_ioas(target: &Target, ioas: &Arc<Ioas>) -> bool {
    matches!(target, Target::Ioas(target) if Arc::ptr_eq(target, ioas))
}

/// Returns the table that the kernel fills with mappings, below any nested ones.
pub(super) fn root(target: &Target) -> Option<Arc<Hwpt>> {
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

/// Returns whether a table is filled with the mappings of an address space.
pub(super) fn is_over(table: &Hwpt, ioas: &Arc<Ioas>) -> bool {
    matches!(table.parent(), HwptParent::Ioas(parent) if Arc::ptr_eq(parent, ioas))
}

fn into_container_error<S>(failed: Failed<S, device::Error>) -> Failed<S, Error> {
    Failed {
        state: failed.state,
        error: failed.error.into(),
    }
}

fn log_failure(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::warn!(
            "{error}: {}",
            error.io().map(io::Error::to_string).unwrap_or_default()
        );
    }
}
