//! Tasks one after another on the GPU: a step of the second task launch by launch beside the CPU.

use hyperloom::continual::{Learner, Learning, Method, Networks, Scenario, polynomials};
use hyperloom::hyper::{Chunked, Generator};
use hyperloom::net::Net;
use hyperloom::run::Device;
use hyperloom::spec::Activation::Tanh;

use super::gpu;

#[test]
fn steps_in_lockstep() {
    let Some(gpu) = gpu(false) else { return };
    let sequence = polynomials(2, 0);
    let body = Net::rows([1]).dense(8).activation(Tanh);
    for (name, method) in Method::ALL {
        for chunked in [false, true] {
            if chunked && method != Method::Hypernetwork {
                continue;
            }
            let mut networks = Networks::new(&body, Scenario::Task, &sequence, 3, &[6]);
            if chunked {
                networks.hyper.generator =
                    Generator::Chunked(Chunked { chunk: 10, embedding: 2, base: false });
            }
            let mut learning = Learning::new(method);
            (learning.steps, learning.batch, learning.stored) = (4, 8, chunked);
            let device = Device::Gpu(gpu.clone());
            let mut learner = Learner::new(&device, &sequence, networks, learning, 3).expect("it fits");
            while learner.at().0 == 0 {
                learner.advance(4).expect("it learns");
            }
            let report = learner.lockstep(&gpu, 2).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(report.divergence.is_none(), "{name}: {report:?}");
        }
    }
}
