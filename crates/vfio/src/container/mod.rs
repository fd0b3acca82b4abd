//! The base container: DMA mappings and the devices that reach them, the same for both backends.
//! Whoever maps memory sees [`Dma`] alone; whoever has devices, [`Container`].
//!
//! | | `iommufd` | `type1` |
//! |---|---|---|
//! | stands on | an address space of `/dev/iommu` ([`Ioas`]) | `/dev/vfio/vfio` |
//! | a device is | a character device, bound and attached | a member of an IOMMU group, `/dev/vfio/GROUP` |
//! | mappings | stay without devices | go with the last device |
//! | dirty pages | from page tables of the IOMMU | every mapped page counts as written to |
//! | cannot | | map files, attach to page tables and PASIDs, take a passed device, copy mappings |
//!
//! ```no_run
//! use passthru_vfio::container::{self, Access, Attach, Container, Dma};
//! use passthru_vfio::device::Source;
//!
//! let device = Source::Pci("0000:00:10.0".parse()?);
//! let choice = container::open(&container::Options::default(), &[device.locate()?])?;
//! println!("{choice}");
//! let member = choice.container.attach(device.into(), Attach::default())?;
//! println!("{:?}, {:?}", member.device().info()?, choice.container.iova_ranges()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What shows that it works
//!
//! Tests on the virtual host, `tests/lab/conformance` on both backends and `tests/lab/container` on
//! one; for the calls of type1, which no other module makes:
//!
//! | call | succeeds | fails |
//! |---|---|---|
//! | `VFIO_GET_API_VERSION` | `requested_backend_is_opened` | `a_node_that_is_something_else_is_found_out` |
//! | `VFIO_CHECK_EXTENSION` | `requested_backend_is_opened` | `a_node_that_is_something_else_is_found_out` |
//! | `VFIO_SET_IOMMU` | `device_reaches_mapping_until_unmapped` | `failed_container_attach_returns_device` |
//! | `VFIO_GROUP_GET_STATUS` | `container_holds_several_groups` | `group_with_host_device_is_not_viable_and_names_it` |
//! | `VFIO_GROUP_SET_CONTAINER` | `container_holds_several_groups` | `failed_container_attach_returns_device` |
//! | `VFIO_GROUP_GET_DEVICE_FD` | `devices_of_one_group_share_container`, `virtual_function_opens_only_with_token` | `unneeded_token_is_refused` |
//! | `VFIO_IOMMU_GET_INFO` | `container_holds_several_groups`, `reserved_iovas_are_left_out_and_refused` | `map_without_device_follows_capability` |
//! | `VFIO_IOMMU_MAP_DMA` | `device_reaches_mapping_until_unmapped`, `device_cannot_write_to_read_only_mapping` | `overlapping_map_is_refused_and_changes_nothing`, `map_of_unmapped_memory_is_refused`, `mapping_count_is_limited_as_reported` |
//! | `VFIO_IOMMU_UNMAP_DMA` | `unmap_spans_gaps_between_mappings`, `unmap_all_unmaps_everything`, `unmap_dirty_returns_dirty_pages` | `partial_unmap_is_refused`, `unmap_of_nothing_returns_not_found` |
//! | `VFIO_DEVICE_PCI_HOT_RESET` with the files of groups | `devices_of_one_group_reset_together`, `devices_of_several_groups_reset_when_all_are_owned` | the same, `physical_function_is_not_reset_beside_its_vfs` |
//! | `VFIO_IOMMU_DIRTY_PAGES` | `dirty_tracking_works_or_names_devices` | `dirty_pages_without_tracking_are_refused` |

mod attach;
mod bitmap;
mod blocker;
mod capabilities;
mod choice;
#[expect(
    clippy::module_inception,
    reason = "the folder is about containers, the file is the trait of that name"
)]
mod container;
mod containers;
mod discards;
mod dma;
mod error;
mod hint;
mod hot_reset;
mod iommufd;
mod kvm;
mod member;
mod reason;
mod type1;
mod unmap;

pub use attach::{Attach, Candidate};
pub(crate) use bitmap::{add_bits, check_bitmap, runs};
pub use blocker::Blocker;
pub use capabilities::{Backend, BarMapping, Capabilities};
pub use choice::{Choice, Options, Policy, open};
pub use container::Container;
pub use containers::{Containers, Placed};
pub use discards::{Discarding, Discards};
pub use dma::Dma;
pub use error::Error;
pub use hot_reset::HotResetProof;
pub use iommufd::{Included, IommufdContainer, MemberPasid};
pub use kvm::KvmVfio;
pub use member::Member;
pub use passthru_iommufd::{Access, Ioas, IovaRanges};
pub use reason::Why;
pub use type1::{Dirty, Group, Info, Type1Container};
pub(crate) use unmap::{may_be_done, until_gone};
