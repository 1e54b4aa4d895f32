// Windows along one axis: where their taps lie.

// Where tap `tap` of window `at` lies along an axis of `len`; -1 outside.
fn element_of(at: u32, tap: u32, stride: u32, dilation: u32, before: u32, len: u32) -> i32 {
    let i = i32(at * stride + tap * dilation) - i32(before);
    return select(i, -1, i >= i32(len));
}

// The window, of `len`, whose tap `tap` lies at element `i`; -1 where there is none.
fn window_of(i: u32, tap: u32, stride: u32, dilation: u32, before: u32, len: u32) -> i32 {
    let shifted = i32(i + before) - i32(tap * dilation);
    let at = shifted / i32(stride);
    return select(-1, at, shifted >= 0 && at * i32(stride) == shifted && at < i32(len));
}
