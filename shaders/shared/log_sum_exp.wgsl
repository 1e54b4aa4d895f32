// max + ln Σ e^(x - max) of a row, in two parts that are subtracted one after the other. Reads the
// importing kernel's `x` and `params` (x: View, classes).

#import exponential

// Maximum and logarithm of the row that starts at `from`.
fn log_sum_exp(from_at: u32) -> vec2<f32> {
    var most = x[from_at];
    for (var j = 1u; j < params.classes + zero; j++) {
        most = larger(most, x[from_at + j * params.x.hi.y]);
    }
    var sum = 0.0;
    for (var j = 0u; j < params.classes + zero; j++) {
        sum += exponential(x[from_at + j * params.x.hi.y] - most);
    }
    return vec2<f32>(most, logarithm(sum));
}
