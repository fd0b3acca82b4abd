//! [`Source`]: where the memory of a piece is mapped already, so that its pins can be shared.

use super::member::Piece;
use super::sharing::{Sharing, memlock_left};
use super::state::{How, Plan, State};
use passthru_iommufd::Ioas;
use std::sync::Arc;

/// Where the same memory is mapped already, on the same iommufd.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) ioas: Arc<Ioas>,
    pub(super) iova: u64,
}

impl State {
    /// Decides for each piece whether its pins are shared, and why.
    pub(super) fn choose_sources(&self, plan: &mut Plan, how: How<'_>) {
        let Some(ioas) = self.members[plan.member]
            .dma
            .ioas()
            .filter(|_| how.sharing != Sharing::Never)
        else {
            return;
        };
        let needed = plan.jobs.iter().map(|job| job.piece.span.length()).sum();
        let mut left = None;
        for job in &mut plan.jobs {
            // The guest's memory first: it has few sections, and a guest may map many pages behind
            // a virtual IOMMU.
            let beyond = how.beyond.and_then(|state| state.source(&job.piece, ioas));
            let Some(source) = beyond.or_else(|| self.source(&job.piece, ioas)) else {
                continue;
            };
            let left = || *left.get_or_insert_with(memlock_left);
            let why = how
                .sharing
                .choose(job.piece.backing.memory.pages(), needed, left);
            job.source = Some((source, why));
        }
    }

    /// Where another container of the same iommufd has the piece's memory, all of it.
    fn source(&self, piece: &Piece, to: &Arc<Ioas>) -> Option<Source> {
        let ioases = self
            .members
            .iter()
            .filter_map(|member| Some((member, member.dma.ioas()?)));
        let others: Vec<_> = ioases
            .filter(|(_, ioas)| !Arc::ptr_eq(ioas, to) && Arc::ptr_eq(ioas.context(), to.context()))
            .collect();
        if others.is_empty() {
            return None;
        }
        let length = piece.span.length();
        let places = self
            .sections
            .iter()
            .filter_map(|(_, entry)| entry.section.find(&piece.backing, length));
        places.into_iter().find_map(|at| {
            let (_, ioas) = others.iter().find(|(member, _)| member.has(at, piece))?;
            Some(Source {
                ioas: Arc::clone(ioas),
                iova: at.start(),
            })
        })
    }
}
