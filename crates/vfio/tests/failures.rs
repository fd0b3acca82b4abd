//! Check of the table below, of the tests with failures that the kernel injects (`tests/lab`).
//!
//! Each operation meets each failure. It then succeeds or fails, leaves nothing behind, and can be
//! repeated. The tests also cover what is undone on drop.
//!
//! | operations | tests |
//! |---|---|
//! | `Source::locate`, `Source::open`, `Location::from_sysfs`, `Cdev::open`, `Cdev::from_fd`, `Cdev::bind` | `failed_open_or_bind_can_be_repeated` |
//! | `Bound::attach` | `failed_attach_can_be_repeated` |
//! | `Bound::attach_pasid` | `refused_pasid_leaves_nothing` |
//! | `PasidAttachment::replace`, `PasidAttachment::detach`, `Member::attach_pasid`, `MemberPasid::replace`, `MemberPasid::detach` | none: no device of the virtual host has PASIDs; the calls are those of the two rows below, and the undoing of a failed one is tested beside its source |
//! | `Attached::replace` | `failed_replace_keeps_former_target` |
//! | `Attached::detach` | `failed_detach_can_be_repeated` |
//! | `Device::info`, `Device::region`, `Device::regions`, `Device::irq`, `Device::hot_reset_info`, `Device::supports` | `failed_device_query_can_be_repeated` |
//! | `Region::read`, `Region::read_bytes`, `Region::write`, `Region::write_bytes`, `Region::mmap` | `failed_region_access_can_be_repeated` |
//! | `Irq::set_triggers`, `Irq::disable`, `Irq::raise`, `Irq::raise_some`, `Irq::mask`, `Irq::unmask`, `Irq::set_resample` | `failed_interrupt_call_can_be_repeated`, `failed_call_for_many_vectors_can_be_repeated` |
//! | `Event::new`, `Event::signal`, `Event::take`, `Event::wait` | `failed_eventfd_can_be_used_again` |
//! | `Device::reset`, `Device::hot_reset` | `failed_reset_can_be_repeated` |
//! | `Device::set_vf_token` | `failed_vf_token_can_be_set_again` |
//! | `Region::dma_buf`, `Region::set_ioeventfd`, `Region::clear_ioeventfd`, `Device::enter_low_power`, `Device::enter_low_power_with_wakeup`, `Device::exit_low_power`, `Device::set_bus_master`, `Device::zpci_error` | `failed_feature_can_be_repeated` |
//! | `Device::migration`, `Device::migration_state`, `Device::set_migration_state`, `Device::migration_data_size`, `Device::enable_precopy_reinit`, `MigrationData::precopy` | `failed_migration_call_can_be_repeated`, `failed_migration_data_access_loses_no_byte` |
//! | `Device::start_dma_logging`, `Device::stop_dma_logging`, `Device::read_dma_log` | `failed_migration_call_can_be_repeated` |
//! | `open`, `IommufdContainer::new`, `Type1Container::open`, `Type1Container::open_at` | `failed_container_open_leaves_nothing` |
//! | `Group::open`, `Group::check_viable`, `Type1Container::info` | `failed_group_call_can_be_repeated` |
//! | `Container::attach` | `failed_container_attach_returns_device`, `failed_attach_of_bound_device_leaves_it_bound` |
//! | `Containers::attach` | `failed_placement_returns_device`, `failed_placement_in_own_container_returns_device` |
//! | `Member::detach` | `detached_device_leaves_nothing` |
//! | `Member::replace` | `failed_replace_keeps_device_mappings` |
//! | `Dma::map` | `failed_map_leaves_nothing` |
//! | `Dma::map_file` | `failed_map_file_leaves_nothing` |
//! | `Dma::unmap`, `Dma::unmap_all` | `failed_unmap_can_be_repeated` |
//! | `Dma::iova_ranges`, `Dma::page_sizes` | `failed_iova_query_can_be_repeated` |
//! | `Dma::set_dirty_tracking` | `failed_type1_tracking_can_be_repeated`, `failed_tracking_of_page_tables_can_be_repeated` |
//! | `Container::include` | `failed_tracking_of_page_tables_can_be_repeated` |
//! | `Dma::dirty_pages`, `Dma::unmap_dirty` | `failure_loses_no_dirty_page`, `failure_loses_no_dirty_page_of_page_tables` |
//! | `DmaPool::buffer`, `Buffer::close` | `buffer_failure_can_be_repeated` |
//! | `Transaction::commit`, `Transaction::commit_with` | `failed_commit_on_iommufd_is_undone`, `failed_commit_on_type1_is_undone`, `failed_commit_of_file_memory_on_iommufd_is_undone`, `failed_unmap_succeeds_when_repeated` |
//! | `AddressSpace::join`, `AddressSpace::join_with` | `failed_join_leaves_nothing_mapped` |
//! | `AddressSpace::restore`, `AddressSpace::restore_with` | `failed_restore_can_be_repeated` |
//! | `AddressSpace::leave`, `AddressSpace::withdraw`, `AddressSpace::discard`, `VirtualIommu::unmap` | `failed_unmap_succeeds_when_repeated` |
//! | `AddressSpace::populate`, `AddressSpace::populate_with` | `failed_populate_leaves_granules_unchanged` |
//! | `VirtualIommu::map`, `VirtualIommu::map_with`, `VirtualIommu::replay`, `VirtualIommu::replay_with` | `failed_viommu_map_is_undone` |
//! | `AddressSpace::set_dirty_tracking` | `failed_dirty_tracking_can_be_repeated` |
//! | `AddressSpace::dirty_pages`, `AddressSpace::take_dirty` | `failed_take_dirty_loses_no_dirty_page`, `failed_unmap_loses_no_dirty_page` |
//! | `Memory::anonymous`, `Memory::memfd` | `failed_memory_allocation_leaves_nothing` |
//! | `AddressSpace::mappings`, `Section::new`, `Section::ram`, `Span::new`, `Container::hot_reset_proof`, `Containers::hot_reset_proof`, `Discards::begin`, `IovaAllocator::allocate`, `IovaAllocator::allocate_aligned`, `IovaAllocator::reserve`, `IovaAllocator::free`, `Mmap::read`, `Mmap::write`, `KvmVfio::add`, `KvmVfio::remove` | none: they make no system call, or the caller implements them |

#[path = "../../iommufd/tests/operations/mod.rs"]
mod operations;

use std::path::Path;

#[test]
fn failure_table_lists_every_operation() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = [
        "src/device",
        "src/container",
        "src/dma",
        "src/address_space",
    ]
    .map(|folder| package.join(folder));
    operations::check(
        include_str!("failures.rs"),
        &sources,
        &package.join("tests/lab"),
    );
}
