//! passthru-vfio
