//! Which test has each operation meet the failures that the kernel injects
//! (`tests/lab/failures.rs`): it says so or carries on, leaves nothing behind, and can be repeated.
//! What goes back on drop is in these too.
//!
//! | operations | tests |
//! |---|---|
//! | `Iommufd::open`, `Iommufd::open_at`, `Iommufd::from_fd`, `Iommufd::duplicate` | `opening_a_context_can_fail_and_be_repeated` |
//! | `Iommufd::accounting`, `Iommufd::set_accounting`, `Iommufd::compat_ioas`, `Iommufd::clear_compat_ioas`, `Ioas::set_compat` | `the_options_of_a_context_can_fail_and_be_repeated` |
//! | `Iommufd::change_process` | `a_change_of_process_can_fail_and_be_repeated` |
//! | `Ioas::alloc`, `Ioas::close` | `allocating_and_destroying_an_address_space_can_fail_and_be_repeated` |
//! | `Ioas::map`, `Ioas::map_memory`, `DmaMemory::alloc`, `Mapping::unmap` | `mapping_memory_can_fail_and_be_repeated` |
//! | `Ioas::map_file` | `mapping_a_file_can_fail_and_be_repeated` |
//! | `Ioas::copy_from`, `Ioas::unmap`, `Ioas::unmap_all` | `copying_and_unmapping_can_fail_and_be_repeated` |
//! | `Ioas::iova_ranges`, `Ioas::allow_iovas`, `Ioas::huge_pages`, `Ioas::set_huge_pages` | `ranges_and_huge_pages_can_fail_and_be_repeated` |
//! | `Ioas::noiommu_get_pa` | none: the kernel refuses it before it allocates, since no device of the virtual host is without an IOMMU |
//! | `Hwpt::alloc`, `Hwpt::close` | `page_tables_can_fail_and_be_repeated`, `nesting_can_fail_and_be_repeated` |
//! | `Hwpt::invalidate` | `nesting_can_fail_and_be_repeated` |
//! | `Hwpt::set_dirty_tracking`, `Hwpt::dirty_bitmap` | `dirty_tracking_can_fail_and_loses_no_page` |
//! | `HwInfo::query`, `HwInfo::query_type` | `asking_what_an_iommu_is_can_fail_and_be_repeated` |
//! | `FaultQueue::alloc`, `FaultQueue::read`, `FaultQueue::respond`, `FaultQueue::close` | `fault_queues_can_fail_and_lose_no_fault` |
//! | `Viommu::alloc`, `Viommu::mmap`, `Viommu::close` | `virtual_iommus_and_their_registers_can_fail_and_be_repeated` |
//! | `Vdevice::alloc`, `Vdevice::close`, `Viommu::invalidate` | `devices_behind_a_virtual_iommu_can_fail_and_be_repeated` |
//! | `VeventQueue::alloc`, `VeventQueue::read`, `VeventQueue::close` | `event_queues_can_fail_and_lose_no_event` |
//! | `HwQueue::alloc`, `HwQueue::close` | `hardware_queues_can_fail_and_be_repeated` |

mod operations;

use std::path::Path;

#[test]
fn each_operation_meets_failures() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    operations::check(
        include_str!("failures.rs"),
        &[package.join("src")],
        &package.join("tests/lab"),
    );
}
