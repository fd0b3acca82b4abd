//! VFIO devices, in the states that they go through: a [`Source`] says which one; an open [`Cdev`]
//! does nothing yet; a [`Bound`] one belongs to an iommufd and can be asked and reset, but reaches
//! no memory; an [`Attached`] one reaches the memory that its [`Target`] maps. [`Device`] is what
//! can be done with it in the last two.
//!
//! ```no_run
//! use passthru_iommufd::{Ioas, Iommufd};
//! use passthru_vfio::device::{Bound, Source};
//! use std::sync::Arc;
//!
//! let iommufd = Arc::new(Iommufd::open()?);
//! let ioas = Arc::new(Ioas::alloc(&iommufd)?);
//! let bound = Source::Pci("0000:00:10.0".parse()?).open()?.bind(&iommufd, None)?;
//! println!("{:?}", bound.device().info()?);
//! let attached = bound.attach(ioas)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What shows that it works
//!
//! Tests on a real kernel (`cargo xtask lab test`, in `tests/lab/device`), for each call one where
//! it succeeds and one where it fails. What a dma-buf loses, and when, is in `dma_buf.rs` there;
//! failures that the kernel injects, in `failures.rs` (which operation meets them where is in
//! `tests/failures.rs`).
//!
//! | call | succeeds | fails |
//! |---|---|---|
//! | `VFIO_DEVICE_BIND_IOMMUFD` | `a_device_is_attached_replaced_and_detached`, `a_virtual_function_is_bound_with_the_token_of_its_physical_function_alone` | `a_second_open_file_is_not_bound_and_can_be_when_the_first_is_gone`, `a_token_where_none_is_needed_is_refused` |
//! | `VFIO_DEVICE_ATTACH_IOMMUFD_PT` | `a_device_is_attached_replaced_and_detached`, `a_device_is_attached_to_a_page_table_made_for_it`, `a_mediated_device_that_is_passed_by_descriptor_is_known_as_one` | `what_cannot_be_attached_leaves_the_device_bound`, `a_replacement_that_fails_leaves_the_former_target`, `a_pasid_is_refused_where_nothing_has_one` |
//! | `VFIO_DEVICE_DETACH_IOMMUFD_PT` | `a_device_is_attached_replaced_and_detached`, `a_dropped_attachment_is_detached_though_the_device_is_open` | `detaching_can_fail_and_be_repeated` |
//! | `VFIO_DEVICE_GET_INFO` | `a_device_lasts_as_long_as_its_handles` | `asking_can_fail_and_be_repeated` |
//! | `VFIO_DEVICE_GET_REGION_INFO` | `regions_are_known_by_their_index`, `a_bar_with_the_msix_table_says_whether_that_can_be_mapped` | `a_region_that_the_device_does_not_know_is_an_error` |
//! | `VFIO_DEVICE_GET_IRQ_INFO` | `a_line_is_raised_masked_and_unmasked` | `interrupts_that_a_device_does_not_have_are_an_error` |
//! | `VFIO_DEVICE_SET_IRQS` | `a_line_is_raised_masked_and_unmasked`, `a_line_is_unmasked_by_a_resample_eventfd`, `a_message_is_raised_by_the_device_and_by_the_kernel`, `vectors_are_sparse_and_each_has_its_eventfd`, `errors_and_requests_of_the_host_have_an_eventfd` | `a_line_that_is_not_enabled_is_neither_masked_nor_disabled`, `more_vectors_than_there_are_cannot_be_had`, `many_vectors_can_fail_and_be_set_again` |
//! | `VFIO_DEVICE_RESET` | `a_reset_clears_registers` | `a_device_that_cannot_be_reset_says_so` |
//! | `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO` | `a_bus_with_several_devices_is_reset_where_they_are_all_here` | `a_device_that_cannot_be_reset_says_so` |
//! | `VFIO_DEVICE_PCI_HOT_RESET` | `a_bus_with_several_devices_is_reset_where_they_are_all_here` | `a_bus_with_a_device_of_nobody_is_not_reset`, `a_bus_with_one_device_needs_no_proof` |
//! | `VFIO_DEVICE_IOEVENTFD` | `the_kernel_writes_for_a_signal_until_that_is_taken_away` | the same |
//! | `VFIO_DEVICE_FEATURE` (probe) | `what_a_device_supports_is_asked_and_not_tried` | the same |
//! | `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN` | `a_virtual_function_is_bound_with_the_token_of_its_physical_function_alone` | `a_token_where_none_is_needed_is_refused` |
//! | `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY` | `a_device_may_sleep_until_it_may_not_any_more` | the same |
//! | `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP` | `what_wakes_a_device_is_told_through_an_eventfd` | the same |
//! | `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT` | `a_device_may_sleep_until_it_may_not_any_more` | `a_feature_that_a_device_lacks_is_refused_with_its_name` |
//! | `VFIO_DEVICE_FEATURE_BUS_MASTER` | no device of the virtual host has it | `bus_mastering_of_pci_devices_is_no_feature` |
//! | `VFIO_DEVICE_FEATURE_MIGRATION` | `a_stopped_device_is_read_and_another_goes_on_in_its_place` | `a_device_that_cannot_be_migrated_says_so` |
//! | `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE` | `a_stopped_device_is_read_and_another_goes_on_in_its_place`, `all_states_are_passed_and_the_device_runs_on` | `a_way_that_is_not_there_is_refused_with_the_state_it_is_in`, `a_state_that_is_cut_short_is_refused_and_a_reset_brings_the_device_back` |
//! | `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE` | `a_stopped_device_is_read_and_another_goes_on_in_its_place` | `a_device_that_cannot_be_migrated_says_so` |
//! | `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2` | `a_running_device_is_read_in_part_and_the_rest_when_it_is_stopped` | `a_device_that_cannot_be_migrated_says_so` |
//! | `VFIO_MIG_GET_PRECOPY_INFO` | `a_running_device_is_read_in_part_and_the_rest_when_it_is_stopped` | the same |
//! | `VFIO_DEVICE_FEATURE_DMA_LOGGING_START` | `a_dma_log_is_begun_read_and_ended` | `a_dma_log_is_refused_where_it_makes_no_sense`, `a_device_without_a_dma_log_says_so` |
//! | `VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP` | `a_dma_log_is_begun_read_and_ended` | `a_device_without_a_dma_log_says_so` |
//! | `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT` | `a_dma_log_is_begun_read_and_ended` | `a_dma_log_is_refused_where_it_makes_no_sense` |
//! | `VFIO_DEVICE_FEATURE_DMA_BUF` | `a_device_writes_to_the_bar_of_another`, `each_range_has_a_dma_buf_of_its_own` | `what_is_no_whole_page_of_a_bar_is_not_exported`, `memory_that_is_not_decoded_cannot_be_mapped` |
//! | `VFIO_DEVICE_FEATURE_ZPCI_ERROR` | the virtual host is not an s390 | `errors_of_s390_are_not_a_feature_of_other_machines` |
//! | `pread`, `pwrite` | `a_register_is_read_and_written_through_the_file` | `memory_that_is_not_decoded_gives_an_error_and_not_ones`, `what_is_outside_or_misaligned_is_never_asked_for` |
//! | `mmap` | `a_mapping_reads_and_writes_by_width_and_outlives_every_handle` | `what_cannot_be_mapped_is_refused` |

mod attached;
mod bound;
mod cdev;
#[expect(
    clippy::module_inception,
    reason = "the folder is about devices, the file is the one type of that name"
)]
mod device;
mod dma_buf;
mod dma_logging;
mod error;
mod event;
mod feature;
mod info;
mod ioeventfd;
mod irq;
mod migration;
mod mmap;
mod region;
mod reset;
mod source;
mod word;

pub use attached::{Attached, PasidAttachment, Target};
pub use bound::Bound;
pub use cdev::Cdev;
pub use device::Device;
pub use error::{Access, Error};
pub(crate) use error::{MANY_FILES, NO_IOMMU};
pub use event::Event;
pub use feature::{Feature, ZpciError};
pub use info::{AtomicOps, Bus, Info};
pub use irq::Irq;
pub use migration::{Migration, MigrationData, MigrationState, Precopy};
pub use mmap::Mmap;
pub use region::{Region, RegionType};
pub use reset::{Affected, HotReset, Owner};
pub use source::{Kind, Location, Source};
pub use word::Word;
