//! Linux VFIO devices, safe: for VMMs and for drivers in user space. It knows no hypervisor and no
//! XML.
//!
//! | | |
//! |---|---|
//! | [`device`] | a device: opened, bound, attached; regions, interrupts, resets, features, migration |
//! | [`container`] | mappings and the devices that reach them, the same for `iommufd` and `type1` |
//! | [`address_space`] | a guest's memory in containers, kept up to date by transactions |
//! | [`dma`] | IOVAs and buffers for a driver's own DMA |
//!
//! A handle keeps what it belongs to in the kernel, and goes before it; a step that fails gives the
//! former state back ([`Failed`]).
//!
//! # Coming from `vfio-ioctls` and `iommufd-ioctls`
//!
//! | there | here |
//! |---|---|
//! | `VfioContainer::new`, `VfioIommufd::new` | [`container::open`], which says what it chose and why; [`Type1Container`](container::Type1Container), [`IommufdContainer`](container::IommufdContainer) |
//! | `VfioOps` and its downcasts | [`Container`](container::Container), [`Dma`](container::Dma); what a backend cannot do is in its [`Capabilities`](container::Capabilities) |
//! | `vfio_dma_map`, `vfio_dma_unmap` | [`Dma::map`](container::Dma::map), [`Dma::map_file`](container::Dma::map_file), [`Dma::unmap`](container::Dma::unmap) |
//! | `vfio_map_guest_memory` | [`AddressSpace`](address_space::AddressSpace), which several containers can join |
//! | `VfioContainerDeviceHandle`, `VfioDeviceFd` | [`KvmVfio`](container::KvmVfio), which the VMM implements |
//! | `VfioDevice::new`, `new_from_fd` | [`Container::attach`](container::Container::attach) of a [`Source`](device::Source); then [`Member::device`](container::Member::device) |
//! | `attach_hwpt`, `detach_hwpt`, `attach_iommufd_pt_pasid` | [`Member::replace`](container::Member::replace), [`Member::detach`](container::Member::detach), [`Member::attach_pasid`](container::Member::attach_pasid) |
//! | `iommufd_dev_id` | [`Member::bound`](container::Member::bound), a `BoundDevice` for `Hwpt`, `Viommu`, `Vdevice` and `HwInfo` |
//! | `get_region_size` and the like, `region_read`, `region_write` | [`Device::region`](device::Device::region), [`Region`](device::Region): what fails says so |
//! | `enable_irq`, `enable_msix`, `trigger_irq`, `unmask_irq`, `set_irq_resample_fd` | [`Device::irq`](device::Device::irq), [`Irq::set_triggers`](device::Irq::set_triggers), [`Irq::raise`](device::Irq::raise), [`Irq::unmask`](device::Irq::unmask), [`Irq::set_resample`](device::Irq::set_resample) |
//! | `export_dma_buf` | [`Region::dma_buf`](device::Region::dma_buf) |
//! | `set_migration_state`, `read_migration_data` | [`Device::set_migration_state`](device::Device::set_migration_state), [`MigrationData`](device::MigrationData) as `Read` and `Write` |
//! | `IommuFd`, `IommufdIoas`, `IommufdVIommu`, `IommufdVDevice`, `IommufdVEventQ` | `Iommufd`, `Ioas`, `Viommu`, `Vdevice`, `VeventQueue` of [`passthru_iommufd`] |
//! | `attach_bypass`, `attach_abort` | a [`Hwpt`](passthru_iommufd::Hwpt) of [`HwptData::SMMUV3_BYPASS`](passthru_iommufd::HwptData::SMMUV3_BYPASS) or [`HwptData::SMMUV3_ABORT`](passthru_iommufd::HwptData::SMMUV3_ABORT) |

pub mod address_space;
mod barrier;
mod capability;
pub mod container;
pub mod device;
pub mod dma;
mod failed;
mod sys;

pub use capability::BadCapability;
pub use failed::Failed;

/// Compiles what README.md shows of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
