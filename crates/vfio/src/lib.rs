//! Linux VFIO devices with a safe interface, for VMMs and for drivers in user space. The crate
//! knows no hypervisor and no XML.
//!
//! | module | contents |
//! |---|---|
//! | [`device`] | a device: its states, regions, interrupts, resets, features, migration |
//! | [`container`] | DMA mappings and the devices that reach them, by `iommufd` or `type1` |
//! | [`address_space`] | a guest's memory, mapped in containers and changed by transactions |
//! | [`dma`] | IOVAs and buffers of a driver in user space |
//!
//! A handle keeps the kernel objects that it depends on open. A step that fails returns the former
//! state ([`Failed`]).
//!
//! # Coming from `vfio-ioctls` and `iommufd-ioctls`
//!
//! - `VfioContainer::new`, `VfioIommufd::new`: [`container::open`], or
//!   [`Type1Container`](container::Type1Container) and
//!   [`IommufdContainer`](container::IommufdContainer).
//! - `VfioOps` and its downcasts: [`Container`](container::Container) and [`Dma`](container::Dma);
//!   [`Capabilities`](container::Capabilities) lists what a backend lacks.
//! - `vfio_dma_map`, `vfio_dma_unmap`: [`Dma::map`](container::Dma::map),
//!   [`Dma::map_file`](container::Dma::map_file) and [`Dma::unmap`](container::Dma::unmap).
//! - `vfio_map_guest_memory`: [`AddressSpace`](address_space::AddressSpace), which several
//!   containers can join.
//! - `VfioContainerDeviceHandle`, `VfioDeviceFd`: [`KvmVfio`](container::KvmVfio), which the VMM
//!   implements.
//! - `VfioDevice::new`, `new_from_fd`: [`Container::attach`](container::Container::attach) with a
//!   [`Source`](device::Source), then [`Member::device`](container::Member::device).
//! - `attach_hwpt`, `detach_hwpt`, `attach_iommufd_pt_pasid`:
//!   [`Member::replace`](container::Member::replace), [`Member::detach`](container::Member::detach)
//!   and [`Member::attach_pasid`](container::Member::attach_pasid).
//! - `iommufd_dev_id`: [`Member::bound`](container::Member::bound), a `BoundDevice` for `Hwpt`,
//!   `Viommu`, `Vdevice` and `HwInfo`.
//! - `get_region_size`, `region_read`, `region_write`: [`Device::region`](device::Device::region)
//!   and [`Region`](device::Region), whose accesses return errors.
//! - `enable_irq`, `enable_msix`: [`Device::irq`](device::Device::irq) and
//!   [`Irq::set_triggers`](device::Irq::set_triggers).
//! - `trigger_irq`, `unmask_irq`, `set_irq_resample_fd`: [`Irq::raise`](device::Irq::raise),
//!   [`Irq::unmask`](device::Irq::unmask) and [`Irq::set_resample`](device::Irq::set_resample).
//! - `export_dma_buf`: [`Region::dma_buf`](device::Region::dma_buf).
//! - `set_migration_state`, `read_migration_data`:
//!   [`Device::set_migration_state`](device::Device::set_migration_state) and
//!   [`MigrationData`](device::MigrationData), which implements `Read` and `Write`.
//! - `IommuFd`, `IommufdIoas`, `IommufdVIommu`, `IommufdVDevice`, `IommufdVEventQ`: `Iommufd`,
//!   `Ioas`, `Viommu`, `Vdevice` and `VeventQueue` of [`passthru_iommufd`].
//! - `attach_bypass`, `attach_abort`: a [`Hwpt`](passthru_iommufd::Hwpt) with
//!   [`HwptData::SMMUV3_BYPASS`](passthru_iommufd::HwptData::SMMUV3_BYPASS) or
//!   [`HwptData::SMMUV3_ABORT`](passthru_iommufd::HwptData::SMMUV3_ABORT).

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

/// Compiles the examples of README.md.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
