// y = act(Σ x[s p + d i - z] k[i] + bias), or the sum's gradient by x (ROLE 1) or by k (2): as in shaders/conv.wgsl; a thread
// makes four channels of a result at a time
#import window
for (var item = local; item < BATCH * GROUPS * R0 * R1 * R2 * QUADS; item += THREADS) {
    let column = item % QUADS * 4u;
    let row = item / QUADS;
    let r2 = row % R2;
    let r1 = row / R2 % R1;
    let r0 = row / (R2 * R1) % R0;
    let part = row / (R2 * R1 * R0) % GROUPS;
    let m = row / (R2 * R1 * R0 * GROUPS);
    let columns = min(column + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(COLUMNS - 1u));
    let channels = part * COLUMNS + columns;
    var sums = vec4<f32>(0.0);
    for (var t = 0u; t < T0 * T1 + zero; t++) {
        let t0 = t / T1;
        let t1 = t % T1;
        var y = 0;
        var x = 0;
        if ROLE == 0u {
            y = element_of(r1, t0, STRIDE_H, DILATION_H, BEFORE_H, HEIGHT);
            x = element_of(r2, t1, STRIDE_W, DILATION_W, BEFORE_W, WIDTH);
        } else if ROLE == 1u {
            y = window_of(r1, t0, STRIDE_H, DILATION_H, BEFORE_H, HEIGHT);
            x = window_of(r2, t1, STRIDE_W, DILATION_W, BEFORE_W, WIDTH);
        } else {
            y = element_of(t1, r0, STRIDE_H, DILATION_H, BEFORE_H, HEIGHT);
        }
        if y < 0 || x < 0 {
            continue;
        }
        for (var l = 0u; l < T2 + zero; l++) {
            // Where the pixel is, and where the first of the columns lies in b, with the distance of two.
            var image = r0;
            var channel = part * T2 + l;
            var b = b_at(m, t0, t1, l, 0u);
            var own = channels * b_at(0u, 0u, 0u, 0u, 1u);
            if ROLE == 1u {
                b = b_at(m, t0, t1, 0u, channel);
                own = columns * b_at(0u, 0u, 0u, 1u, 0u);
            } else if ROLE == 2u {
                image = t0;
                channel = part * R2 + r2;
                x = element_of(l, r1, STRIDE_W, DILATION_W, BEFORE_W, WIDTH);
                if x < 0 {
                    continue;
                }
            }
            let at = b + own;
            let four = vec4<f32>(b_get(at.x), b_get(at.y), b_get(at.z), b_get(at.w));
            sums += a_get(a_at(m, image, u32(y), u32(x), channel)) * four;
        }
    }
    for (var c = 0u; c < 4u; c++) {
        if column + c < COLUMNS {
            var s = sums[c];
            if BIAS == 1u {
                s += bias_get(bias_at(m, r0, r1, r2, channels[c]));
            }
            if SAVE_Z == 1u {
                z_put(z_at(m, r0, r1, r2, channels[c]), s);
            }
            y_put(y_at(m, r0, r1, r2, channels[c]), act(s));
        }
    }
}
