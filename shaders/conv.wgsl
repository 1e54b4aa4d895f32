// y = act(Σ x[s p + d i - z] k[i] + bias), or the sum's gradient by x or by k; batched over tasks and groups
//
// An implicit product: rows are the first three axes of the result after the batch, columns its channels, terms what is summed
// over. ROLE says which of the three (`Wrt` in src/graph/conv.rs). 8 x 8 threads make a tile of 32 x 32 elements, a thread
// 4 x 4 of them; sixteen terms at a time are staged in workgroup memory, gathered from under the windows. The views of b have
// their axes in such an order that terms come before columns.

#import view
#import grid
#import window
#import pointwise
#import chosen

struct Params {
    dims: View,
    a: View,
    b: View,
    bias: View,
    y: View,
    z: View,
    terms: u32,
    terms_1: u32,
    terms_2: u32,
    columns: u32,
    groups: u32,
    a_group: u32,
    b_group: u32,
    tiles_m: u32,
    tiles_n: u32,
    height: u32,
    width: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    before_h: u32,
    before_w: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

override ROLE: u32 = 0u;
override BIAS: u32 = 0u;
override SAVE_Z: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> z: array<f32>;

const TERMS = 16u;
const SIDE = 8u;
const PITCH = 9u;

var<workgroup> rows_of_a: array<vec4<f32>, 144>;
var<workgroup> columns_of_b: array<vec4<f32>, 144>;

// The three axes of the rows at row `i`.
fn row_of(i: u32) -> vec3<u32> {
    let rest = i / params.dims.hi.x;
    return vec3<u32>(rest / params.dims.lo.w, rest % params.dims.lo.w, i % params.dims.hi.x);
}

// The three axes of the terms at term `i`.
fn term_of(i: u32) -> vec3<u32> {
    let rest = i / params.terms_2;
    return vec3<u32>(rest / params.terms_1, rest % params.terms_1, i % params.terms_2);
}

// The element of a at a row and a term; `start` is where its batch and group begin.
fn element_of_a(start: u32, row: vec3<u32>, term: vec3<u32>) -> f32 {
    var at = vec2<i32>(0);
    var image = row.x;
    var channel = term.z;
    if ROLE == 0u {
        at.x = element_of(row.y, term.x, params.stride_h, params.dilation_h, params.before_h, params.height);
        at.y = element_of(row.z, term.y, params.stride_w, params.dilation_w, params.before_w, params.width);
    } else if ROLE == 1u {
        at.x = window_of(row.y, term.x, params.stride_h, params.dilation_h, params.before_h, params.height);
        at.y = window_of(row.z, term.y, params.stride_w, params.dilation_w, params.before_w, params.width);
    } else {
        at.x = element_of(term.y, row.x, params.stride_h, params.dilation_h, params.before_h, params.height);
        at.y = element_of(term.z, row.y, params.stride_w, params.dilation_w, params.before_w, params.width);
        image = term.x;
        channel = row.z;
    }
    if at.x < 0 || at.y < 0 {
        return 0.0;
    }
    let v = params.a;
    return a[start + image * v.lo.z + u32(at.x) * v.lo.w + u32(at.y) * v.hi.x + channel * v.hi.y];
}

// Where a batch and a group begin in a result or its like.
fn start_of(v: View, batch: u32, group: u32) -> u32 {
    return v.hi.z + batch * v.lo.y + group * params.columns * v.hi.y;
}

fn at_row(v: View, row: vec3<u32>) -> u32 {
    return row.x * v.lo.z + row.y * v.lo.w + row.z * v.hi.x;
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
    if item >= params.dims.lo.y * params.groups {
        return; // the whole workgroup
    }
    let batch = item / params.groups;
    let part = item % params.groups;
    let rows = params.dims.lo.z * params.dims.lo.w * params.dims.hi.x;
    let first_row = (tile / params.tiles_n) % params.tiles_m * (4u * SIDE);
    let first_column = tile % params.tiles_n * (4u * SIDE);
    let a_start = params.a.hi.z + batch * params.a.lo.y + part * params.a_group;
    let b_start = params.b.hi.z + batch * params.b.lo.y + part * params.b_group;

    // Each thread stages quads (term, quad) and (term + 8, quad) of both operands; a quad's members lie SIDE apart.
    let quad = slot % SIDE;
    let own_term = slot / SIDE;
    let last_row = rows - 1u;
    let row0 = row_of(min(first_row + quad, last_row));
    let row1 = row_of(min(first_row + quad + SIDE, last_row));
    let row2 = row_of(min(first_row + quad + 2u * SIDE, last_row));
    let row3 = row_of(min(first_row + quad + 3u * SIDE, last_row));
    let columns = min(
        first_column + quad + SIDE * vec4<u32>(0u, 1u, 2u, 3u),
        vec4<u32>(params.columns - 1u),
    );

    var sums0 = vec4<f32>(0.0);
    var sums1 = vec4<f32>(0.0);
    var sums2 = vec4<f32>(0.0);
    var sums3 = vec4<f32>(0.0);
    for (var first = 0u; first < params.terms + (groups.z - 1u); first += TERMS) {
        for (var half = 0u; half < TERMS; half += SIDE) {
            let i = first + half + own_term;
            let to = (half + own_term) * PITCH + quad;
            var p = vec4<f32>(0.0);
            var q = vec4<f32>(0.0);
            if i < params.terms {
                let term = term_of(i);
                p = vec4<f32>(
                    element_of_a(a_start, row0, term),
                    element_of_a(a_start, row1, term),
                    element_of_a(a_start, row2, term),
                    element_of_a(a_start, row3, term),
                );
                let at = b_start + at_row(params.b, term) + columns * params.b.hi.y;
                q = vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]);
            }
            rows_of_a[to] = p;
            columns_of_b[to] = q;
        }
        workgroupBarrier();
        for (var l = 0u; l < TERMS * PITCH; l += PITCH) {
            let p = rows_of_a[l + local.y];
            let q = columns_of_b[l + local.x];
            sums0 += p.x * q;
            sums1 += p.y * q;
            sums2 += p.z * q;
            sums3 += p.w * q;
        }
        workgroupBarrier();
    }

    let bias_start = start_of(params.bias, batch, part);
    let y_start = start_of(params.y, batch, part);
    let z_start = start_of(params.z, batch, part);
    for (var r = 0u; r < 4u; r++) {
        let i = first_row + local.y + r * SIDE;
        if i >= rows {
            continue;
        }
        let row = row_of(i);
        let sums = select(select(sums0, sums1, r == 1u), select(sums2, sums3, r == 3u), r >= 2u);
        for (var c = 0u; c < 4u; c++) {
            let column = first_column + local.x + c * SIDE;
            if column >= params.columns {
                continue;
            }
            var s = sums[c];
            if BIAS == 1u {
                s += bias[bias_start + at_row(params.bias, row) + column * params.bias.hi.y];
            }
            if SAVE_Z == 1u {
                z[z_start + at_row(params.z, row) + column * params.z.hi.y] = s;
            }
            y[y_start + at_row(params.y, row) + column * params.y.hi.y] = apply(s);
        }
    }
}
