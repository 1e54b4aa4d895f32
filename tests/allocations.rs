//! A model that is kept ready adapts and predicts on the CPU path without an allocation: counted over all threads, so that no other test may stand here.

#[path = "support/small.rs"]
mod small;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use hyperloom::{Device, Prepared, PreparedSizes, Result};
use small::small;

/// Counts what is allocated.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(1, Ordering::SeqCst);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn nothing_is_allocated_on_the_way() -> Result<()> {
    let sizes = PreparedSizes { rows: 4, ..PreparedSizes::default() };
    let mut ready = Prepared::new(&Device::Cpu, &small(), sizes, Some(10))?;
    let (xs, ys): (Vec<f32>, Vec<f32>) = ((0..32).map(|i| i as f32 / 32.0).collect(), vec![0.5; 16]);
    let (asked, mut said) = (vec![0.25; 8], [0.0; 4]);
    ready.adapt(&xs, &ys, &[])?;
    ready.predict(&asked, &mut said)?;
    // What the test harness does on another thread meanwhile is in few of these.
    let least = (0..50)
        .map(|_| {
            let before = ALLOCATED.load(Ordering::SeqCst);
            ready.adapt(&xs, &ys, &[]).expect("it adapts");
            ready.predict(&asked, &mut said).expect("it predicts");
            ALLOCATED.load(Ordering::SeqCst) - before
        })
        .min();
    assert_eq!(least, Some(0));
    Ok(())
}
