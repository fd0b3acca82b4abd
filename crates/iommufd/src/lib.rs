//! Linux `/dev/iommu`, safe and whole (as of 7.3). It knows no VFIO device and no hypervisor.
//!
//! | object | what it is |
//! |---|---|
//! | [`Iommufd`] | the context that all else belongs to: an open `/dev/iommu` |
//! | [`Ioas`] | an I/O address space: what memory devices reach at which IOVA |
//! | [`DmaMemory`], [`Mapping`] | memory of its own for DMA, and its place in an I/O address space |
//! | [`BoundDevice`] | a device that its user (VFIO) has bound to the context |
//! | [`HwInfo`] | what the IOMMU behind a device is and can do |
//! | [`Hwpt`] | a page table of an IOMMU: with an I/O address space's mappings, or a guest's own over a nest parent; which pages were written to |
//! | [`FaultQueue`] | page faults of devices, and their answers |
//! | [`Viommu`] | a virtual machine's slice of an IOMMU, with its devices ([`Vdevice`]), events ([`VeventQueue`]), hardware queues ([`HwQueue`]) and registers ([`ViommuMmio`]) |
//!
//! Each object keeps those that it needs in the kernel, and is destroyed on drop: in which order
//! they are dropped does not matter. `close` destroys it too, and gives the error.
//!
//! # What shows that it works
//!
//! Tests on a real kernel (`cargo xtask lab test`, in `tests/lab`), for each call one where it
//! succeeds and one where it fails. Besides, each operation meets each failure that the kernel can
//! inject into it (`tests/lab/failures.rs`; which test has which operation is in
//! `tests/failures.rs`): nothing is left behind, and it can be repeated.
//!
//! | call | succeeds | fails |
//! |---|---|---|
//! | `IOMMU_DESTROY` | `close_destroys_once` | `an_address_space_in_use_is_not_destroyed` |
//! | `IOMMU_FAULT_QUEUE_ALLOC` | `a_fault_arrives_and_is_answered_once` | `a_fault_queue_needs_a_descriptor` |
//! | `IOMMU_GET_HW_INFO` | `an_iommu_of_an_unknown_kind_is_data_with_capabilities` | `a_kind_of_data_can_be_asked_for_that_the_iommu_has` |
//! | `IOMMU_HW_QUEUE_ALLOC` | `hardware_queues_pin_their_memory_and_go_last_to_first`, `memory_is_nobody_elses_when_it_is_given_up_before_the_hardware_queue_in_it` | `a_hardware_queue_that_cannot_be_is_refused` |
//! | `IOMMU_HWPT_ALLOC` | `a_page_table_has_the_mappings_of_its_address_space`, `a_guests_page_table_is_made_over_a_nest_parent_and_keeps_it`, `a_page_table_for_pasids_is_attached_to_one_and_replaced` | `what_the_iommu_cannot_do_is_refused`, `a_page_table_that_is_no_nest_parent_is_none` |
//! | `IOMMU_HWPT_GET_DIRTY_BITMAP` | `pages_are_dirty_once_written_to_until_they_are_cleared`, `no_bit_is_set_past_the_end_where_a_huge_page_is_cut` | `a_page_table_without_dirty_tracking_says_so` |
//! | `IOMMU_HWPT_INVALIDATE` | `entries_are_forgotten_in_one_call`, `entries_of_a_device_are_forgotten_by_the_guests_name_for_it` | `how_many_invalidations_were_handled_before_one_failed_is_told` |
//! | `IOMMU_HWPT_SET_DIRTY_TRACKING` | `tracking_begins_with_clean_pages` | `a_page_table_without_dirty_tracking_says_so` |
//! | `IOMMU_IOAS_ALLOC` | `a_dropped_address_space_gives_its_id_back` | `allocating_and_destroying_an_address_space_can_fail_and_be_repeated` |
//! | `IOMMU_IOAS_ALLOW_IOVAS` | `chosen_iovas_stay_in_what_is_allowed` | `what_the_device_cannot_use_is_not_allowed` |
//! | `IOMMU_IOAS_CHANGE_PROCESS` | `only_files_pass_to_another_process` | the same |
//! | `IOMMU_IOAS_COPY` | `a_copy_reaches_the_same_memory_and_outlives_its_source`, `a_copy_is_not_charged_again` | `what_is_not_mapped_is_not_copied` |
//! | `IOMMU_IOAS_IOVA_RANGES` | `more_ranges_than_fit_at_first_are_all_returned` | `what_somebody_else_destroyed_is_named_and_dropped_without_a_panic` |
//! | `IOMMU_IOAS_MAP` | `memory_is_at_the_iova_that_was_asked_for` | `an_overlap_is_refused_and_changes_nothing`, `memory_beyond_the_limit_is_refused_with_a_hint` |
//! | `IOMMU_IOAS_MAP_FILE` | `a_memfd_is_mapped_by_its_descriptor`, `a_dma_buf_is_mapped_by_its_descriptor` | `a_file_that_cannot_be_mapped_is_refused_with_its_range`, `a_dma_buf_whose_memory_was_taken_away_is_mapped_again_once_it_is_back` |
//! | `IOMMU_IOAS_NOIOMMU_GET_PA` | no device of the virtual host is without an IOMMU | `a_physical_address_is_refused_for_a_device_behind_an_iommu` |
//! | `IOMMU_IOAS_UNMAP` | `unmap_takes_all_mappings_in_the_range_and_says_how_much_that_was` | `a_part_of_a_mapping_is_not_unmapped` |
//! | `IOMMU_OPTION` (`RLIMIT_MODE`) | `the_accounting_is_set_only_while_the_context_is_empty` | the same |
//! | `IOMMU_OPTION` (`HUGE_PAGES`) | `huge_pages_can_be_forbidden_until_memory_is_mapped_for_a_device` | the same |
//! | `IOMMU_VDEVICE_ALLOC` | `a_device_behind_a_virtual_iommu_keeps_both` | `a_device_is_behind_one_virtual_iommu_at_a_time` |
//! | `IOMMU_VEVENTQ_ALLOC` | `events_of_a_device_arrive_under_the_guests_name_for_it`, `events_that_found_the_queue_full_are_counted` | `a_virtual_iommu_has_one_queue_for_a_kind_of_events` |
//! | `IOMMU_VFIO_IOAS` | `the_container_interface_gets_the_address_space_that_was_set` | `what_somebody_else_destroyed_is_named_and_dropped_without_a_panic` |
//! | `IOMMU_VIOMMU_ALLOC` | `a_virtual_iommu_keeps_its_nest_parent` | `a_virtual_iommu_that_the_physical_one_cannot_be_is_refused` |
//! | mmap of a virtual IOMMU | `registers_are_mapped_as_the_kernel_says_and_keep_the_virtual_iommu` | `registers_that_are_not_there_are_not_mapped` |
//! | read and write of a fault queue | `many_faults_are_answered_together` | `how_many_answers_were_taken_before_one_failed_is_told` |

mod bytes;
mod context;
mod device;
mod dirty;
mod error;
mod fault;
mod hint;
mod hw_info;
mod hw_queue;
mod hwpt;
mod hwpt_data;
mod invalidation;
mod ioas;
mod mapping;
mod memory;
mod mmio;
mod object;
mod sys;
mod vdevice;
mod vevent;
mod viommu;

pub use context::{Accounting, Iommufd, PATH};
pub use device::BoundDevice;
pub use error::Error;
pub use fault::{FaultAccess, FaultQueue, PageFault, PageResponse, PageResponseCode};
pub use hw_info::{HwCapabilities, HwInfo, HwInfoData, SmmuV3Flags};
pub use hw_queue::{HwQueue, HwQueueKind};
pub use hwpt::{Hwpt, HwptOptions, HwptParent};
pub use hwpt_data::HwptData;
pub use invalidation::{Invalidations, VtdS1Invalidation};
pub use ioas::{Access, Ioas, Iova, IovaRanges, PhysicalRange};
pub use mapping::Mapping;
pub use memory::DmaMemory;
pub use mmio::{MmapArea, ViommuMmio};
pub use vdevice::Vdevice;
pub use vevent::{Vevent, VeventData, VeventKind, VeventQueue};
pub use viommu::{Viommu, ViommuData, ViommuKind};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_can_be_used_by_all_threads() {
        fn is<T: Send + Sync>() {}
        is::<(
            Iommufd,
            Ioas,
            DmaMemory,
            Mapping,
            Hwpt,
            HwptOptions,
            FaultQueue,
        )>();
        is::<(Viommu, ViommuMmio, Vdevice, VeventQueue, HwQueue, Error)>();
    }
}
