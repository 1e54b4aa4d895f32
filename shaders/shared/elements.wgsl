// Kernels that go element by element: the twin of `elements` in src/kernel/uniform.rs.
//
// GPUs start a bounded number of workgroups a microsecond: where there are many elements a thread takes EACH of them,
// 256 apart, so that memory is the limit.

#import grid

override EACH: u32 = 1u;

fn first_element(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return group_index(group, groups) * (256u * EACH) + local;
}
