//! Devices that a running guest gets and releases, through the library.

mod attach;
mod detach;
mod parts;
mod several;
mod support;
mod type1;
