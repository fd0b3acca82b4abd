//! passthru-iommufd
