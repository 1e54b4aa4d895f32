//! Values that several plans share, on the CPU path (`tests/gpu/store.rs` asks a GPU the same).

mod support;

use hyperloom::graph::Graph;
use hyperloom::plan::lower;
use hyperloom::{Device, Error};
use support::stores;

fn both(test: fn(&Device)) {
    [Device::Cpu, Device::CpuByLaunch].iter().for_each(test);
}

#[test]
fn several_plans_give_the_bits_of_one() {
    both(stores::several_plans_give_the_bits_of_one);
}

#[test]
fn what_is_stored_has_a_buffer_of_its_own() {
    both(stores::what_is_stored_has_a_buffer_of_its_own);
}

#[test]
fn misuse_is_refused() {
    both(stores::misuse_is_refused);
}

/// Two plans of a store at once end in an error, not in a wait that might never end; afterwards all goes on.
#[test]
fn plans_of_one_store_do_not_run_at_once() {
    let store = Device::Cpu.store();
    let plan = || {
        let mut g = Graph::new();
        let x = g.state("x", &[256, 256]);
        let y = g.matmul(x, x);
        let y = g.scale(y, 1.0 / 256.0);
        g.update(x, y);
        g.stored("x");
        lower(&g, Device::Cpu.caps(1)).expect("it fits")
    };
    let (mut a, mut b) = (store.prepare(plan()).expect("prepared"), store.prepare(plan()).expect("prepared"));
    store.write("x", &[1.0; 65_536]).expect("written");
    let done = std::sync::atomic::AtomicBool::new(false);
    let refused = std::thread::scope(|s| {
        let long = s.spawn(|| {
            // Until the other thread has met it at work.
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let run = a.run(4);
                assert!(matches!(run, Ok(_) | Err(Error::Device(_))), "{run:?}");
            }
        });
        let refused = loop {
            if let Err(e) = b.run(1) {
                break e;
            }
        };
        done.store(true, std::sync::atomic::Ordering::Release);
        long.join().expect("no panic");
        refused
    });
    assert!(refused.to_string().contains("in use"), "{refused}");
    b.run(1).expect("alone again");
    assert_eq!(store.read("x").expect("read"), [1.0; 65_536]);
}

#[test]
#[should_panic(expected = "a value that a plan reads and writes in a store is a state")]
fn a_name_is_an_input_or_an_output() {
    let mut g = Graph::new();
    let x = g.data("x", &[1]);
    let y = g.scale(x, 2.0);
    g.output("x", y);
    g.stored("x");
}

#[test]
#[should_panic(expected = "it cannot be stored")]
fn a_row_a_step_is_not_stored() {
    let mut g = Graph::new();
    g.step("x", &[1]);
    g.stored("x");
}
