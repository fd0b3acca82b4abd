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
//! | `VFIO_GET_API_VERSION` | `what_is_asked_for_is_taken` | `a_node_that_is_something_else_is_found_out` |
//! | `VFIO_CHECK_EXTENSION` | `what_is_asked_for_is_taken` | `a_node_that_is_something_else_is_found_out` |
//! | `VFIO_SET_IOMMU` | `a_device_reaches_what_is_mapped_until_it_is_unmapped` | `a_device_that_cannot_be_attached_comes_back` |
//! | `VFIO_GROUP_GET_STATUS` | `several_groups_are_in_one_container` | `a_group_with_a_device_of_the_host_is_not_viable_and_says_which` |
//! | `VFIO_GROUP_SET_CONTAINER` | `several_groups_are_in_one_container` | `a_device_that_cannot_be_attached_comes_back` |
//! | `VFIO_GROUP_GET_DEVICE_FD` | `devices_of_one_group_go_together`, `a_virtual_function_is_opened_with_the_token_of_its_physical_function_alone` | `a_token_that_nobody_asked_for_is_refused` |
//! | `VFIO_IOMMU_GET_INFO` | `several_groups_are_in_one_container`, `iovas_that_devices_cannot_use_are_left_out_and_refused` | `a_map_without_a_device_is_as_it_says` |
//! | `VFIO_IOMMU_MAP_DMA` | `a_device_reaches_what_is_mapped_until_it_is_unmapped`, `a_device_writes_only_where_it_may` | `an_overlap_is_refused_and_changes_nothing`, `memory_that_is_not_there_is_refused`, `the_number_of_mappings_is_limited_as_it_says` |
//! | `VFIO_IOMMU_UNMAP_DMA` | `several_mappings_go_with_the_gaps_between_them`, `everything_goes_at_once`, `dirty_pages_are_told_at_the_unmap` | `a_mapping_goes_as_a_whole`, `what_is_not_mapped_is_not_unmapped` |
//! | `VFIO_DEVICE_PCI_HOT_RESET` with the files of groups | `devices_of_one_group_are_reset_together`, `devices_of_several_groups_are_reset_where_all_of_them_are_here` | the same, `a_physical_function_is_not_reset_with_virtual_ones_on_its_bus` |
//! | `VFIO_IOMMU_DIRTY_PAGES` | `dirty_pages_are_told_or_refused_with_the_devices` | `without_tracking_nothing_is_told` |

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
