//! `passthru run` on the virtual host: the whole job with real devices, and what happens when it goes wrong.

mod console;
mod descriptors;
mod device;
mod end;
mod files;
mod memlock;
mod privileges;
mod refused;
mod support;
