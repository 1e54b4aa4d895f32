// y = ln |A| = 2 Σ ln Lᵢᵢ for a stack of symmetric positive definite matrices A = L Lᵀ; one workgroup a matrix

#import view
#import grid
#import exponential

struct Params { a: View, y: View, l: View, n: u32, matrices: u32, pad0: u32, pad1: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> l: array<f32>;

#import cholesky

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let m = group_index(group, groups);
    if m >= params.matrices {
        return;
    }
    factorise(m, local, groups.z - 1u);
    if local == 0u {
        var sum = 0.0;
        for (var j = 0u; j < params.n + zero; j++) {
            sum += logarithm(l[l_at(m, j, j)]);
        }
        y[params.y.hi.z + m * params.y.hi.y] = sum + sum;
    }
}
