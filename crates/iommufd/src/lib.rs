//! Linux `/dev/iommu`, safe: the context that devices and address spaces belong to, its I/O address
//! spaces, and the page tables of IOMMUs. It knows no VFIO device and no hypervisor.
//!
//! # What shows that it works
//!
//! Tests on a real kernel (`cargo xtask lab test`, in `tests/lab`), for each call one where it succeeds and
//! one where it fails:
//!
//! | call | succeeds | fails |
//! |---|---|---|
//! | `IOMMU_DESTROY` | `close_destroys_once` | `an_address_space_in_use_is_not_destroyed` |
//! | `IOMMU_HWPT_ALLOC` | `a_page_table_has_the_mappings_of_its_address_space` | `what_the_iommu_cannot_do_is_refused` |
//! | `IOMMU_HWPT_GET_DIRTY_BITMAP` | `pages_are_dirty_once_written_to_until_they_are_cleared`, `no_bit_is_set_past_the_end_where_a_huge_page_is_cut` | `a_page_table_without_dirty_tracking_says_so` |
//! | `IOMMU_HWPT_SET_DIRTY_TRACKING` | `tracking_begins_with_clean_pages` | `a_page_table_without_dirty_tracking_says_so` |
//! | `IOMMU_IOAS_ALLOC` | `a_dropped_address_space_gives_its_id_back` | `an_allocation_that_fails_in_the_kernel_leaves_nothing_behind` |
//! | `IOMMU_IOAS_ALLOW_IOVAS` | `chosen_iovas_stay_in_what_is_allowed` | `what_the_device_cannot_use_is_not_allowed` |
//! | `IOMMU_IOAS_COPY` | `a_copy_reaches_the_same_memory_and_outlives_its_source`, `a_copy_is_not_charged_again` | `what_is_not_mapped_is_not_copied` |
//! | `IOMMU_IOAS_IOVA_RANGES` | `more_ranges_than_fit_at_first_are_all_returned` | `what_somebody_else_destroyed_is_named_and_dropped_without_a_panic` |
//! | `IOMMU_IOAS_MAP` | `memory_is_at_the_iova_that_was_asked_for` | `an_overlap_is_refused_and_changes_nothing`, `memory_beyond_the_limit_is_refused_with_a_hint` |
//! | `IOMMU_IOAS_MAP_FILE` | `a_memfd_is_mapped_by_its_descriptor`, `a_dma_buf_is_mapped_by_its_descriptor` | `a_file_that_cannot_be_mapped_is_refused_with_its_range` |
//! | `IOMMU_IOAS_UNMAP` | `unmap_takes_all_mappings_in_the_range_and_says_how_much_that_was` | `a_part_of_a_mapping_is_not_unmapped` |
//! | `IOMMU_IOAS_CHANGE_PROCESS` | `only_files_pass_to_another_process` | the same |
//! | `IOMMU_OPTION` (`RLIMIT_MODE`) | `the_accounting_is_set_only_while_the_context_is_empty` | the same |
//! | `IOMMU_OPTION` (`HUGE_PAGES`) | `huge_pages_can_be_forbidden_until_memory_is_mapped_for_a_device` | the same |
//! | `IOMMU_VFIO_IOAS` | `the_container_interface_gets_the_address_space_that_was_set` | `what_somebody_else_destroyed_is_named_and_dropped_without_a_panic` |

mod context;
mod device;
mod error;
mod hwpt;
mod ioas;
mod memory;
mod object;
mod sys;

pub use context::{Accounting, Iommufd, PATH};
pub use device::BoundDevice;
pub use error::Error;
pub use hwpt::{Hwpt, HwptData, HwptOptions, HwptParent};
pub use ioas::{Access, Ioas, Iova, IovaRanges};
pub use memory::{DmaMemory, Mapping};
