//! Long sums with few results, which would leave most of a GPU idle: their terms are cut in parts that are
//! summed side by side, and the parts are added in a second launch, always in the same order.

use super::{Lowering, Place};
use crate::graph::conv::Wrt;
use crate::kernel::{self, Kernel};
use crate::plan::SlotRole;
use crate::spec::{Activation, DType, MAX_RANK};
use crate::view::View;

/// The axis that counts the parts: the first one, which must be free.
const PART: usize = 0;

/// What adds up parts.
const ADD: Kernel = Kernel::SumTo(kernel::SumTo { dot: false });

/// The axes of tasks and of pictures in the operands of a convolution.
const TASK: usize = 1;
const PICTURE: usize = 2;

/// Terms of a part of a convolution's gradient at least: a tile of a workgroup takes 16 at a time.
const SHORTEST: usize = 512;

/// Parts of so many pictures with `terms` terms in all: a divisor, `wanted` of them or somewhat more.
fn picture_parts(pictures: usize, terms: usize, wanted: usize) -> usize {
    let most = terms / SHORTEST;
    let mut divisors = (1..=pictures).filter(|d| pictures.is_multiple_of(*d) && *d <= most);
    let enough = divisors.clone().find(|d| *d >= wanted);
    enough.or(divisors.next_back()).unwrap_or(1)
}

/// Terms `first..` of an axis as `parts` parts of `len`.
#[derive(Clone, Copy)]
struct Cut {
    axis: usize,
    first: usize,
    parts: usize,
    len: usize,
}

impl Cut {
    /// An axis of `terms` in `parts` parts or somewhat fewer: equal ones where a length up to twice the least
    /// divides it, else what is left over is a launch more.
    fn of(axis: usize, terms: usize, parts: usize) -> Vec<Cut> {
        let least = terms.div_ceil(parts);
        let even = (least..=(2 * least).min(terms / 2)).find(|len| terms.is_multiple_of(*len));
        let len = even.unwrap_or(if least < 64 { least } else { least.next_multiple_of(16) });
        let (parts, rest) = (terms / len, terms % len);
        let mut cuts = vec![Cut { axis, first: 0, parts, len }];
        if rest > 0 {
            cuts.push(Cut { axis, first: parts * len, parts: 1, len: rest });
        }
        cuts
    }

    fn view(self, mut v: View) -> View {
        let step = v.strides[self.axis];
        v.offset += self.first * step;
        v.dims[self.axis] = self.len;
        if self.len == 1 {
            v.strides[self.axis] = 0;
        }
        v.dims[PART] = self.parts;
        v.strides[PART] = if self.parts > 1 { self.len * step } else { 0 };
        v
    }
}

/// A buffer of results, one a part.
struct Parts {
    buffer: usize,
    result: View,
}

impl Parts {
    /// `count` of them from `first` on.
    fn place(&self, first: usize, count: usize) -> Place {
        let mut view = self.result;
        let step = view.count();
        view.offset = first * step;
        view.dims[PART] = count;
        view.strides[PART] = if count > 1 { step } else { 0 };
        Place::new(self.buffer, view)
    }
}

impl Lowering<'_> {
    fn parts(&mut self, result: &View, count: usize, label: &str) -> Parts {
        let buffer = self.buffer(SlotRole::Scratch, DType::F32, count * result.count(), label);
        Parts { buffer, result: View::contiguous(&result.dims, 0) }
    }

    /// Launches a product, in parts where it is long and the device wants that: then the bias is one part
    /// more, and the activation follows the sum.
    pub(super) fn launch_product(
        &mut self,
        kernel: kernel::MatMul,
        reads: Vec<Place>,
        writes: Vec<Place>,
        label: &str,
    ) {
        let y = writes[0].view;
        let [m, n] = [y.dims[MAX_RANK - 2], y.dims[MAX_RANK - 1]];
        let (batch, k) = (y.count() / (m * n), reads[0].view.dims[MAX_RANK - 1]);
        let parts = kernel::parts(batch, m, n, k, self.caps.fill);
        if parts < 2 || y.dims[PART] > 1 {
            return self.launch(Kernel::MatMul(kernel), reads, writes, label);
        }
        let (a, b) = (Cut::of(MAX_RANK - 1, k, parts), Cut::of(MAX_RANK - 2, k, parts));
        let products: usize = a.iter().map(|c| c.parts).sum();
        let all = products + usize::from(kernel.bias);
        let sums = self.parts(&y, all, label);
        let plain = Kernel::MatMul(kernel::MatMul { bias: false, act: Activation::Identity });
        let mut at = 0;
        for (a, b) in a.into_iter().zip(b) {
            let [x, w] = [(reads[0], a), (reads[1], b)].map(|(p, c)| Place { view: c.view(p.view), ..p });
            self.launch(plain.clone(), vec![x, w, x], vec![sums.place(at, a.parts)], label);
            at += a.parts;
        }
        if kernel.bias {
            let last = sums.place(products, 1);
            self.launch(Kernel::Copy(kernel::CopyKernel), vec![reads[2]], vec![last], label);
        }
        // What the activation is applied to: the saved sums, or some of our own.
        let total = match (kernel.act, writes.get(1)) {
            (Activation::Identity, None) => writes[0],
            (_, Some(z)) => *z,
            (_, None) => self.parts(&y, 1, label).place(0, 1),
        };
        self.launch(ADD, vec![sums.place(0, all); 2], vec![total], label);
        if (total.buffer, total.view) != (writes[0].buffer, writes[0].view) {
            let func = crate::graph::op::Func::Act(kernel.act, 0);
            self.launch(Kernel::Map(kernel::Map { func }), vec![total], vec![writes[0]], label);
        }
    }

    /// Launches a convolution, or a gradient of one; that by its kernels, a sum over all pictures, in parts of some pictures
    /// where it is long and the device wants that.
    pub(super) fn launch_conv(
        &mut self,
        conv: kernel::Conv,
        reads: Vec<Place>,
        writes: Vec<Place>,
        label: &str,
    ) {
        let y = writes[0].view;
        let plain = !conv.bias && conv.act == Activation::Identity && writes.len() == 1;
        let parts = match conv.wrt {
            Wrt::Kernels if plain && self.caps.fill > 1 => self.conv_parts(&conv, &reads, &y),
            _ => 1,
        };
        if parts < 2 {
            return self.launch(Kernel::Conv(conv), reads, writes, label);
        }
        let (tasks, pictures) = (y.dims[TASK], reads[1].view.dims[PICTURE]);
        let cut = |p: &Place| {
            let mut view = p.view;
            view.dims[TASK] = tasks * parts;
            view.dims[PICTURE] = pictures / parts;
            view.strides[TASK] = view.dims[PICTURE] * view.strides[PICTURE];
            Place { view, ..*p }
        };
        let mut dims = y.dims;
        dims[TASK] = tasks * parts;
        let buffer = self.buffer(SlotRole::Scratch, DType::F32, parts * y.count(), label);
        let sums = Place::new(buffer, View::contiguous(&dims, 0));
        self.launch(Kernel::Conv(conv), reads.iter().map(cut).collect(), vec![sums], label);
        // The tasks on the first axis, the parts on that of tasks.
        let (mut all, mut total) = (dims, y);
        (all[PART], all[TASK]) = (tasks, parts);
        (total.dims[PART], total.strides[PART]) = (tasks, y.strides[TASK]);
        (total.dims[TASK], total.strides[TASK]) = (1, 0);
        let terms = Place::new(buffer, View::contiguous(&all, 0));
        self.launch(ADD, vec![terms; 2], vec![Place { view: total, ..writes[0] }], label);
    }

    /// Parts of a convolution's gradient by its kernels.
    fn conv_parts(&self, conv: &kernel::Conv, reads: &[Place], y: &View) -> usize {
        let views: Vec<View> = reads.iter().map(|p| p.view).collect();
        let (tasks, pictures) = (y.dims[TASK], views[1].dims[PICTURE]);
        // Parts of one task after another: pictures must lie evenly over all tasks.
        let even = |v: &View| tasks == 1 || v.strides[TASK] == pictures * v.strides[PICTURE];
        if !views[..2].iter().all(even) {
            return 1;
        }
        let groups: usize = conv.dispatch(&views, &[*y]).groups.iter().map(|g| *g as usize).product();
        let terms: usize = views[1].dims[PICTURE..MAX_RANK - 1].iter().product();
        picture_parts(pictures, terms, 4 * self.caps.fill / groups.max(1))
    }

    /// Launches a sum, in parts where it is long and the device wants that.
    pub(super) fn launch_sum(&mut self, dot: bool, reads: Vec<Place>, y: Place, label: &str) {
        let sum = Kernel::SumTo(kernel::SumTo { dot });
        let full = reads[0].view.dims;
        let parts = kernel::sum_parts(&reads[0].view, &reads[1].view, &y.view);
        // The outermost axis that is summed and long enough, else the longest.
        let summed = || (0..MAX_RANK).filter(|&i| y.view.dims[i] == 1);
        let axis = summed().find(|&i| full[i] >= parts).or(summed().max_by_key(|&i| full[i]));
        let parts = parts.min(axis.map_or(1, |i| full[i]));
        let (Some(axis), true) = (axis, self.caps.fill > 1 && parts > 1 && full[PART] == 1) else {
            return self.launch(sum, reads, vec![y], label);
        };
        let cuts = Cut::of(axis, full[axis], parts);
        let all = cuts.iter().map(|c| c.parts).sum();
        let sums = self.parts(&y.view, all, label);
        let mut at = 0;
        for cut in cuts {
            let terms = reads.iter().map(|p| Place { view: cut.view(p.view), ..*p }).collect();
            self.launch(sum.clone(), terms, vec![sums.place(at, cut.parts)], label);
            at += cut.parts;
        }
        self.launch(ADD, vec![sums.place(0, all); 2], vec![y], label);
    }
}
