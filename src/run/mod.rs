//! Where plans run: on the CPU or on a GPU.

pub mod cpu;
