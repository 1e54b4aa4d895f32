// The functions that a kernel is given when a pipeline is made: other text takes the place of this file then
// (`Kernel::chosen`). As it stands here, kernels can be read, and checked, by themselves.

// Of one value.
fn apply(x: f32) -> f32 {
    return x;
}

// Of two.
fn combine(p: f32, q: f32) -> f32 {
    return p + q;
}
