// A task region: a task's values in workgroup memory, one block of code after another
#import bits
#import exponential
#import grid
#import pointwise
#import binary
#import one_of

// Values that are written element by element, and those that are written four at a time.
var<workgroup> words: array<f32, WORDS>;
var<workgroup> quads: array<vec4<f32>, QUADS>;

// Number of the task, its parts of the memories, this thread among those of the task, and the repetitions (turns) of a
// loop and of one in it. Positions in either memory count elements.
var<private> task: u32;
var<private> base: u32;
var<private> corner: u32;
var<private> local: u32;
var<private> turn: u32;
var<private> inner_turn: u32;
// 0, which compilers cannot know: added to the bounds of loops that they would unroll, block after block, into a
// shader too large to compile in reasonable time.
var<private> zero: u32;
// Whether there is such a task: what is stored for others would be stored twice.
var<private> live: bool;

// One element that lies in a quad.
fn quad_part(i: u32) -> f32 {
    return quads[i / 4u][i % 4u];
}
