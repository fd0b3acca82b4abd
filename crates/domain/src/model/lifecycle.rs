//! `<on_poweroff>`, `<on_reboot>`, `<on_crash>`, `<on_lockfailure>`: actions at events of the guest.

use crate::xml::value::words;

words! {
    /// What happens at an event of the guest's life.
    pub enum LifecycleAction {
        /// The guest ends, its resources are released.
        Destroy = "destroy",
        /// The guest starts again with the same configuration.
        Restart = "restart",
        /// The guest ends, its resources stay for a look at them.
        Preserve = "preserve",
        /// The guest starts again under another name.
        RenameRestart = "rename-restart",
    }
}

words! {
    /// What happens when the guest crashes.
    pub enum CrashAction {
        /// The guest ends, its resources are released.
        Destroy = "destroy",
        /// The guest starts again with the same configuration.
        Restart = "restart",
        /// The guest ends, its resources stay for a look at them.
        Preserve = "preserve",
        /// The guest starts again under another name.
        RenameRestart = "rename-restart",
        /// Its memory is written to a file, then as `destroy`.
        CoredumpDestroy = "coredump-destroy",
        /// Its memory is written to a file, then as `restart`.
        CoredumpRestart = "coredump-restart",
    }
}

words! {
    /// What happens when a lease of a disk is lost.
    pub enum LockFailureAction {
        /// The guest ends.
        Poweroff = "poweroff",
        /// The guest starts again.
        Restart = "restart",
        /// The guest waits.
        Pause = "pause",
        /// Nothing.
        Ignore = "ignore",
    }
}
