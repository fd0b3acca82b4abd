//! passthru-domain
