//! Tests on a real kernel (`cargo xtask lab test`, in `tests/lab`) for each call of the kernel: one
//! where the call succeeds and one where it fails. The tests below check that this table is complete
//! and that each test in it exists. Injected failures are in `tests/failures.rs`.
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
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use passthru_lab::{Table, text_of};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn table() -> Table {
    Table::of(&path("tests/table.rs")).unwrap()
}

#[test]
fn every_call_has_tests_of_success_and_failure() {
    assert_eq!(
        table().faults(&text_of(&path("tests/lab")).unwrap()),
        [""; 0]
    );
}

#[test]
fn every_call_of_the_kernel_is_in_the_table() {
    let source = text_of(&path("src/sys")).unwrap();
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
