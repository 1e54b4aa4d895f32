// The pointwise functions of two values that are no operators; src/kernel/wgsl.rs knows the names.

#import bits

fn less(p: f32, q: f32) -> f32 {
    return select(0.0, 1.0, ordered(p, q) && p < q);
}

fn greater_or_equal(p: f32, q: f32) -> f32 {
    return select(0.0, 1.0, ordered(p, q) && p >= q);
}

fn equal(p: f32, q: f32) -> f32 {
    return select(0.0, 1.0, ordered(p, q) && p == q);
}
