// One of four vectors: a selection, since an indexed array would not stay in registers, and has compilers repeat what is
// done with its elements.
fn one_of(r: u32, r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>) -> vec4<f32> {
    return select(select(r0, r1, r == 1u), select(r2, r3, r == 3u), r >= 2u);
}
