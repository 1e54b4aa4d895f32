// y[i] = the number of (task, element) = (first_task + i / per_task, i % per_task) under the key
// (seed + stream · 0x9e3779b9, step): words, uniform on [0, 1), or normal by Box and Muller

#import index
#import grid
#import threefry
#import exponential
#import sine

struct Params {
    dims: View,
    y: View,
    stream: u32,
    per_task: u32,
    first_task: u32,
    key: u32,
    key_step: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

override DIST: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> key: array<u32>;
// Floats as bits: a draw of words goes into the same binding.
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

// The upper 24 bits, exactly: a power of two only shifts the exponent.
fn unit(word: u32) -> f32 {
    return f32(word >> 8u) * (1.0 / 16777216.0);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = thread_index(group, groups, local);
    if i >= params.dims.hi.z {
        return;
    }
    let at = unravel(params.dims, i);
    let seed = vec2<u32>(key[params.key] + params.stream * 0x9e3779b9u, key[params.key + params.key_step]);
    let counter = vec2<u32>(params.first_task + i / params.per_task, i % params.per_task);
    let words = threefry2x32(seed, counter);
    var bits = words.x;
    if DIST == 1u {
        bits = bitcast<u32>(unit(words.x));
    }
    if DIST == 2u {
        // 1 - u is exact and in (0, 1], so that the logarithm exists; it may come out just above 0.
        let radius = square_root(max(-2.0 * logarithm(1.0 - unit(words.x)), 0.0));
        bits = bitcast<u32>(radius * sine(6.283185307179586 * unit(words.y), 1u));
    }
    y[position(params.y, at)] = bits;
}
