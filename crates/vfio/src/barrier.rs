//! Barriers between memory that a device shares and the device's registers.
//!
//! They order accesses as a device sees them, like `writel` and `readl` of the kernel, on x86_64,
//! aarch64 and riscv64. Other architectures get the strongest fence of Rust. Between threads of
//! this program, atomics are enough.
#![allow(unsafe_code)]

/// Orders all earlier accesses before a write that follows, to a register or to shared memory.
#[inline]
pub(crate) fn before_write() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction only orders accesses. Without `nomem`, the compiler moves no access
    // across it either.
    unsafe {
        std::arch::asm!("dmb osh", options(nostack, preserves_flags));
    }

    #[cfg(target_arch = "riscv64")]
    // SAFETY: the instruction only orders accesses, as above.
    unsafe {
        std::arch::asm!("fence iorw, iorw", options(nostack, preserves_flags));
    }

    #[cfg(target_arch = "x86_64")]
    std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
    #[cfg(not(any(
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "x86_64"
    )))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// Orders all later accesses after a read that came before, from a register or from shared memory.
#[inline]
pub(crate) fn after_read() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction only orders accesses, as above.
    unsafe {
        std::arch::asm!("dmb oshld", options(nostack, preserves_flags));
    }

    #[cfg(target_arch = "riscv64")]
    // SAFETY: the instruction only orders accesses, as above.
    unsafe {
        std::arch::asm!("fence iorw, iorw", options(nostack, preserves_flags));
    }

    #[cfg(target_arch = "x86_64")]
    std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
    #[cfg(not(any(
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "x86_64"
    )))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}
