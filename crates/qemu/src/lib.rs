//! passthru-qemu
