//! Tests of what only one backend does, and of the choice between backends.
//!
//! The table lists the tests of each call that only the `type1` backend makes. The tests stand
//! here, in `conformance`, which runs on both backends, and beside the code of the container.
//!
//! | call | succeeds | fails |
//! |---|---|---|
//! | `VFIO_GET_API_VERSION` | `requested_backend_is_opened` | `node_of_another_driver_is_not_a_container` |
//! | `VFIO_CHECK_EXTENSION` | `requested_backend_is_opened` | `node_of_another_driver_is_not_a_container` |
//! | `VFIO_SET_IOMMU` | `device_reaches_mapping_until_unmapped` | `failed_container_attach_returns_device` |
//! | `VFIO_GROUP_GET_STATUS` | `container_holds_several_groups` | `group_with_host_device_is_not_viable_and_names_it` |
//! | `VFIO_GROUP_SET_CONTAINER` | `container_holds_several_groups` | `failed_container_attach_returns_device` |
//! | `VFIO_GROUP_GET_DEVICE_FD` | `devices_of_one_group_share_container`, `virtual_function_opens_only_with_token` | `unneeded_token_is_refused` |
//! | `VFIO_IOMMU_GET_INFO` | `container_holds_several_groups`, `reserved_iovas_are_left_out_and_refused` | `map_without_device_follows_capability` |
//! | `VFIO_IOMMU_MAP_DMA` | `device_reaches_mapping_until_unmapped`, `device_cannot_write_to_read_only_mapping` | `overlapping_map_is_refused_and_changes_nothing`, `map_of_unmapped_memory_is_refused`, `mapping_count_is_limited_as_reported` |
//! | `VFIO_IOMMU_UNMAP_DMA` | `unmap_spans_gaps_between_mappings`, `unmap_all_unmaps_everything`, `unmap_dirty_returns_dirty_pages` | `partial_unmap_is_refused`, `unmap_of_nothing_returns_not_found` |
//! | `VFIO_DEVICE_PCI_HOT_RESET` with the files of groups | `devices_of_one_group_reset_together`, `devices_of_several_groups_reset_when_all_are_owned` | `devices_of_one_group_reset_together`, `devices_of_several_groups_reset_when_all_are_owned`, `physical_function_is_not_reset_beside_its_vfs` |
//! | `VFIO_IOMMU_DIRTY_PAGES` | `dirty_tracking_works_or_names_devices` | `dirty_pages_without_tracking_are_refused` |

mod choice;
mod containers;
mod groups;
mod iommufd;
pub(crate) mod mock;
