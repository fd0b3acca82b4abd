//! passthru-host
