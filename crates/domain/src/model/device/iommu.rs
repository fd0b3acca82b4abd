//! `<iommu>`: a virtual IOMMU.

use super::{Address, Info};
use crate::model::descriptor::Descriptor;
use crate::model::iommufd::DEFAULT_IOMMUFD;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The model of a virtual IOMMU.
    pub enum IommuModel {
        /// Intel VT-d.
        Intel = "intel",
        /// AMD-Vi.
        Amd = "amd",
        /// virtio-iommu.
        Virtio = "virtio",
        /// Arm SMMUv3.
        Smmuv3 = "smmuv3",
        /// Other spelling of an accelerated SMMUv3 on an expander bus; parsed as `smmuv3`.
        Smmuv3Dev = "smmuv3Dev",
    }
}

/// `<iommu>`: a virtual IOMMU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Iommu {
    /// Alias and address of the device.
    pub info: Info,
    /// Model; never `smmuv3Dev` after parsing.
    pub model: Option<IommuModel>,
    /// Features of the IOMMU.
    pub driver: Option<IommuDriver>,
    /// `<iommufd>`: the iommufd object of the devices behind the IOMMU.
    pub iommufd: Option<IommuIommufd>,
}

/// `<driver>` of an IOMMU. The models that have a feature stand in parentheses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IommuDriver {
    /// Interrupt remapping (intel, amd).
    pub intremap: Option<bool>,
    /// Caching mode, which device assignment needs (intel).
    pub caching_mode: Option<bool>,
    /// Extended interrupt mode (intel).
    pub eim: Option<bool>,
    /// Device IOTLB (intel, amd).
    pub iotlb: Option<bool>,
    /// Width of addresses in bits (intel, virtio).
    pub aw_bits: Option<u32>,
    /// DMA translation (intel).
    pub dma_translation: Option<bool>,
    /// Scalable mode, which first-stage translation needs (intel).
    pub scalable_mode: Option<bool>,
    /// First-stage translation by the guest's own page tables (intel).
    pub fsts: Option<bool>,
    /// Shared virtual memory: page tables shared by devices and processes (intel).
    pub svm: Option<bool>,
    /// Bits of process address space ids, 0 to 20 (intel).
    pub pasid_bits: Option<u8>,
    /// Untranslated DMA by choice of the guest (amd).
    pub passthrough: Option<bool>,
    /// Extended interrupt mode (amd).
    pub xtsup: Option<bool>,
    /// Index of the root bus or expander bus that the IOMMU serves (smmuv3).
    pub pci_bus: Option<u32>,
    /// Translation by the host's SMMU (smmuv3).
    pub accel: Option<bool>,
    /// Address translation services (smmuv3).
    pub ats: Option<AutoOnOff>,
    /// Range invalidation (smmuv3).
    pub ril: Option<AutoOnOff>,
    /// Bits of substream ids, 0 to 20, or `auto` (smmuv3).
    pub ssidsize: Option<AutoNumber>,
    /// Bits of output addresses, or `auto` (smmuv3).
    pub oas: Option<AutoNumber>,
    /// Command queues that the guest drives in the host's SMMU, Tegra241 CMDQV (smmuv3).
    pub cmdqv: Option<AutoOnOff>,
    /// Size of the translated pages (virtio).
    pub granule: Option<Granule>,
}

/// `<granule>`: the size of the translated pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Granule {
    /// Size, in `unit`.
    pub size: Option<u32>,
    /// Unit of the size.
    pub unit: Option<GranuleUnit>,
    /// Origin of the size: the host.
    pub mode: Option<GranuleMode>,
}

words! {
    /// Units of a granule.
    pub enum GranuleUnit {
        /// 1024 bytes.
        KiB = "KiB",
    }
}

words! {
    /// The origin of a granule.
    pub enum GranuleMode {
        /// The host.
        Host = "host",
    }
}

words! {
    /// On, off, or the host's setting.
    pub enum AutoOnOff {
        /// The host's setting.
        Auto = "auto",
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }
}

/// A number of bits, or the host's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoNumber {
    /// The host's number.
    Auto,
    /// Number of bits.
    Bits(u8),
}

impl crate::xml::value::Value for AutoNumber {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => u8::read(text)
                .map(Self::Bits)
                .map_err(|_| "expected a number of bits, or 'auto'".into()),
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Auto => "auto".into(),
            Self::Bits(bits) => bits.to_string(),
        }
    }
}

/// `<iommufd>` of an IOMMU: the iommufd object of the devices behind the IOMMU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IommuIommufd {
    /// Name of the object. If it is absent, `iommufd0`.
    pub id: Option<String>,
    /// Open `/dev/iommu` of the caller.
    pub fd: Option<Descriptor>,
}

impl Element for Iommu {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.child("driver", &mut self.driver);
        v.child("iommufd", &mut self.iommufd);
        self.info.visit(v);
        if self.model.is_none() {
            v.error("<iommu> needs the attribute 'model'".into());
        }
        if v.reading() {
            self.spell_as_upstream(v);
        }
    }
}

impl Iommu {
    /// Returns the index of the root bus or expander bus, if the IOMMU serves only that one.
    pub fn pci_bus(&self) -> Option<u32> {
        self.driver.as_ref().and_then(|d| d.pci_bus)
    }

    /// Returns whether the host's SMMU does the translation (`accel='on'`).
    pub fn is_accelerated(&self) -> bool {
        self.driver.as_ref().and_then(|d| d.accel) == Some(true)
    }

    /// Returns whether the host's IOMMU uses the guest's page tables, which only iommufd supports.
    pub fn needs_iommufd(&self) -> bool {
        self.is_accelerated() || self.driver.as_ref().and_then(|d| d.fsts) == Some(true)
    }

    /// Returns the name of the iommufd object, if the IOMMU has an `<iommufd>`.
    pub fn iommufd_id(&self) -> Option<&str> {
        self.iommufd
            .as_ref()
            .map(|i| i.id.as_deref().unwrap_or(DEFAULT_IOMMUFD))
    }

    /// Rewrites other spellings as libvirt's. `smmuv3Dev` becomes `smmuv3` with the bus of its
    /// address and `accel='on'`. An `<iommufd>` equal to the default is removed.
    fn spell_as_upstream(&mut self, v: &mut dyn Visitor) {
        if self.model == Some(IommuModel::Smmuv3Dev) {
            self.model = Some(IommuModel::Smmuv3);
            let driver = self.driver.get_or_insert_default();
            driver.accel.get_or_insert(true);
            let address = self.info.address.take();
            let address = address.as_ref().and_then(Address::pci);
            let bus = address.map(|address| u32::from(address.bus));
            match (driver.pci_bus, bus) {
                (None, None) => {
                    v.error("an smmuv3Dev needs a PCI <address> on the bus of its expander".into());
                }
                (Some(given), Some(bus)) if given != bus => {
                    v.error(format!(
                        "pciBus='{given}' contradicts the address on bus {bus}"
                    ));
                }
                (given, bus) => driver.pci_bus = given.or(bus),
            }
        }

        if self.iommufd.as_ref().is_some_and(IommuIommufd::is_default) {
            self.iommufd = None;
        }
    }
}

impl Element for IommuDriver {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.on_off("intremap", &mut self.intremap);
        v.on_off("caching_mode", &mut self.caching_mode);
        v.on_off("eim", &mut self.eim);
        v.on_off("iotlb", &mut self.iotlb);
        v.attr("aw_bits", &mut self.aw_bits);
        v.on_off("dma_translation", &mut self.dma_translation);
        v.on_off("scalable_mode", &mut self.scalable_mode);
        v.on_off("fsts", &mut self.fsts);
        v.on_off("svm", &mut self.svm);
        v.attr("pasid-bits", &mut self.pasid_bits);
        v.on_off("passthrough", &mut self.passthrough);
        v.on_off("xtsup", &mut self.xtsup);
        v.attr("pciBus", &mut self.pci_bus);
        v.on_off("accel", &mut self.accel);
        v.attr("ats", &mut self.ats);
        v.attr("ril", &mut self.ril);
        v.attr("ssidsize", &mut self.ssidsize);
        v.attr("oas", &mut self.oas);
        v.attr("cmdqv", &mut self.cmdqv);
        v.child("granule", &mut self.granule);
    }
}

impl Element for Granule {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("mode", &mut self.mode);
        v.attr("size", &mut self.size);
        v.attr("unit", &mut self.unit);
        match (self.mode, self.size) {
            (Some(_), None) | (None, Some(4 | 8 | 16 | 64)) => {}
            _ => v.error("<granule> needs a size of 4, 8, 16 or 64 KiB, or mode='host'".into()),
        }
    }
}

impl IommuIommufd {
    /// Returns whether the element only selects the default object, without `fd`.
    fn is_default(&self) -> bool {
        self.fd.is_none() && self.id.as_deref().is_none_or(|id| id == DEFAULT_IOMMUFD)
    }
}

impl Element for IommuIommufd {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.leaf("id", &mut self.id);
        v.leaf("fd", &mut self.fd);
    }
}
