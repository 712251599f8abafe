//! The programs in `examples/` do what they say: the demo's story, and the four small ones together.

#[cfg(test)]
mod demo;
#[cfg(test)]
mod four;
#[cfg(test)]
mod programs;
