// Kernels that go element by element, each with a function `element` that is given a number and knows their count: the twin
// of `elements` in src/kernel/uniform.rs.
//
// GPUs start a bounded number of workgroups a microsecond: where there are many elements a thread takes EACH of them,
// 256 apart, so that memory is the limit.

#import grid

override EACH: u32 = 1u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = group_index(group, groups) * (256u * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        element(first + 256u * k);
    }
}
