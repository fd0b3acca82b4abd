//! passthru-guest
