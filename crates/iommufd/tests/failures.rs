//! The tests in `tests/lab/failures.rs` that inject kernel failures into each operation. A failed
//! operation returns an error, leaves nothing behind and can be repeated; so does what a drop
//! releases.
//!
//! | operations | tests |
//! |---|---|
//! | `Iommufd::open`, `Iommufd::open_at`, `Iommufd::from_fd`, `Iommufd::duplicate` | `failed_open_of_a_context_can_be_repeated` |
//! | `Iommufd::accounting`, `Iommufd::set_accounting`, `Iommufd::compat_ioas`, `Iommufd::clear_compat_ioas`, `Ioas::set_compat` | `failed_options_of_a_context_can_be_repeated` |
//! | `Iommufd::change_process` | `failed_change_of_process_can_be_repeated` |
//! | `Ioas::alloc`, `Ioas::close` | `failed_alloc_and_close_of_an_ioas_can_be_repeated` |
//! | `Ioas::map`, `Ioas::map_memory`, `DmaMemory::alloc`, `Mapping::unmap` | `failed_map_of_memory_can_be_repeated` |
//! | `Ioas::map_file` | `failed_map_of_a_file_can_be_repeated` |
//! | `Ioas::copy_from`, `Ioas::unmap`, `Ioas::unmap_all` | `failed_copy_and_unmap_can_be_repeated` |
//! | `Ioas::iova_ranges`, `Ioas::allow_iovas`, `Ioas::huge_pages`, `Ioas::set_huge_pages` | `failed_ranges_and_huge_pages_can_be_repeated` |
//! | `Ioas::noiommu_get_pa` | none: the kernel refuses it before it allocates, since no device of the virtual host is without an IOMMU |
//! | `Hwpt::alloc`, `Hwpt::close` | `failed_page_tables_can_be_repeated`, `failed_nesting_can_be_repeated` |
//! | `Hwpt::invalidate` | `failed_nesting_can_be_repeated` |
//! | `Hwpt::set_dirty_tracking`, `Hwpt::dirty_bitmap` | `failed_dirty_tracking_loses_no_page` |
//! | `HwInfo::query`, `HwInfo::query_type` | `failed_query_of_an_iommu_can_be_repeated` |
//! | `FaultQueue::alloc`, `FaultQueue::read`, `FaultQueue::respond`, `FaultQueue::close` | `failed_fault_queue_loses_no_fault` |
//! | `Viommu::alloc`, `ViommuMmio::map`, `Viommu::close` | `failed_viommu_and_its_registers_can_be_repeated` |
//! | `Vdevice::alloc`, `Vdevice::close`, `Viommu::invalidate` | `failed_vdevice_can_be_repeated` |
//! | `VeventQueue::alloc`, `VeventQueue::read`, `VeventQueue::close` | `failed_event_queue_loses_no_event` |
//! | `HwQueue::alloc`, `HwQueue::close` | `failed_hardware_queue_can_be_repeated` |

mod operations;

use std::path::Path;

#[test]
fn every_operation_is_tested_with_failures() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    operations::check(
        include_str!("failures.rs"),
        &[package.join("src")],
        &package.join("tests/lab"),
    );
}
