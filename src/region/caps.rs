//! What a device can do with task regions.

/// What a device can do with task regions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionCaps {
    /// Fewer tasks are not worth one.
    pub least_tasks: usize,
    /// Bytes of the values of one task that are needed at the same time, at most; on a GPU without histories, which are
    /// streamed.
    pub bytes: usize,
    /// Bytes of them for which there is room close by, in cache or in the memory of a workgroup: where they need more than
    /// twice that, rows go some at a time.
    pub fast_memory: usize,
    /// The workgroups that run it; `None` on the CPU.
    pub group: Option<GroupCaps>,
}

/// Workgroups of a GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupCaps {
    /// Memory of a workgroup, in bytes.
    pub bytes: usize,
    /// Threads of a workgroup.
    pub threads: usize,
    /// Storage buffers that a launch can bind.
    pub operands: usize,
    /// Passes of a region that can be divided, at most. Drivers put all functions of a shader in line before they compile it;
    /// what has more becomes several regions.
    pub passes: usize,
    /// Passes of one that cannot be divided, a loop; what has more becomes launches.
    pub loop_passes: usize,
}
