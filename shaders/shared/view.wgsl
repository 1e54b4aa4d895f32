// Where the elements of a value lie in a buffer: the twin of `GpuView` in src/kernel/uniform.rs.
//
// Axes are aligned to the right. A view holds the strides of axes 0 to 3 in `lo`, of axes 4 and 5 in
// `hi.xy`, and the offset in `hi.z`. Used as a shape it holds lengths and, in `hi.z`, their product.

#import grid

struct View { lo: vec4<u32>, hi: vec4<u32> }

// An index along each of the six axes.
struct Index { lo: vec4<u32>, hi: vec2<u32> }

// The i-th index tuple of a shape, in row-major order. Kernels get shapes with neighbouring axes
// merged, so that one axis or two are the rule; the tests are the same for all threads.
fn unravel(dims: View, i: u32) -> Index {
    var at = Index(vec4<u32>(0u), vec2<u32>(0u));
    if dims.hi.y == dims.hi.z + zero {
        at.hi.y = i;
        return at;
    }
    at.hi.y = i % dims.hi.y;
    var rest = i / dims.hi.y;
    if dims.hi.x * dims.hi.y == dims.hi.z + zero {
        at.hi.x = rest;
        return at;
    }
    at.hi.x = rest % dims.hi.x;
    rest /= dims.hi.x;
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
    return v.hi.z + dot(v.lo, at.lo) + dot(v.hi.xy, at.hi);
}
