// A task region: a task's values in workgroup memory, one block of code after another
#import bits
#import exponential
#import grid
#import pointwise
#import binary

var<workgroup> memory: array<f32, WORDS>;

// Number of the task, its part of the memory, this thread among those of the task, and the repetition (turn) of a loop.
var<private> task: u32;
var<private> base: u32;
var<private> local: u32;
var<private> turn: u32;
// 0, which compilers cannot know: added to the bounds of loops that they would unroll, block after block, into a
// shader too large to compile in reasonable time.
var<private> zero: u32;
// Whether there is such a task: what is stored for others would be stored twice.
var<private> live: bool;
