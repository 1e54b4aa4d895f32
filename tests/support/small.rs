//! A small model whose tasks share all weights: 2-64-64-1.

use hyperloom::Model;
use hyperloom::adapt::Adaptation;
use hyperloom::hyper::HyperSpec;
use hyperloom::net::Net;
use hyperloom::rng::Rng;
use hyperloom::spec::Activation;
use hyperloom::task::Likelihood;

pub(crate) fn small() -> Model {
    let net = Net::mlp(&[2, 64, 64, 1], Activation::Tanh);
    let weights = net.layout().init(&mut Rng::new(0, 0));
    let adaptation = Adaptation::fine_tuning(0.05, 10.0);
    Model::new(HyperSpec::shared(net), Likelihood::values(1), adaptation, weights).expect("a sound model")
}
