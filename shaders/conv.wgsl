// y = act(Σ x[s p + d i - z] k[i] + bias), or the sum's gradient by x or by k; batched over tasks and groups
//
// An implicit product: rows are the first three axes of the result after the batch, columns its channels, terms what is summed
// over. ROLE says which of the three (`Wrt` in src/graph/conv.rs). 8 x 8 threads make a tile of 32 x 32 elements, a thread
// 4 x 4 of them; sixteen terms at a time are staged in workgroup memory, gathered from under the windows, and the next sixteen
// are on their way meanwhile. Where there are few tiles, PARTS times as many threads make one: each part sums up every PARTS-th
// sixteen terms, and the parts are added in their order. The views of b have their axes in such an order that terms come before
// columns.

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
override PARTS: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> z: array<f32>;

const TERMS = 16u;
const SIDE = 8u;
// Of a part: sixteen terms of SIDE quads; behind the last term of all, two quads of sums of each thread. Four parts take 16 KiB, which
// every device has.
const STAGED = 128u;

var<workgroup> rows_of_a: array<vec4<f32>, PARTS * STAGED>;
var<workgroup> columns_of_b: array<vec4<f32>, PARTS * STAGED>;

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

// A term further on by `step`, which is an index of terms, too.
fn further(term: vec3<u32>, step: vec3<u32>) -> vec3<u32> {
    var t = term + step;
    if t.z >= params.terms_2 {
        t.z -= params.terms_2;
        t.y += 1u;
    }
    if t.y >= params.terms_1 {
        t.y -= params.terms_1;
        t.x += 1u;
    }
    return t;
}

// The element of a at a row and a term; `start` is where its batch and group begin. Read in any case, from the edge where it is
// padding: what waits for no condition is on its way together with all others.
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
    let v = params.a;
    let inside = vec2<u32>(max(at, vec2<i32>(0)));
    let value = a[start + image * v.lo.z + inside.x * v.lo.w + inside.y * v.hi.x + channel * v.hi.y];
    return select(0.0, value, at.x >= 0 && at.y >= 0);
}

// Where a batch and a group begin in a result or its like.
fn start_of(v: View, batch: u32, group: u32) -> u32 {
    return v.hi.z + batch * v.lo.y + group * params.columns * v.hi.y;
}

fn at_row(v: View, row: vec3<u32>) -> u32 {
    return row.x * v.lo.z + row.y * v.lo.w + row.z * v.hi.x;
}

// Elements of a at four rows and a term.
fn quad_of_a(start: u32, rows: array<vec3<u32>, 4>, term: vec3<u32>) -> vec4<f32> {
    return vec4<f32>(
        element_of_a(start, rows[0], term),
        element_of_a(start, rows[1], term),
        element_of_a(start, rows[2], term),
        element_of_a(start, rows[3], term),
    );
}

// Elements of b at a term and four columns.
fn quad_of_b(start: u32, columns: vec4<u32>, term: vec3<u32>) -> vec4<f32> {
    let at = start + at_row(params.b, term) + columns * params.b.hi.y;
    return vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]);
}

@compute @workgroup_size(8, 8, PARTS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let tile = group_index(group, groups);
    let item = tile / (params.tiles_m * params.tiles_n);
    if item >= params.dims.lo.y * params.groups {
        return; // the whole workgroup
    }
    let batch = item / params.groups;
    let channels = item % params.groups;
    let rows = params.dims.lo.z * params.dims.lo.w * params.dims.hi.x;
    let first_row = (tile / params.tiles_n) % params.tiles_m * (4u * SIDE);
    let first_column = tile % params.tiles_n * (4u * SIDE);
    let a_start = params.a.hi.z + batch * params.a.lo.y + channels * params.a_group;
    let b_start = params.b.hi.z + batch * params.b.lo.y + channels * params.b_group;
    let own = local.z * STAGED;

    // Each thread stages quads (term, quad) and (term + 8, quad) of both operands; a quad's members lie SIDE apart.
    let quad = local.x;
    let last_row = rows - 1u;
    let rows_of_quad = array<vec3<u32>, 4>(
        row_of(min(first_row + quad, last_row)),
        row_of(min(first_row + quad + SIDE, last_row)),
        row_of(min(first_row + quad + 2u * SIDE, last_row)),
        row_of(min(first_row + quad + 3u * SIDE, last_row)),
    );
    let columns = min(
        first_column + quad + SIDE * vec4<u32>(0u, 1u, 2u, 3u),
        vec4<u32>(params.columns - 1u),
    );
    let to = own + local.y * SIDE + quad;
    let step = term_of(TERMS * PARTS);
    let first_term = local.z * TERMS + local.y;
    var term = term_of(first_term);
    var later_term = term_of(first_term + SIDE);

    var sums0 = vec4<f32>(0.0);
    var sums1 = vec4<f32>(0.0);
    var sums2 = vec4<f32>(0.0);
    var sums3 = vec4<f32>(0.0);
    var p = array<vec4<f32>, 2>();
    var q = array<vec4<f32>, 2>();
    let stretches = (params.terms + TERMS * PARTS - 1u) / (TERMS * PARTS);
    for (var i = 0u; i <= stretches + (groups.z - 1u); i++) {
        // On their way while the last ones are multiplied.
        if i < stretches {
            let at = first_term + i * (TERMS * PARTS);
            p = array<vec4<f32>, 2>();
            q = array<vec4<f32>, 2>();
            if at < params.terms {
                p[0] = quad_of_a(a_start, rows_of_quad, term);
                q[0] = quad_of_b(b_start, columns, term);
            }
            if at + SIDE < params.terms {
                p[1] = quad_of_a(a_start, rows_of_quad, later_term);
                q[1] = quad_of_b(b_start, columns, later_term);
            }
            term = further(term, step);
            later_term = further(later_term, step);
        }
        if i > 0u {
            for (var l = own; l < own + STAGED; l += SIDE) {
                let p_l = rows_of_a[l + local.y];
                let q_l = columns_of_b[l + local.x];
                sums0 += p_l.x * q_l;
                sums1 += p_l.y * q_l;
                sums2 += p_l.z * q_l;
                sums3 += p_l.w * q_l;
            }
        }
        workgroupBarrier();
        if i < stretches {
            rows_of_a[to] = p[0];
            rows_of_a[to + SIDE * SIDE] = p[1];
            columns_of_b[to] = q[0];
            columns_of_b[to + SIDE * SIDE] = q[1];
        }
        workgroupBarrier();
    }

    // A part makes every PARTS-th row.
    let place = 2u * (local.y * SIDE + local.x);
    if PARTS > 1u {
        rows_of_a[own + place] = sums0;
        rows_of_a[own + place + 1u] = sums1;
        columns_of_b[own + place] = sums2;
        columns_of_b[own + place + 1u] = sums3;
        workgroupBarrier();
    }
    let bias_start = start_of(params.bias, batch, channels);
    let y_start = start_of(params.y, batch, channels);
    let z_start = start_of(params.z, batch, channels);
    for (var r = local.z; r < 4u + zero; r += PARTS) {
        let i = first_row + local.y + r * SIDE;
        if i >= rows {
            continue;
        }
        let row = row_of(i);
        var sums = select(select(sums0, sums1, r == 1u), select(sums2, sums3, r == 3u), r >= 2u);
        if PARTS > 1u {
            sums = vec4<f32>(0.0);
            for (var at = place + r % 2u; at < PARTS * STAGED + zero; at += STAGED) {
                sums += select(rows_of_a[at], columns_of_b[at], r >= 2u);
            }
        }
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
