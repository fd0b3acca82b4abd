//! `passthru run` on the virtual host: the whole job with real devices, and what happens when it
//! goes wrong.

mod console;
mod descriptors;
mod device;
mod end;
mod exit_codes;
mod fake;
mod files;
mod hostile;
mod memlock;
mod messages;
mod privileges;
mod refused;
mod support;
