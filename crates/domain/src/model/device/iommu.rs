//! `<iommu>`: a virtual IOMMU.

use super::{Address, Info};
use crate::model::iommufd::DEFAULT_IOMMUFD;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Model of a virtual IOMMU.
    pub enum IommuModel {
        /// Intel VT-d.
        Intel = "intel",
        /// AMD's.
        Amd = "amd",
        /// virtio-iommu.
        Virtio = "virtio",
        /// Arm SMMUv3.
        Smmuv3 = "smmuv3",
        /// The seeds' spelling of an accelerated SMMUv3 behind an expander bus.
        Smmuv3Dev = "smmuv3Dev",
    }
}

/// A virtual IOMMU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Iommu {
    /// Alias and address.
    pub info: Info,
    /// Model. After parsing never the seeds' `smmuv3Dev`.
    pub model: Option<IommuModel>,
    /// What it can do.
    pub driver: Option<IommuDriver>,
    /// `<iommufd>`: the object that it works with, in the seeds' spelling.
    pub iommufd: Option<IommuIommufd>,
}

/// `<driver>` of an IOMMU.
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
    /// Scalable mode, which the first stage needs (intel).
    pub scalable_mode: Option<bool>,
    /// First-stage translation, the guest's own page tables (intel).
    pub fsts: Option<bool>,
    /// Whether devices can share page tables with processes (intel).
    pub svm: Option<bool>,
    /// Bits of process address space ids, 0 to 20 (intel).
    pub pasid_bits: Option<u8>,
    /// Whether devices may pass untranslated (amd).
    pub passthrough: Option<bool>,
    /// Extended interrupt mode (amd).
    pub xtsup: Option<bool>,
    /// Index of the root bus or expander that it serves (smmuv3).
    pub pci_bus: Option<u32>,
    /// Whether the host's SMMU does the translation (smmuv3).
    pub accel: Option<bool>,
    /// Address translation services (smmuv3).
    pub ats: Option<AutoOnOff>,
    /// Range invalidation (smmuv3).
    pub ril: Option<AutoOnOff>,
    /// Bits of substream ids, 0 to 20, or `auto` (smmuv3).
    pub ssidsize: Option<AutoNumber>,
    /// Bits of output addresses (smmuv3).
    pub oas: Option<AutoNumber>,
    /// Command queues of its own for the guest (smmuv3).
    pub cmdqv: Option<AutoOnOff>,
    /// Size of the pages that it works with (virtio).
    pub granule: Option<Granule>,
}

/// `<granule>`: a size, or what the host has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Granule {
    /// Size, in `unit`.
    pub size: Option<u32>,
    /// Unit of the size.
    pub unit: Option<GranuleUnit>,
    /// Says that it is the host's.
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
    /// Where a granule comes from.
    pub enum GranuleMode {
        /// The host.
        Host = "host",
    }
}

words! {
    /// On, off, or what the host has.
    pub enum AutoOnOff {
        /// What the host has.
        Auto = "auto",
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }
}

/// A number of bits, or what the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoNumber {
    /// What the host has.
    Auto,
    /// So many bits.
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

/// `<iommufd>` of an IOMMU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IommuIommufd {
    /// Name of the object; `iommufd0` when absent.
    pub id: Option<String>,
    /// Number of an open /dev/iommu that the caller left open.
    pub fd: Option<u32>,
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
    /// Returns the index of the root bus or expander that it serves, where it serves only that one.
    pub fn pci_bus(&self) -> Option<u32> {
        self.driver.as_ref().and_then(|d| d.pci_bus)
    }

    /// Whether the host's SMMU does the translation.
    pub fn is_accelerated(&self) -> bool {
        self.driver.as_ref().and_then(|d| d.accel) == Some(true)
    }

    /// Whether the guest's own page tables are given to the host's IOMMU, which iommufd alone does.
    pub fn needs_iommufd(&self) -> bool {
        self.is_accelerated() || self.driver.as_ref().and_then(|d| d.fsts) == Some(true)
    }

    /// Returns the name of the iommufd object that it works with, where it says one.
    pub fn iommufd_id(&self) -> Option<&str> {
        self.iommufd
            .as_ref()
            .map(|i| i.id.as_deref().unwrap_or(DEFAULT_IOMMUFD))
    }

    /// The seeds' `smmuv3Dev` becomes `smmuv3` with the bus of its address and `accel='on'`; an
    /// `<iommufd>` that says no more than the default goes.
    fn spell_as_upstream(&mut self, v: &mut dyn Visitor) {
        if self.model == Some(IommuModel::Smmuv3Dev) {
            self.model = Some(IommuModel::Smmuv3);
            let driver = self.driver.get_or_insert_default();
            driver.accel.get_or_insert(true);
            let bus = self
                .info
                .address
                .take()
                .as_ref()
                .and_then(Address::pci)
                .map(|a| u32::from(a.bus));
            match (driver.pci_bus, bus) {
                (None, None) => {
                    v.error("an smmuv3Dev needs a PCI <address> on the bus of its expander".into());
                }
                (Some(said), Some(bus)) if said != bus => {
                    v.error(format!(
                        "pciBus='{said}' contradicts the address on bus {bus}"
                    ));
                }
                (said, bus) => driver.pci_bus = said.or(bus),
            }
        }
        let plain = |i: &IommuIommufd| {
            i.fd.is_none() && i.id.as_deref().unwrap_or(DEFAULT_IOMMUFD) == DEFAULT_IOMMUFD
        };
        if self.iommufd.as_ref().is_some_and(plain) {
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

impl Element for IommuIommufd {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.leaf("id", &mut self.id);
        v.leaf("fd", &mut self.fd);
    }
}
