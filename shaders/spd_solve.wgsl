// X = A⁻¹ B for a stack of symmetric positive definite matrices: A = L Lᵀ, L Y = B, Lᵀ X = Y; one workgroup a matrix

#import view
#import grid

struct Params { a: View, b: View, x: View, l: View, n: u32, columns: u32, matrices: u32, pad0: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> l: array<f32>;

#import cholesky

fn x_at(m: u32, i: u32, j: u32) -> u32 {
    return params.x.hi.z + m * params.x.lo.w + i * params.x.hi.x + j * params.x.hi.y;
}

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
    // A thread has every 64th column; what it reads of X it has written itself.
    for (var j = local; j < params.columns + zero; j += 64u) {
        for (var i = 0u; i < params.n + zero; i++) {
            var sum = 0.0;
            for (var k = 0u; k < i; k++) {
                sum += l[l_at(m, i, k)] * x[x_at(m, k, j)];
            }
            let at = params.b.hi.z + m * params.b.lo.w + i * params.b.hi.x + j * params.b.hi.y;
            x[x_at(m, i, j)] = (b[at] - sum) / l[l_at(m, i, i)];
        }
        for (var down = 0u; down < params.n + zero; down++) {
            let i = params.n - 1u - down;
            var sum = 0.0;
            for (var k = i + 1u; k < params.n + zero; k++) {
                sum += l[l_at(m, k, i)] * x[x_at(m, k, j)];
            }
            x[x_at(m, i, j)] = (x[x_at(m, i, j)] - sum) / l[l_at(m, i, i)];
        }
    }
}
