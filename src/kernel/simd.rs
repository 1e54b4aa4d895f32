//! Numbers side by side in a register, on whatever processor this is, and the pointwise functions on them.

mod apply;
mod functions;

use pulp::Simd;

pub(crate) use apply::*;

/// A register of numbers.
#[derive(Clone, Copy)]
pub(crate) struct V<S: Simd> {
    pub(crate) simd: S,
    pub(crate) x: S::f32s,
}

impl<S: Simd> V<S> {
    #[inline(always)]
    pub(crate) fn splat(simd: S, x: f32) -> V<S> {
        V { simd, x: simd.splat_f32s(x) }
    }

    /// The numbers from a place on.
    ///
    /// # Safety
    /// As many are there as a register holds.
    #[inline(always)]
    unsafe fn load(simd: S, from: *const f32) -> V<S> {
        // SAFETY: promised by the caller.
        V { simd, x: unsafe { from.cast::<S::f32s>().read_unaligned() } }
    }

    /// Puts the numbers where others stand.
    ///
    /// # Safety
    /// As many are there as a register holds.
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe { to.cast::<S::f32s>().write_unaligned(self.x) }
    }

    #[inline(always)]
    pub(crate) fn of(self, x: f32) -> V<S> {
        V::splat(self.simd, x)
    }

    #[inline(always)]
    fn with(self, x: S::f32s) -> V<S> {
        V { x, ..self }
    }

    #[inline(always)]
    pub(crate) fn add(self, o: V<S>) -> V<S> {
        self.with(self.simd.add_f32s(self.x, o.x))
    }

    #[inline(always)]
    pub(crate) fn sub(self, o: V<S>) -> V<S> {
        self.with(self.simd.sub_f32s(self.x, o.x))
    }

    #[inline(always)]
    pub(crate) fn mul(self, o: V<S>) -> V<S> {
        self.with(self.simd.mul_f32s(self.x, o.x))
    }

    #[inline(always)]
    pub(crate) fn div(self, o: V<S>) -> V<S> {
        self.with(self.simd.div_f32s(self.x, o.x))
    }

    /// `self · a + b`, fused where the processor has that in hardware.
    #[inline(always)]
    pub(crate) fn fma(self, a: V<S>, b: V<S>) -> V<S> {
        self.with(self.simd.mul_add_e_f32s(self.x, a.x, b.x))
    }

    /// By its bits: `abs_f32s` of pulp is a call of its own where the processor's registers are not known.
    #[inline(always)]
    fn abs(self) -> V<S> {
        self.of_bits(self.simd.and_u32s(self.bits(), self.simd.splat_u32s(!0x8000_0000)))
    }

    #[inline(always)]
    pub(crate) fn sqrt(self) -> V<S> {
        self.with(self.simd.sqrt_f32s(self.x))
    }

    #[inline(always)]
    fn bits(self) -> S::u32s {
        self.simd.transmute_u32s_f32s(self.x)
    }

    #[inline(always)]
    fn of_bits(self, bits: S::u32s) -> V<S> {
        self.with(self.simd.transmute_f32s_u32s(bits))
    }

    /// Where `x` is below `low` or above `high`, `f` of it, lane by lane; elsewhere `self`.
    #[inline(always)]
    fn but_outside(self, x: V<S>, low: f32, high: f32, f: impl Fn(f32) -> f32) -> V<S> {
        let s = self.simd;
        let below = s.less_than_f32s(x.x, self.of(low).x);
        let rare = s.or_m32s(below, s.less_than_f32s(self.of(high).x, x.x));
        if s.first_true_m32s(rare) < S::F32_LANES {
            return self.with(s.select_f32s(rare, x.each(f).x, self.x));
        }
        self
    }

    /// `a` where `self < b`, else `c`.
    #[inline(always)]
    fn if_below(self, b: V<S>, a: V<S>, c: V<S>) -> V<S> {
        let mask = self.simd.less_than_f32s(self.x, b.x);
        self.with(self.simd.select_f32s(mask, a.x, c.x))
    }

    /// `a` where `self > b`, else `c`.
    #[inline(always)]
    fn if_above(self, b: V<S>, a: V<S>, c: V<S>) -> V<S> {
        b.if_below(self, a, c)
    }

    /// 1 where `self < o`, else 0.
    #[inline(always)]
    fn below(self, o: V<S>) -> V<S> {
        self.if_below(o, self.of(1.0), self.of(0.0))
    }

    /// 1 where `self >= o`, else 0.
    #[inline(always)]
    fn not_below(self, o: V<S>) -> V<S> {
        let mask = self.simd.greater_than_or_equal_f32s(self.x, o.x);
        self.with(self.simd.select_f32s(mask, self.of(1.0).x, self.of(0.0).x))
    }

    /// 1 where `self == o`, else 0.
    #[inline(always)]
    fn alike(self, o: V<S>) -> V<S> {
        let mask = self.simd.equal_f32s(self.x, o.x);
        self.with(self.simd.select_f32s(mask, self.of(1.0).x, self.of(0.0).x))
    }

    /// `x` where that is not a number, else `self`.
    #[inline(always)]
    fn nan_of(self, x: V<S>) -> V<S> {
        let number = self.simd.equal_f32s(x.x, x.x);
        self.with(self.simd.select_f32s(number, self.x, x.x))
    }

    /// `a` where `self` is not 0, else `b`.
    #[inline(always)]
    pub(crate) fn choose(self, a: V<S>, b: V<S>) -> V<S> {
        let zero = self.simd.equal_f32s(self.x, self.of(0.0).x);
        self.with(self.simd.select_f32s(zero, b.x, a.x))
    }

    /// The larger; NaN where either is none.
    #[inline(always)]
    pub(crate) fn larger(self, o: V<S>) -> V<S> {
        self.if_below(o, o, self).nan_of(o)
    }

    #[inline(always)]
    fn within(self, low: f32, high: f32) -> V<S> {
        let (low, high) = (self.of(low), self.of(high));
        let x = self.if_below(low, low, self);
        x.if_above(high, high, x)
    }

    #[inline(always)]
    fn with_sign(self, of: V<S>) -> V<S> {
        let s = self.simd;
        let sign = s.and_u32s(of.bits(), s.splat_u32s(0x8000_0000));
        self.of_bits(s.or_u32s(self.bits(), sign))
    }

    /// Any function, lane by lane.
    #[inline(always)]
    pub(crate) fn each(self, f: impl Fn(f32) -> f32) -> V<S> {
        let mut y = self;
        for x in bytemuck::cast_slice_mut::<S::f32s, f32>(std::slice::from_mut(&mut y.x)) {
            *x = f(*x);
        }
        y
    }

    /// Any function of two, lane by lane.
    #[inline(always)]
    pub(crate) fn both(self, o: V<S>, f: impl Fn(f32, f32) -> f32) -> V<S> {
        let mut y = self;
        let others = bytemuck::cast_slice::<S::f32s, f32>(std::slice::from_ref(&o.x));
        let ys = bytemuck::cast_slice_mut::<S::f32s, f32>(std::slice::from_mut(&mut y.x));
        // By index: an iterator of pairs is a call of its own here.
        for i in 0..S::F32_LANES {
            ys[i] = f(ys[i], others[i]);
        }
        y
    }
}
