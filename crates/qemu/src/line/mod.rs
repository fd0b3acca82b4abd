//! How an option is written: options as data, what they want from outside, and their rendering.

mod opt;
mod quote;
mod render;
mod resolve;
mod want;

pub use opt::{List, Object, Opt, Term, Value};
pub(crate) use opt::{Properties, distinct_wants, on_off};
pub use render::CommandLine;
pub(crate) use render::Renderer;
pub use resolve::{FileLocation, Paths, Placeholders, Resolve};
pub use want::{Access, FilePassing, PlugPassing, Want, WantKind};
