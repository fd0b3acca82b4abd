//! Tests of devices: each call of the kernel once with success, and once with failure.
//!
//! The table lists the tests of each call. `dma_buf` has the events that take a dma-buf's memory
//! away. `failures` has the failures that the kernel injects: `tests/failures.rs` lists its tests.
//!
//! | call | succeeds | fails |
//! |---|---|---|
//! | `VFIO_DEVICE_BIND_IOMMUFD` | `device_is_attached_replaced_and_detached`, `virtual_function_binds_only_with_token` | `second_open_file_binds_after_first_closes`, `unneeded_token_is_refused_at_bind` |
//! | `VFIO_DEVICE_ATTACH_IOMMUFD_PT` | `device_is_attached_replaced_and_detached`, `device_is_attached_to_its_hwpt`, `mediated_device_is_recognized_by_descriptor` | `failed_attach_leaves_device_bound`, `refused_replace_keeps_former_target`, `pasid_attach_is_refused_without_pasid_support` |
//! | `VFIO_DEVICE_DETACH_IOMMUFD_PT` | `device_is_attached_replaced_and_detached`, `dropped_attachment_detaches_open_device` | `failed_detach_can_be_repeated` |
//! | `VFIO_DEVICE_GET_INFO` | `device_lives_until_last_handle_drops` | `failed_device_query_can_be_repeated` |
//! | `VFIO_DEVICE_GET_REGION_INFO` | `regions_are_listed_by_index`, `msix_bar_reports_whether_table_is_mappable` | `unknown_region_is_refused` |
//! | `VFIO_DEVICE_GET_IRQ_INFO` | `intx_is_raised_masked_and_unmasked` | `missing_interrupt_is_refused` |
//! | `VFIO_DEVICE_SET_IRQS` | `intx_is_raised_masked_and_unmasked`, `intx_is_unmasked_by_resample_eventfd`, `msi_is_raised_by_device_and_kernel`, `sparse_vectors_have_own_eventfds`, `error_and_request_interrupts_have_eventfds` | `disabled_intx_cannot_be_masked`, `excess_vectors_are_refused`, `failed_call_for_many_vectors_can_be_repeated` |
//! | `VFIO_DEVICE_RESET` | `reset_clears_registers` | `reset_of_device_without_reset_method_fails` |
//! | `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO` | `bus_resets_when_all_devices_are_owned` | `reset_of_device_without_reset_method_fails` |
//! | `VFIO_DEVICE_PCI_HOT_RESET` | `bus_resets_when_all_devices_are_owned` | `bus_with_unowned_device_is_not_reset`, `bus_of_one_device_resets_without_proof` |
//! | `VFIO_DEVICE_IOEVENTFD` | `ioeventfd_writes_until_cleared` | the same |
//! | `VFIO_DEVICE_FEATURE` (probe) | `feature_probe_changes_nothing` | the same |
//! | `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN` | `virtual_function_binds_only_with_token` | `unneeded_token_is_refused_at_bind` |
//! | `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY` | `low_power_is_entered_and_exited` | the same |
//! | `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP` | `wakeup_signals_eventfd` | the same |
//! | `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT` | `low_power_is_entered_and_exited` | `missing_feature_is_refused_by_name` |
//! | `VFIO_DEVICE_FEATURE_BUS_MASTER` | no device of the virtual host has it | `pci_device_lacks_bus_master_feature` |
//! | `VFIO_DEVICE_FEATURE_MIGRATION` | `stopped_device_migrates_to_another` | `device_without_migration_is_refused` |
//! | `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE` | `stopped_device_migrates_to_another`, `device_passes_all_migration_states` | `invalid_migration_transition_is_refused_with_state`, `truncated_migration_data_is_refused_until_reset` |
//! | `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE` | `stopped_device_migrates_to_another` | `device_without_migration_is_refused` |
//! | `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2` | `precopy_data_is_completed_after_stop` | `device_without_migration_is_refused` |
//! | `VFIO_MIG_GET_PRECOPY_INFO` | `precopy_data_is_completed_after_stop` | the same |
//! | `VFIO_DEVICE_FEATURE_DMA_LOGGING_START` | `dma_log_starts_reports_and_stops` | `invalid_dma_log_is_refused`, `device_without_dma_log_is_refused` |
//! | `VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP` | `dma_log_starts_reports_and_stops` | `device_without_dma_log_is_refused` |
//! | `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT` | `dma_log_starts_reports_and_stops` | `invalid_dma_log_is_refused` |
//! | `VFIO_DEVICE_FEATURE_DMA_BUF` | `device_writes_to_bar_of_another`, `ranges_of_bar_have_separate_dma_bufs` | `partial_page_of_bar_is_not_exported`, `dma_buf_without_memory_decode_cannot_be_mapped` |
//! | `VFIO_DEVICE_FEATURE_ZPCI_ERROR` | the virtual host is not an s390 | `zpci_error_is_refused_off_s390` |
//! | `pread`, `pwrite` | `region_file_reads_and_writes_registers` | `access_without_memory_decode_fails`, `outside_or_misaligned_access_is_refused` |
//! | `mmap` | `mmap_accesses_by_width_and_outlives_handles` | `invalid_mmap_is_refused` |

mod dma_buf;
mod failures;
mod features;
mod iommu;
mod irqs;
mod migration;
mod regions;
mod resets;
mod states;
pub(crate) mod token;

use passthru_vfio::device::Error;
use rustix::io::Errno;

fn errno(error: &Error) -> Option<Errno> {
    Errno::from_io_error(error.io()?)
}

/// Checks that the kernel returned this errno, and that the hint has these words.
#[track_caller]
fn assert_hint(error: &Error, number: Errno, words: &str) {
    assert_eq!(errno(error), Some(number), "{error}");
    assert!(
        error.hint().is_some_and(|hint| hint.contains(words)),
        "{error}: {:?}",
        error.hint()
    );
}
