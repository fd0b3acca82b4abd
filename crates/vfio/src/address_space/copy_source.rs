//! [`CopySource`]: an existing mapping whose pins another container can share.

use std::sync::Arc;

use passthru_iommufd::Ioas;

/// A mapping of the same memory in another container on the same iommufd.
#[derive(Clone, Debug)]
pub(super) struct CopySource {
    pub(super) ioas: Arc<Ioas>,
    pub(super) iova: u64,
}
