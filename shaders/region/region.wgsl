// A task region: a task's values in workgroup memory, one block of code after another
#import bits
#import exponential
#import grid
#import pointwise
#import binary
#import one_of

// Values that are written element by element, and those that are written four at a time.
var<workgroup> words: array<f32, WORDS>;
var<workgroup> vectors: array<vec4<f32>, VECTORS>;

// Number of the task, and of this thread among those of the task.
var<private> task: u32;
var<private> local: u32;
// Whether there is such a task: what is stored for others would be stored twice.
var<private> live: bool;

// One element that lies in a vector.
fn vector_part(i: u32) -> f32 {
    return vectors[i / 4u][i % 4u];
}

// The sums of four rows of a and four columns of b, and four terms more: a column of p and a row of q at a time.
fn add_product(sums: mat4x4<f32>, p: mat4x4<f32>, q: mat4x4<f32>) -> mat4x4<f32> {
    var s = sums;
    s[0] += p[0].x * q[0];
    s[1] += p[0].y * q[0];
    s[2] += p[0].z * q[0];
    s[3] += p[0].w * q[0];
    s[0] += p[1].x * q[1];
    s[1] += p[1].y * q[1];
    s[2] += p[1].z * q[1];
    s[3] += p[1].w * q[1];
    s[0] += p[2].x * q[2];
    s[1] += p[2].y * q[2];
    s[2] += p[2].z * q[2];
    s[3] += p[2].w * q[2];
    s[0] += p[3].x * q[3];
    s[1] += p[3].y * q[3];
    s[2] += p[3].z * q[3];
    s[3] += p[3].w * q[3];
    return s;
}

// The sums of one row, and four terms more.
fn add_row(sums: vec4<f32>, p: vec4<f32>, q: mat4x4<f32>) -> vec4<f32> {
    var s = sums;
    s += p.x * q[0];
    s += p.y * q[1];
    s += p.z * q[2];
    s += p.w * q[3];
    return s;
}

// Where four lines of a matrix begin, `step` apart, from the one numbered `first` on; beyond the last it is repeated.
fn lines(at: u32, first: u32, last: u32, step: u32) -> vec4<u32> {
    return at + min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last)) * step;
}

// Of four lines that lie along vectors, which begin at these: the l-th term of each, and the i-th four terms, a term a column.
fn line_terms(at: vec4<u32>, l: u32) -> vec4<f32> {
    let i = at + l / 4u;
    return vec4<f32>(vectors[i.x][l % 4u], vectors[i.y][l % 4u], vectors[i.z][l % 4u], vectors[i.w][l % 4u]);
}
fn line_square(at: vec4<u32>, i: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(vectors[at.x + i], vectors[at.y + i], vectors[at.z + i], vectors[at.w + i]));
}

// Four vectors, `step` apart.
fn vectors_square(at: u32, step: u32) -> mat4x4<f32> {
    return mat4x4<f32>(vectors[at], vectors[at + step], vectors[at + 2u * step], vectors[at + 3u * step]);
}
