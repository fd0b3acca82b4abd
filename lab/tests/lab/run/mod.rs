//! `passthru run` on the virtual host: complete runs with real devices, and their failures.

mod adopt;
mod console;
mod control;
mod descriptors;
mod device;
mod end;
mod exit_codes;
mod fake;
mod files;
mod firmware;
mod hostile;
mod kill;
mod memlock;
mod messages;
mod nvme_disk;
mod privileges;
mod refused;
mod screen_clients;
mod screens;
mod support;
mod type1;
