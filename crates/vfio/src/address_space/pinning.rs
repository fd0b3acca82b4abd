//! [`choose_pinning`]: the choice between pinning memory and sharing pins.

use std::sync::Arc;

use passthru_iommufd::Ioas;

use super::copy_source::CopySource;
use super::joined_container::MappedRange;
use super::map_job::{MapJob, Pinning};
use super::sharing::{Sharing, memlock_left};
use super::state::SpaceState;

/// Decides for each job whether it shares the pins of another container.
///
/// `ioas` is the I/O address space of the container to map in. `pin_source` is another address
/// space that may have the same memory mapped.
pub(super) fn choose_pinning(
    state: &SpaceState,
    ioas: &Arc<Ioas>,
    jobs: &mut [MapJob],
    sharing: Sharing,
    pin_source: Option<&SpaceState>,
) {
    if sharing == Sharing::Never {
        return;
    }
    let needed = jobs.iter().map(|job| job.mapping.span.length()).sum();
    let mut memlock = None;
    for job in jobs {
        // The guest's memory comes first. It has few sections, while a guest may map many pages
        // behind a virtual IOMMU.
        let source = [pin_source, Some(state)]
            .into_iter()
            .flatten()
            .find_map(|state| find_source(state, &job.mapping, ioas));
        let Some(source) = source else { continue };
        let pages = job.mapping.backing.memory.pages();
        let reason = sharing.choose(pages, needed, || *memlock.get_or_insert_with(memlock_left));
        job.pinning = match reason {
            Some(reason) => Pinning::Share(source, reason),
            None => Pinning::PinOrShare(source),
        };
    }
}

/// Finds a container on the same iommufd that maps the whole memory of `mapping`.
fn find_source(state: &SpaceState, mapping: &MappedRange, to: &Arc<Ioas>) -> Option<CopySource> {
    let others: Vec<_> = state
        .containers
        .iter()
        .filter_map(|container| Some((container, container.dma.ioas()?)))
        .filter(|(_, ioas)| !Arc::ptr_eq(ioas, to) && Arc::ptr_eq(ioas.context(), to.context()))
        .collect();
    if others.is_empty() {
        return None;
    }
    let length = mapping.span.length();
    for (_, entry) in state.sections.iter() {
        let Some(span) = entry.section.span_of(&mapping.backing, length) else {
            continue;
        };
        let found = others
            .iter()
            .find(|(container, _)| container.has_at(span, mapping));
        if let Some((_, ioas)) = found {
            return Some(CopySource {
                ioas: Arc::clone(ioas),
                iova: span.start(),
            });
        }
    }

    None
}
