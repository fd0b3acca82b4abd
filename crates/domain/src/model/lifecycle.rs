//! `<on_poweroff>`, `<on_reboot>`, `<on_crash>`, `<on_lockfailure>`: actions at events.

use crate::xml::value::words;

words! {
    /// The action when the guest powers off or reboots.
    pub enum LifecycleAction {
        /// The guest ends and its resources are released.
        Destroy = "destroy",
        /// The guest starts again with the same configuration.
        Restart = "restart",
        /// The guest ends; its resources are kept for analysis.
        Preserve = "preserve",
        /// The guest starts again under another name.
        RenameRestart = "rename-restart",
    }
}

words! {
    /// The action when the guest crashes.
    pub enum CrashAction {
        /// The guest ends and its resources are released.
        Destroy = "destroy",
        /// The guest starts again with the same configuration.
        Restart = "restart",
        /// The guest ends; its resources are kept for analysis.
        Preserve = "preserve",
        /// The guest starts again under another name.
        RenameRestart = "rename-restart",
        /// The guest's memory is written to a file, then as `destroy`.
        CoredumpDestroy = "coredump-destroy",
        /// The guest's memory is written to a file, then as `restart`.
        CoredumpRestart = "coredump-restart",
    }
}

words! {
    /// The action when a disk lease is lost.
    pub enum LockFailureAction {
        /// The guest ends.
        Poweroff = "poweroff",
        /// The guest starts again.
        Restart = "restart",
        /// The guest pauses.
        Pause = "pause",
        /// No action.
        Ignore = "ignore",
    }
}
