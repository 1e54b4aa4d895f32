// y = act(a b + bias), z = a b + bias; batched over the four leading axes
//
// The large tier. A workgroup of SIDE x SIDE threads makes a tile of 8·SIDE x 8·SIDE elements, a thread 8 x 8
// of them in sixteen named vectors: four reads of workgroup memory for 64 multiply-adds. Eight terms of the
// inner sums at a time are staged there; the next eight are on their way from memory meanwhile.

#import product

// Threads along each side, 16 or 8.
override SIDE: u32 = 16u;

// Terms staged at a time. A row of them has two quads a thread, and one vector more (see matmul.wgsl).
const TERMS = 8u;

var<workgroup> rows_of_a: array<vec4<f32>, TERMS * (2u * SIDE + 1u)>;
var<workgroup> columns_of_b: array<vec4<f32>, TERMS * (2u * SIDE + 1u)>;

@compute @workgroup_size(SIDE, SIDE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) slot: u32,
) {
    let tile = group_index(group, groups);
    let item = tile / (params.tiles_m * params.tiles_n);
    if item >= item_count() {
        return; // the whole workgroup
    }
    let batch = batch_of(item);
    let quads = 2u * SIDE;
    let pitch = quads + 1u;
    let first_row = (tile / params.tiles_n) % params.tiles_m * (4u * quads);
    let first_column = tile % params.tiles_n * (4u * quads);

    // What this thread stages: of 8 terms and the quads, one quad or two of each operand.
    let a0 = staged(slot, TERMS, quads, params.a.hi.y == 1u);
    let b0 = staged(slot, TERMS, quads, params.b.hi.x == 1u);
    let a1 = staged(slot + SIDE * SIDE, TERMS, quads, params.a.hi.y == 1u);
    let b1 = staged(slot + SIDE * SIDE, TERMS, quads, params.b.hi.x == 1u);
    let a_start = start_of(params.a, batch);
    let b_start = start_of(params.b, batch);
    let a0_at = rows_at(a_start, first_row + a0.y, quads);
    let a1_at = rows_at(a_start, first_row + a1.y, quads);
    let b0_at = columns_at(b_start, first_column + b0.y, quads);
    let b1_at = columns_at(b_start, first_column + b1.y, quads);

    var next_a0 = four_of_a(a0_at, a0.x);
    var next_b0 = four_of_b(b0_at, b0.x);
    var next_a1 = vec4<f32>(0.0);
    var next_b1 = vec4<f32>(0.0);
    if SIDE < 16u {
        next_a1 = four_of_a(a1_at, a1.x);
        next_b1 = four_of_b(b1_at, b1.x);
    }

    var left0 = vec4<f32>(0.0);
    var right0 = vec4<f32>(0.0);
    var left1 = vec4<f32>(0.0);
    var right1 = vec4<f32>(0.0);
    var left2 = vec4<f32>(0.0);
    var right2 = vec4<f32>(0.0);
    var left3 = vec4<f32>(0.0);
    var right3 = vec4<f32>(0.0);
    var left4 = vec4<f32>(0.0);
    var right4 = vec4<f32>(0.0);
    var left5 = vec4<f32>(0.0);
    var right5 = vec4<f32>(0.0);
    var left6 = vec4<f32>(0.0);
    var right6 = vec4<f32>(0.0);
    var left7 = vec4<f32>(0.0);
    var right7 = vec4<f32>(0.0);
    for (var term = TERMS; term < params.k + TERMS + (groups.z - 1u); term += TERMS) {
        rows_of_a[a0.x * pitch + a0.y] = next_a0;
        columns_of_b[b0.x * pitch + b0.y] = next_b0;
        if SIDE < 16u {
            rows_of_a[a1.x * pitch + a1.y] = next_a1;
            columns_of_b[b1.x * pitch + b1.y] = next_b1;
        }
        workgroupBarrier();
        next_a0 = four_of_a(a0_at, term + a0.x);
        next_b0 = four_of_b(b0_at, term + b0.x);
        if SIDE < 16u {
            next_a1 = four_of_a(a1_at, term + a1.x);
            next_b1 = four_of_b(b1_at, term + b1.x);
        }
        for (var l = 0u; l < TERMS * pitch; l += 4u * pitch) {
            var p = rows_of_a[l + local.y];
            var q = columns_of_b[l + local.x];
            var s = columns_of_b[l + SIDE + local.x];
            left0 += p.x * q;
            right0 += p.x * s;
            left1 += p.y * q;
            right1 += p.y * s;
            left2 += p.z * q;
            right2 += p.z * s;
            left3 += p.w * q;
            right3 += p.w * s;
            p = rows_of_a[l + SIDE + local.y];
            left4 += p.x * q;
            right4 += p.x * s;
            left5 += p.y * q;
            right5 += p.y * s;
            left6 += p.z * q;
            right6 += p.z * s;
            left7 += p.w * q;
            right7 += p.w * s;
            p = rows_of_a[l + pitch + local.y];
            q = columns_of_b[l + pitch + local.x];
            s = columns_of_b[l + pitch + SIDE + local.x];
            left0 += p.x * q;
            right0 += p.x * s;
            left1 += p.y * q;
            right1 += p.y * s;
            left2 += p.z * q;
            right2 += p.z * s;
            left3 += p.w * q;
            right3 += p.w * s;
            p = rows_of_a[l + pitch + SIDE + local.y];
            left4 += p.x * q;
            right4 += p.x * s;
            left5 += p.y * q;
            right5 += p.y * s;
            left6 += p.z * q;
            right6 += p.z * s;
            left7 += p.w * q;
            right7 += p.w * s;
            p = rows_of_a[l + 2u * pitch + local.y];
            q = columns_of_b[l + 2u * pitch + local.x];
            s = columns_of_b[l + 2u * pitch + SIDE + local.x];
            left0 += p.x * q;
            right0 += p.x * s;
            left1 += p.y * q;
            right1 += p.y * s;
            left2 += p.z * q;
            right2 += p.z * s;
            left3 += p.w * q;
            right3 += p.w * s;
            p = rows_of_a[l + 2u * pitch + SIDE + local.y];
            left4 += p.x * q;
            right4 += p.x * s;
            left5 += p.y * q;
            right5 += p.y * s;
            left6 += p.z * q;
            right6 += p.z * s;
            left7 += p.w * q;
            right7 += p.w * s;
            p = rows_of_a[l + 3u * pitch + local.y];
            q = columns_of_b[l + 3u * pitch + local.x];
            s = columns_of_b[l + 3u * pitch + SIDE + local.x];
            left0 += p.x * q;
            right0 += p.x * s;
            left1 += p.y * q;
            right1 += p.y * s;
            left2 += p.z * q;
            right2 += p.z * s;
            left3 += p.w * q;
            right3 += p.w * s;
            p = rows_of_a[l + 3u * pitch + SIDE + local.y];
            left4 += p.x * q;
            right4 += p.x * s;
            left5 += p.y * q;
            right5 += p.y * s;
            left6 += p.z * q;
            right6 += p.z * s;
            left7 += p.w * q;
            right7 += p.w * s;
        }
        workgroupBarrier();
    }
    let column = first_column + local.x;
    for (var r = 0u; r < 8u; r++) {
        // Rows of the thread's first quad, then of its second.
        let row = first_row + local.y + (r % 4u) * quads + (r / 4u) * SIDE;
        let left = select(one_of(r, left0, left1, left2, left3), one_of(r - 4u, left4, left5, left6, left7), r >= 4u);
        let right =
            select(one_of(r, right0, right1, right2, right3), one_of(r - 4u, right4, right5, right6, right7), r >= 4u);
        store_row(batch, row, column, quads, left);
        store_row(batch, row, column + SIDE, quads, right);
    }
}
