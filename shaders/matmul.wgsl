// y = act(a b + bias), z = a b + bias; batched over the four leading axes
//
// A workgroup of 8 x 8 threads makes a tile of 32 x 32 elements, a thread 4 x 4 of them in four named
// vectors (an indexed array would not stay in registers). Sixteen terms of the inner sums at a time
// are staged in workgroup memory. Beyond the edges rows and columns repeat the last one (their sums are
// not stored) and terms are 0.

#import view
#import grid
#import pointwise

struct Params {
    dims: View,
    a: View,
    b: View,
    bias: View,
    y: View,
    z: View,
    k: u32,
    tiles_m: u32,
    tiles_n: u32,
    pad: u32,
}

override BIAS: u32 = 0u;
override ACT: u32 = 0u;
override SAVE_Z: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> z: array<f32>;

// Terms staged at a time, and the distance of their rows: one vector more than the 8 of a row, so that
// threads which store one below the other meet different memory banks.
const TERMS = 16u;
const PITCH = 9u;

// Four rows of a, or four columns of b, for one term.
var<workgroup> rows_of_a: array<vec4<f32>, 144>;
var<workgroup> columns_of_b: array<vec4<f32>, 144>;

fn four_of_a(start: u32, row: u32, term: u32) -> vec4<f32> {
    if term >= params.k {
        return vec4<f32>(0.0);
    }
    let at = start + term * params.a.hi.y;
    let last = params.dims.hi.x - 1u;
    return vec4<f32>(
        a[at + min(row, last) * params.a.hi.x],
        a[at + min(row + 1u, last) * params.a.hi.x],
        a[at + min(row + 2u, last) * params.a.hi.x],
        a[at + min(row + 3u, last) * params.a.hi.x],
    );
}

fn four_of_b(start: u32, column: u32, term: u32) -> vec4<f32> {
    if term >= params.k {
        return vec4<f32>(0.0);
    }
    let at = start + term * params.b.hi.x;
    let last = params.dims.hi.y - 1u;
    return vec4<f32>(
        b[at + min(column, last) * params.b.hi.y],
        b[at + min(column + 1u, last) * params.b.hi.y],
        b[at + min(column + 2u, last) * params.b.hi.y],
        b[at + min(column + 3u, last) * params.b.hi.y],
    );
}

// Which (term, quad) a thread stages: neighbours in the workgroup take neighbours in memory, terms where
// the operand steps by one along them, else quads.
fn staged(slot: u32, along_terms: bool) -> vec2<u32> {
    return select(vec2<u32>(slot / 8u, slot % 8u), vec2<u32>(slot % TERMS, slot / TERMS), along_terms);
}

fn start_of(v: View, batch: vec4<u32>) -> u32 {
    return v.hi.z + dot(v.lo, batch);
}

fn store(y_at: u32, z_at: u32, bias_at: u32, column: u32, sum: f32) {
    if column >= params.dims.hi.y {
        return;
    }
    var s = sum;
    if BIAS == 1u {
        s += bias[bias_at + column * params.bias.hi.y];
    }
    if SAVE_Z == 1u {
        z[z_at + column * params.z.hi.y] = s;
    }
    y[y_at + column * params.y.hi.y] = activation(ACT, 0u, s);
}

fn store_row(batch: vec4<u32>, row: u32, column: u32, sums: vec4<f32>) {
    if row >= params.dims.hi.x {
        return;
    }
    let y_at = start_of(params.y, batch) + row * params.y.hi.x;
    let z_at = start_of(params.z, batch) + row * params.z.hi.x;
    let bias_at = start_of(params.bias, batch) + row * params.bias.hi.x;
    // A loop rather than four calls: the activation's code then stands here once.
    for (var c = 0u; c < 4u; c++) {
        store(y_at, z_at, bias_at, column + c, sums[c]);
    }
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) slot: u32,
) {
    let tile = group_index(group, groups);
    let item = tile / (params.tiles_m * params.tiles_n);
    let items = params.dims.lo.x * params.dims.lo.y * params.dims.lo.z * params.dims.lo.w;
    if item >= items {
        return; // the whole workgroup
    }
    let first_row = (tile / params.tiles_n) % params.tiles_m * 32u;
    let first_column = tile % params.tiles_n * 32u;
    let batch = vec4<u32>(
        item / (params.dims.lo.w * params.dims.lo.z * params.dims.lo.y),
        item / (params.dims.lo.w * params.dims.lo.z) % params.dims.lo.y,
        item / params.dims.lo.w % params.dims.lo.z,
        item % params.dims.lo.w,
    );
    let a_start = start_of(params.a, batch);
    let b_start = start_of(params.b, batch);

    // What this thread stages: two vectors of each operand.
    let a0 = staged(slot, params.a.hi.y == 1u);
    let a1 = staged(slot + 64u, params.a.hi.y == 1u);
    let b0 = staged(slot, params.b.hi.x == 1u);
    let b1 = staged(slot + 64u, params.b.hi.x == 1u);

    var sums0 = vec4<f32>(0.0);
    var sums1 = vec4<f32>(0.0);
    var sums2 = vec4<f32>(0.0);
    var sums3 = vec4<f32>(0.0);
    for (var term = 0u; term < params.k; term += TERMS) {
        rows_of_a[a0.x * PITCH + a0.y] = four_of_a(a_start, first_row + 4u * a0.y, term + a0.x);
        rows_of_a[a1.x * PITCH + a1.y] = four_of_a(a_start, first_row + 4u * a1.y, term + a1.x);
        columns_of_b[b0.x * PITCH + b0.y] = four_of_b(b_start, first_column + 4u * b0.y, term + b0.x);
        columns_of_b[b1.x * PITCH + b1.y] = four_of_b(b_start, first_column + 4u * b1.y, term + b1.x);
        workgroupBarrier();
        for (var l = 0u; l < TERMS * PITCH; l += 4u * PITCH) {
            var p = rows_of_a[l + local.y];
            var q = columns_of_b[l + local.x];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
            p = rows_of_a[l + PITCH + local.y];
            q = columns_of_b[l + PITCH + local.x];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
            p = rows_of_a[l + 2u * PITCH + local.y];
            q = columns_of_b[l + 2u * PITCH + local.x];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
            p = rows_of_a[l + 3u * PITCH + local.y];
            q = columns_of_b[l + 3u * PITCH + local.x];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
        }
        workgroupBarrier();
    }
    let row = first_row + 4u * local.y;
    let column = first_column + 4u * local.x;
    store_row(batch, row, column, sums0);
    store_row(batch, row + 1u, column, sums1);
    store_row(batch, row + 2u, column, sums2);
    store_row(batch, row + 3u, column, sums3);
}
