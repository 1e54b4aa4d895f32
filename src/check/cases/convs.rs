//! Cases of the three convolutions: odd sizes, every stride, dilation and padding, groups, bias, activation, saved sums, views.

use super::{Build, Case, Layout, ORDINARY, POSITIVE};
use crate::graph::conv::{Conv as Geometry, Window, Wrt};
use crate::kernel::{Conv, Kernel};
use crate::spec::{Activation, DType};

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    images: usize,
    extent: [usize; 2],
    /// Input channels and output channels.
    channels: [usize; 2],
    geometry: Geometry,
}

/// What goes with it.
#[derive(Clone, Copy, Debug)]
struct Extras {
    layout: Layout,
    bias: Option<Layout>,
    act: Activation,
    save: bool,
}

const PLAIN: Extras = Extras { layout: Layout::Dense, bias: None, act: Activation::Identity, save: false };

fn conv(table: &mut Vec<Case>, s: Sizes, x: Extras) {
    let windows: Vec<usize> = s
        .geometry
        .windows
        .iter()
        .zip(s.extent)
        .map(|(w, len)| match w.before {
            0 => w.valid(len).unwrap_or(1),
            _ => len.div_ceil(w.stride),
        })
        .collect();
    let [h, w] = s.extent;
    let [c, o] = s.channels;
    let [i, j] = s.geometry.windows.map(|w| w.size);
    let image = [s.batch, s.images, h, w, c];
    let kernels = [s.batch, i, j, c / s.geometry.groups, o];
    let result = [s.batch, s.images, windows[0], windows[1], o];
    for (wrt, a, b, y) in [
        (Wrt::Output, image, kernels, result),
        (Wrt::Input, result, kernels, image),
        (Wrt::Kernels, image, result, kernels),
    ] {
        // Multiply-adds of all over results.
        let all = s.images * windows[0] * windows[1] * i * j * (c / s.geometry.groups) * o;
        let terms = all * s.batch / y.iter().product::<usize>();
        let fill = if terms > 50 { POSITIVE } else { ORDINARY };
        let mut build = Build::new(4700).read(&a, x.layout, fill).read(&b, x.layout, fill);
        build = match x.bias {
            Some(layout) => build.read(&y, layout, ORDINARY),
            None => build.again(0),
        };
        build = build.write(&y, x.layout, DType::F32);
        if x.save {
            build = build.write(&y, Layout::Columns, DType::F32);
        }
        let g = s.geometry;
        let kernel = Kernel::Conv(Conv { geometry: g, wrt, bias: x.bias.is_some(), act: x.act });
        let name = format!(
            "by {wrt:?}: {a:?} and {b:?} to {y:?}, stride {:?} dilation {:?} before {:?} groups {} {:?} bias {:?} {} save {}",
            g.windows.map(|w| w.stride),
            g.windows.map(|w| w.dilation),
            g.windows.map(|w| w.before),
            g.groups,
            x.layout,
            x.bias,
            x.act,
            x.save
        );
        table.push(build.case(name, kernel, true));
    }
}

fn windows(size: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> [Window; 2] {
    [0, 1].map(|i| Window { size: size[i], stride: stride[i], dilation: dilation[i], before: 0 })
}

pub(super) fn cases(table: &mut Vec<Case>) {
    let plain = |windows| Geometry { windows, groups: 1 };
    // Windows of all kinds over images of odd sizes, with padding and without.
    for (size, stride, dilation) in [
        ([1, 1], [1, 1], [1, 1]),
        ([3, 3], [1, 1], [1, 1]),
        ([3, 3], [2, 2], [1, 1]),
        ([1, 1], [2, 2], [1, 1]),
        ([2, 2], [2, 2], [1, 1]),
        ([5, 3], [1, 2], [1, 1]),
        ([3, 2], [3, 1], [1, 2]),
        ([3, 3], [2, 1], [2, 3]),
        ([4, 5], [2, 3], [1, 1]),
    ] {
        let geometry = plain(windows(size, stride, dilation));
        for (extent, channels) in [([7, 6], [2, 3]), ([13, 9], [1, 5]), ([8, 11], [5, 1])] {
            let same = geometry.same(extent);
            let padded = (same != geometry).then_some(same);
            for geometry in [geometry].into_iter().chain(padded) {
                let s = Sizes { batch: 2, images: 3, extent, channels, geometry };
                if geometry.windows.iter().zip(extent).all(|(w, len)| w.valid(len).is_some()) {
                    conv(table, s, PLAIN);
                }
            }
        }
    }
    // Groups, down to a channel each.
    for (groups, channels) in [(2, [4, 6]), (3, [3, 3]), (3, [3, 6]), (5, [10, 5])] {
        let geometry = Geometry { groups, ..Geometry::square(3, 1) };
        for geometry in [geometry.same([6, 7]), Geometry { groups, ..Geometry::square(2, 2) }] {
            conv(table, Sizes { batch: 3, images: 2, extent: [6, 7], channels, geometry }, PLAIN);
        }
    }
    // Bias, activation, saved sums, results and operands of every layout.
    let s = Sizes {
        batch: 2,
        images: 2,
        extent: [6, 5],
        channels: [3, 4],
        geometry: Geometry::square(3, 1).same([6, 5]),
    };
    for layout in [Layout::Dense, Layout::Strided, Layout::Columns, Layout::Transposed] {
        for (bias, act, save) in [
            (Some(Layout::Repeated(1)), Activation::Relu, false),
            (Some(Layout::Dense), Activation::Tanh, true),
            (None, Activation::Gelu, true),
        ] {
            conv(table, s, Extras { layout, bias, act, save });
        }
    }
    // One line: convolution of series, and causal ones (all padding before).
    let series = |size, dilation, before| {
        let line = Window { size, stride: 1, dilation, before };
        Geometry { windows: [Window::new(1), line], groups: 1 }
    };
    for geometry in [series(3, 1, 0), series(3, 2, 4), series(2, 4, 4)] {
        conv(table, Sizes { batch: 2, images: 3, extent: [1, 17], channels: [2, 3], geometry }, PLAIN);
    }
    // Tiles and blocks: more rows, columns and terms than fit one; several threads, one batch split over images.
    let tall =
        |batch, images, extent, channels, geometry| Sizes { batch, images, extent, channels, geometry };
    let same = |extent| Geometry::square(3, 1).same(extent);
    let bias = Extras { bias: Some(Layout::Repeated(2)), act: Activation::Relu, ..PLAIN };
    conv(table, tall(1, 9, [20, 21], [17, 33], same([20, 21])), bias);
    conv(table, tall(1, 1, [40, 40], [31, 65], same([40, 40])), PLAIN);
    // Few tiles of many terms, whose sums are saved.
    let saved = Extras { act: Activation::Tanh, save: true, ..bias };
    conv(table, tall(2, 3, [7, 5], [16, 21], same([7, 5])), saved);
    conv(table, tall(19, 2, [5, 5], [3, 32], same([5, 5])), bias);
    conv(table, tall(2, 3, [12, 12], [40, 9], Geometry::square(5, 2).same([12, 12])), bias);
}
