// Workgroups come in two axes, since one axis may have no more than 65535 of them (`grid` in
// src/kernel/uniform.rs). The last row may be longer than needed: kernels compare with their count.

// 0, which compilers cannot know: added to the bounds of loops. Some drivers would unroll a loop up to a constant, and compile
// the shader anew for each uniform value that bounds one. Bounds of loops with barriers must be the same for all threads as
// a compiler sees it; a private variable never is, and `groups.z - 1u` stands there.
var<private> zero: u32;

fn group_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    zero = groups.z - 1u;
    return group.x + group.y * groups.x;
}

// Number of a thread among all, in workgroups of 64.
fn thread_index(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return group_index(group, groups) * 64u + local;
}
