// Where the elements of a value lie in a buffer: the twin of `GpuView` in src/kernel/uniform.rs.
//
// Axes are aligned to the right. A view holds the strides of axes 0 to 3 in `lo`, of axes 4 and 5 in
// `hi.xy`, and the offset in `hi.z`. Used as a shape it holds lengths and, in `hi.z`, their product.

struct View { lo: vec4<u32>, hi: vec4<u32> }
