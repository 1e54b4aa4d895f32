// The elements of shapes by their numbers, and where they lie.

#import view

// An index along each of the six axes.
struct Index { lo: vec4<u32>, hi: vec2<u32> }

// Axes that shapes have, the last of the six. Kernels get shapes with neighbouring axes merged, so that one axis or two are
// the rule, and are compiled for so many: each takes a division, and each view a product.
override AXES: u32 = 6u;

// The i-th index tuple of a shape, in row-major order.
fn unravel(dims: View, i: u32) -> Index {
    var at = Index(vec4<u32>(0u), vec2<u32>(0u));
    if AXES == 1u {
        at.hi.y = i;
        return at;
    }
    at.hi.y = i % dims.hi.y;
    var rest = i / dims.hi.y;
    if AXES == 2u {
        at.hi.x = rest;
        return at;
    }
    at.hi.x = rest % dims.hi.x;
    rest /= dims.hi.x;
    if AXES == 3u {
        at.lo.w = rest;
        return at;
    }
    at.lo.w = rest % dims.lo.w;
    rest /= dims.lo.w;
    at.lo.z = rest % dims.lo.z;
    rest /= dims.lo.z;
    at.lo.y = rest % dims.lo.y;
    at.lo.x = rest / dims.lo.y;
    return at;
}

// Where the element at an index lies.
fn position(v: View, at: Index) -> u32 {
    var p = v.hi.z + v.hi.y * at.hi.y;
    if AXES > 1u {
        p += v.hi.x * at.hi.x;
    }
    if AXES > 2u {
        p += v.lo.w * at.lo.w;
    }
    if AXES > 3u {
        p += dot(v.lo.xyz, at.lo.xyz);
    }
    return p;
}
