// y = act(a b + bias), z = a b + bias; batched over the four leading axes
//
// The large tier. A workgroup of 16 x 16 threads makes a tile of 128 x 128 elements, a thread 8 x 8 of them
// in sixteen named vectors: four reads of workgroup memory for 64 multiply-adds. Eight terms of the inner
// sums at a time are staged there; the next eight are on their way from memory meanwhile.

#import product

// Threads along each side; quads of a row, of which a thread has two; terms staged at a time, and the
// distance of their rows (see matmul.wgsl).
const SIDE = 16u;
const QUADS = 32u;
const TERMS = 8u;
const PITCH = 33u;

var<workgroup> rows_of_a: array<vec4<f32>, TERMS * PITCH>;
var<workgroup> columns_of_b: array<vec4<f32>, TERMS * PITCH>;

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
    let first_row = (tile / params.tiles_n) % params.tiles_m * (4u * QUADS);
    let first_column = tile % params.tiles_n * (4u * QUADS);

    // What this thread stages: of 8 terms and 32 quads, one quad of each operand.
    let a_slot = staged(slot, TERMS, QUADS, params.a.hi.y == 1u);
    let b_slot = staged(slot, TERMS, QUADS, params.b.hi.x == 1u);
    let a_at = rows_at(start_of(params.a, batch), first_row + a_slot.y, QUADS);
    let b_at = columns_at(start_of(params.b, batch), first_column + b_slot.y, QUADS);
    var next_a = four_of_a(a_at, a_slot.x);
    var next_b = four_of_b(b_at, b_slot.x);

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
    for (var term = TERMS; term < params.k + TERMS; term += TERMS) {
        rows_of_a[a_slot.x * PITCH + a_slot.y] = next_a;
        columns_of_b[b_slot.x * PITCH + b_slot.y] = next_b;
        workgroupBarrier();
        next_a = four_of_a(a_at, term + a_slot.x);
        next_b = four_of_b(b_at, term + b_slot.x);
        for (var l = 0u; l < TERMS * PITCH; l += 4u * PITCH) {
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
            p = rows_of_a[l + PITCH + local.y];
            q = columns_of_b[l + PITCH + local.x];
            s = columns_of_b[l + PITCH + SIDE + local.x];
            left0 += p.x * q;
            right0 += p.x * s;
            left1 += p.y * q;
            right1 += p.y * s;
            left2 += p.z * q;
            right2 += p.z * s;
            left3 += p.w * q;
            right3 += p.w * s;
            p = rows_of_a[l + PITCH + SIDE + local.y];
            left4 += p.x * q;
            right4 += p.x * s;
            left5 += p.y * q;
            right5 += p.y * s;
            left6 += p.z * q;
            right6 += p.z * s;
            left7 += p.w * q;
            right7 += p.w * s;
            p = rows_of_a[l + 2u * PITCH + local.y];
            q = columns_of_b[l + 2u * PITCH + local.x];
            s = columns_of_b[l + 2u * PITCH + SIDE + local.x];
            left0 += p.x * q;
            right0 += p.x * s;
            left1 += p.y * q;
            right1 += p.y * s;
            left2 += p.z * q;
            right2 += p.z * s;
            left3 += p.w * q;
            right3 += p.w * s;
            p = rows_of_a[l + 2u * PITCH + SIDE + local.y];
            left4 += p.x * q;
            right4 += p.x * s;
            left5 += p.y * q;
            right5 += p.y * s;
            left6 += p.z * q;
            right6 += p.z * s;
            left7 += p.w * q;
            right7 += p.w * s;
            p = rows_of_a[l + 3u * PITCH + local.y];
            q = columns_of_b[l + 3u * PITCH + local.x];
            s = columns_of_b[l + 3u * PITCH + SIDE + local.x];
            left0 += p.x * q;
            right0 += p.x * s;
            left1 += p.y * q;
            right1 += p.y * s;
            left2 += p.z * q;
            right2 += p.z * s;
            left3 += p.w * q;
            right3 += p.w * s;
            p = rows_of_a[l + 3u * PITCH + SIDE + local.y];
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
        let row = first_row + local.y + (r % 4u) * QUADS + (r / 4u) * SIDE;
        let left = select(one_of(r, left0, left1, left2, left3), one_of(r - 4u, left4, left5, left6, left7), r >= 4u);
        let right =
            select(one_of(r, right0, right1, right2, right3), one_of(r - 4u, right4, right5, right6, right7), r >= 4u);
        store_row(batch, row, column, QUADS, left);
        store_row(batch, row, column + SIDE, QUADS, right);
    }
}
