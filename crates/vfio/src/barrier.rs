//! Barriers between memory that a device shares and the device's registers, where the order counts
//! that a device sees: what the kernel has in `writel` and `readl`, for x86_64, aarch64 and
//! riscv64; elsewhere, the strongest that Rust has. Between threads of this program, atomics are
//! enough.
#![allow(unsafe_code)]

/// Goes before a write to a device, or to what it reads: all that was written before reaches the
/// device first, and what was read before was read before it could write there.
#[inline]
pub(crate) fn before_write() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: it only orders. (Without `nomem` the compiler, too, moves no access across it.)
    unsafe {
        std::arch::asm!("dmb osh", options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "riscv64")]
    // SAFETY: as above.
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

/// Goes after a read from a device, or from what it writes: what is read later is at least as new.
#[inline]
pub(crate) fn after_read() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("dmb oshld", options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "riscv64")]
    // SAFETY: as above.
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
