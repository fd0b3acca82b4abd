//! Which test has each operation meet the failures that the kernel injects (`tests/lab`): it says
//! so or carries on, leaves nothing behind, and can be repeated. What goes back on drop is in these
//! too.
//!
//! | operations | tests |
//! |---|---|
//! | `Source::locate`, `Source::open`, `Location::at`, `Cdev::open`, `Cdev::from_fd`, `Cdev::bind` | `opening_and_binding_can_fail_and_be_repeated` |
//! | `Bound::attach` | `attaching_can_fail_and_be_repeated` |
//! | `Bound::attach_pasid` | `a_refused_pasid_leaves_nothing_whatever_fails` |
//! | `PasidAttachment::replace`, `PasidAttachment::detach`, `Member::attach_pasid`, `MemberPasid::replace`, `MemberPasid::detach` | none: no device of the virtual host has PASIDs; the calls are those of the two rows below, and what is put right after one that fails is tested without the kernel, beside it |
//! | `Attached::replace` | `a_replacement_can_fail_and_leaves_the_former_target` |
//! | `Attached::detach` | `detaching_can_fail_and_be_repeated` |
//! | `Device::info`, `Device::region`, `Device::regions`, `Device::irq`, `Device::hot_reset_info`, `Device::supports` | `asking_can_fail_and_be_repeated` |
//! | `Region::read`, `Region::read_bytes`, `Region::write`, `Region::write_bytes`, `Region::mmap` | `access_to_regions_can_fail_and_be_repeated` |
//! | `Irq::set_triggers`, `Irq::disable`, `Irq::raise`, `Irq::raise_some`, `Irq::mask`, `Irq::unmask`, `Irq::set_resample` | `interrupts_can_fail_and_be_set_again`, `many_vectors_can_fail_and_be_set_again` |
//! | `Event::new`, `Event::signal`, `Event::take`, `Event::wait` | `eventfds_can_fail_and_be_used_again` |
//! | `Device::reset`, `Device::hot_reset` | `resets_can_fail_and_be_repeated` |
//! | `Device::set_vf_token` | `a_token_can_fail_and_be_set_again` |
//! | `Region::dma_buf`, `Region::set_ioeventfd`, `Region::clear_ioeventfd`, `Device::enter_low_power`, `Device::enter_low_power_with_wakeup`, `Device::exit_low_power`, `Device::set_bus_master`, `Device::zpci_error` | `features_can_fail_and_be_repeated` |
//! | `Device::migration`, `Device::migration_state`, `Device::set_migration_state`, `Device::migration_data_size`, `Device::enable_precopy_reinit`, `MigrationData::precopy` | `migration_can_fail_and_be_repeated`, `a_state_can_fail_to_be_read_and_written_and_loses_no_byte` |
//! | `Device::start_dma_logging`, `Device::stop_dma_logging`, `Device::dma_logged` | `migration_can_fail_and_be_repeated` |
//! | `open`, `IommufdContainer::new`, `Type1Container::open`, `Type1Container::open_at` | `a_container_that_cannot_be_opened_leaves_nothing` |
//! | `Group::open`, `Group::check_viable`, `Type1Container::info` | `a_group_and_its_container_can_fail_and_be_asked_again` |
//! | `Container::attach` | `a_device_that_cannot_be_attached_comes_back`, `a_bound_device_that_cannot_be_attached_stays_bound` |
//! | `Containers::attach` | `a_device_that_cannot_be_placed_comes_back`, `a_device_that_cannot_be_placed_in_a_container_of_its_own_comes_back` |
//! | `Member::detach` | `a_device_that_leaves_leaves_nothing` |
//! | `Member::replace` | `a_device_that_cannot_go_to_another_target_reaches_what_it_did` |
//! | `Dma::map` | `a_mapping_that_cannot_be_made_leaves_nothing` |
//! | `Dma::map_file` | `a_file_that_cannot_be_mapped_leaves_nothing` |
//! | `Dma::unmap`, `Dma::unmap_all` | `what_cannot_be_unmapped_can_be_unmapped_again` |
//! | `Dma::iova_ranges`, `Dma::page_sizes` | `what_cannot_be_asked_for_can_be_asked_again` |
//! | `Dma::set_dirty_tracking` | `tracking_by_type1_that_cannot_begin_or_end_can_begin_or_end_again`, `tracking_of_many_page_tables_can_fail_and_be_repeated` |
//! | `Container::include` | `tracking_of_many_page_tables_can_fail_and_be_repeated` |
//! | `Dma::dirty_pages`, `Dma::unmap_dirty` | `no_dirty_page_is_lost_with_a_failure`, `no_dirty_page_of_many_page_tables_is_lost_with_a_failure` |
//! | `DmaPool::buffer`, `Buffer::close` | `a_buffer_can_fail_and_be_made_again` |
//! | `Transaction::commit`, `Transaction::commit_with` | `a_change_is_taken_back_wherever_iommufd_fails`, `a_change_is_taken_back_wherever_type1_fails`, `a_change_of_memory_that_is_mapped_by_its_file_is_taken_back_wherever_iommufd_fails`, `what_is_unmapped_is_so_in_the_end_wherever_it_fails` |
//! | `AddressSpace::join`, `AddressSpace::join_with` | `a_container_joins_with_everything_or_not_at_all_wherever_it_fails` |
//! | `AddressSpace::restore`, `AddressSpace::restore_with` | `what_was_withdrawn_comes_back_wherever_either_backend_fails` |
//! | `AddressSpace::leave`, `AddressSpace::withdraw`, `AddressSpace::discard`, `VirtualIommu::unmap` | `what_is_unmapped_is_so_in_the_end_wherever_it_fails` |
//! | `AddressSpace::populate`, `AddressSpace::populate_with` | `granules_are_as_before_wherever_either_backend_fails` |
//! | `VirtualIommu::map`, `VirtualIommu::map_with`, `VirtualIommu::replay`, `VirtualIommu::replay_with` | `a_mapping_behind_a_virtual_iommu_is_as_before_wherever_it_fails` |
//! | `AddressSpace::set_dirty_tracking` | `tracking_begins_and_ends_whatever_fails` |
//! | `AddressSpace::dirty_pages`, `AddressSpace::take_dirty` | `no_dirty_page_is_lost_whatever_fails_while_they_are_taken`, `no_dirty_page_is_lost_whatever_fails_in_an_unmap` |
//! | `Memory::anonymous`, `Memory::memfd` | `memory_that_cannot_be_made_leaves_nothing` |
//! | `AddressSpace::mappings`, `Section::new`, `Section::ram`, `Span::new`, `Container::hot_reset_proof`, `Containers::hot_reset_proof`, `Discards::begin`, `IovaAllocator::allocate`, `IovaAllocator::allocate_aligned`, `IovaAllocator::reserve`, `IovaAllocator::free`, `Mmap::read`, `Mmap::write`, `KvmVfio::add`, `KvmVfio::remove` | none: they ask the kernel nothing, or are the caller's |

#[path = "../../iommufd/tests/operations/mod.rs"]
mod operations;

use std::path::Path;

#[test]
fn each_operation_meets_failures() {
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
