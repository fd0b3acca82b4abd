//! Tests of each kernel call on a real kernel (`cargo xtask lab test`, in `tests/lab`): one where
//! the call succeeds and one where it fails.
//!
//! The tests in this file check that the table is complete and that the tests in it exist. Injected
//! failures are in `tests/failures.rs`.
//!
//! | call | succeeds | fails |
//! |---|---|---|
//! | `IOMMU_DESTROY` | `close_destroys_once` | `ioas_in_use_is_not_destroyed` |
//! | `IOMMU_FAULT_QUEUE_ALLOC` | `fault_arrives_and_is_answered_once` | `fault_queue_without_free_descriptor_is_refused` |
//! | `IOMMU_GET_HW_INFO` | `unknown_iommu_has_data_and_capabilities` | `query_of_a_type_returns_that_type_or_fails` |
//! | `IOMMU_HW_QUEUE_ALLOC` | `hardware_queues_pin_memory_and_end_last_to_first`, `memory_of_a_hardware_queue_is_not_freed_before_it` | `impossible_hardware_queue_is_refused` |
//! | `IOMMU_HWPT_ALLOC` | `page_table_has_the_mappings_of_its_ioas`, `guest_page_table_keeps_its_nest_parent`, `page_table_for_pasids_is_attached_and_replaced` | `option_that_the_iommu_lacks_is_refused`, `guest_page_table_without_nest_parent_is_refused` |
//! | `IOMMU_HWPT_GET_DIRTY_BITMAP` | `written_pages_are_dirty_until_cleared`, `no_bit_is_set_past_the_end_of_a_cut_huge_page` | `page_table_without_dirty_tracking_refuses_it` |
//! | `IOMMU_HWPT_INVALIDATE` | `cached_entries_are_invalidated_in_one_call`, `device_entries_are_invalidated_by_the_guests_id` | `failed_invalidation_reports_the_number_handled_before` |
//! | `IOMMU_HWPT_SET_DIRTY_TRACKING` | `tracking_starts_with_clean_pages` | `page_table_without_dirty_tracking_refuses_it` |
//! | `IOMMU_IOAS_ALLOC` | `dropped_ioas_frees_its_id` | `failed_alloc_and_close_of_an_ioas_can_be_repeated` |
//! | `IOMMU_IOAS_ALLOW_IOVAS` | `chosen_iovas_are_in_the_allowed_ranges` | `range_that_a_device_cannot_use_is_not_allowed` |
//! | `IOMMU_IOAS_CHANGE_PROCESS` | `only_mappings_of_files_pass_to_another_process` | the same |
//! | `IOMMU_IOAS_COPY` | `copy_reaches_the_memory_and_outlives_its_source`, `copied_memory_is_charged_once` | `unmapped_range_is_not_copied` |
//! | `IOMMU_IOAS_IOVA_RANGES` | `ranges_that_exceed_the_first_buffer_are_all_returned` | `destroyed_ioas_is_named_and_dropped_without_panic` |
//! | `IOMMU_IOAS_MAP` | `memory_is_mapped_at_the_requested_iova` | `overlapping_mapping_is_refused_and_changes_nothing`, `memory_beyond_the_limit_is_refused_with_a_hint` |
//! | `IOMMU_IOAS_MAP_FILE` | `memfd_is_mapped_by_its_descriptor`, `dma_buf_is_mapped_by_its_descriptor` | `file_that_cannot_be_mapped_is_refused_with_its_range`, `revoked_dma_buf_is_refused_until_it_is_restored` |
//! | `IOMMU_IOAS_NOIOMMU_GET_PA` | no device of the virtual host is without an IOMMU | `physical_address_behind_an_iommu_is_refused` |
//! | `IOMMU_IOAS_UNMAP` | `unmap_removes_all_in_the_range_and_returns_their_size` | `part_of_a_mapping_is_not_unmapped` |
//! | `IOMMU_OPTION` (`RLIMIT_MODE`) | `accounting_is_set_only_while_the_context_is_empty` | the same |
//! | `IOMMU_OPTION` (`HUGE_PAGES`) | `huge_pages_are_forbidden_only_before_a_mapping` | the same |
//! | `IOMMU_VDEVICE_ALLOC` | `vdevice_keeps_its_device_and_viommu` | `device_is_behind_one_viommu_at_a_time` |
//! | `IOMMU_VEVENTQ_ALLOC` | `device_events_carry_the_guests_id`, `events_lost_to_a_full_queue_are_counted` | `viommu_has_one_event_queue_for_a_type` |
//! | `IOMMU_VFIO_IOAS` | `container_interface_gets_the_ioas_that_was_set` | `destroyed_ioas_is_named_and_dropped_without_panic` |
//! | `IOMMU_VIOMMU_ALLOC` | `viommu_keeps_its_nest_parent` | `viommu_of_unfit_model_or_parent_is_refused` |
//! | mmap of a virtual IOMMU | `mapped_registers_keep_the_viommu` | `registers_outside_the_area_are_not_mapped` |
//! | read and write of a fault queue | `many_faults_are_answered_together` | `failed_answer_reports_the_number_taken_before` |
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use passthru_lab::{Table, read_folder};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn table() -> Table {
    Table::read(&path("tests/table.rs")).unwrap()
}

#[test]
fn every_call_has_tests_of_success_and_failure() {
    assert_eq!(
        table().faults(&read_folder(&path("tests/lab")).unwrap()),
        [""; 0]
    );
}

#[test]
fn every_call_of_the_kernel_is_in_the_table() {
    let source = read_folder(&path("src/sys")).unwrap();
    let after_each_call = source.split("number(IOMMUFD_CMD_").skip(1);
    let called: BTreeSet<_> = after_each_call
        .filter_map(|text| text.split(')').next())
        .collect();
    // Linux 7.3: from IOMMUFD_CMD_DESTROY (0x80) to IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA (0x95).
    assert_eq!(called.len(), 0x95 - 0x80 + 1, "{called:?}");

    let table = table();
    for name in called {
        assert!(table.has(&format!("`IOMMU_{name}`")), "{name}");
    }
}
