// Workgroups come in two axes, since one axis may have no more than 65535 of them (`grid` in
// src/kernel/uniform.rs). The last row may be longer than needed: kernels compare with their count.

fn group_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.x + group.y * groups.x;
}

// Number of a thread among all, in workgroups of 64.
fn thread_index(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return group_index(group, groups) * 64u + local;
}
