// y = Σ a, or Σ a·b, over the axes that y lacks
//
// LANES threads a result: thread l adds up terms l, l + LANES, ..., then a tree adds up the threads.
// Neighbouring threads take neighbouring terms (ALONG = 1) or neighbouring results, whichever lie closer
// together. The order of the additions depends on the views alone.

#import index
#import grid

struct Params { kept: View, y: View, a: View, b: View, reduced: View, a_step: View, b_step: View }

override DOT: u32 = 0u;
override LANES: u32 = 1u;
override ALONG: u32 = 0u;
override THREADS: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sums: array<f32, THREADS>;

fn term(a_at: u32, b_at: u32) -> f32 {
    if DOT == 1u {
        return a[a_at] * b[b_at];
    }
    return a[a_at];
}

// Terms first, first + step, ... of the last axis that is summed. Four sums at once: their reads wait together.
fn sum_of_row(a_at: u32, b_at: u32, first: u32, step: u32) -> f32 {
    let inner = params.reduced.hi.y + zero;
    let da = params.a_step.hi.y;
    let db = params.b_step.hi.y;
    var s = vec4<f32>(0.0);
    var l = first;
    for (; l + 3u * step < inner; l += 4u * step) {
        let i = l + step * vec4<u32>(0u, 1u, 2u, 3u);
        let p = a_at + da * i;
        let q = b_at + db * i;
        s += vec4<f32>(term(p.x, q.x), term(p.y, q.y), term(p.z, q.z), term(p.w, q.w));
    }
    for (; l < inner; l += step) {
        s.x += term(a_at + da * l, b_at + db * l);
    }
    return (s.x + s.y) + (s.z + s.w);
}

// Terms first, first + step, ... of the sum whose operands start at a_at and b_at.
fn sum_of(a_at: u32, b_at: u32, first: u32, step: u32) -> f32 {
    let inner = params.reduced.hi.y + zero;
    if inner == params.reduced.hi.z {
        return sum_of_row(a_at, b_at, first, step);
    }
    var sum = 0.0;
    if step < inner {
        // Rows of the last axis: indices are taken apart once a row.
        let rows = params.reduced.hi.z / inner;
        for (var r = 0u; r < rows; r++) {
            let at = unravel(params.reduced, r * inner);
            sum += sum_of_row(a_at + position(params.a_step, at), b_at + position(params.b_step, at), first, step);
        }
        return sum;
    }
    for (var l = first; l < params.reduced.hi.z + zero; l += step) {
        let at = unravel(params.reduced, l);
        sum += term(a_at + position(params.a_step, at), b_at + position(params.b_step, at));
    }
    return sum;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let results = THREADS / LANES;
    let lane = select(local / results, local % LANES, ALONG == 1u);
    let mine = select(local % results, local / LANES, ALONG == 1u);
    let first = group_index(group, groups) * results;
    if first >= params.kept.hi.z {
        return; // the whole workgroup
    }
    let i = first + mine;
    var sum = 0.0;
    var y_at = 0u;
    if i < params.kept.hi.z {
        let at = unravel(params.kept, i);
        y_at = position(params.y, at);
        sum = sum_of(position(params.a, at), position(params.b, at), lane, LANES);
    }
    if LANES > 1u {
        sums[lane * results + mine] = sum;
        workgroupBarrier();
        for (var width = LANES / 2u; width > 0u; width >>= 1u) {
            if lane < width {
                sums[lane * results + mine] += sums[(lane + width) * results + mine];
            }
            workgroupBarrier();
        }
        sum = sums[mine];
    }
    if lane == 0u && i < params.kept.hi.z {
        y[y_at] = sum;
    }
}
